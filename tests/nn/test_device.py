"""What the C library is asked for keeps large tensors from being mapped anew at every step."""

import os
import subprocess
import sys

import pytest

from s2sbot.nn.device import SHAPES, forget_shapes

# in a process of its own: what others have left in the heap decides where there is room
PAGES = """
import resource, torch
from s2sbot.nn.device import keep_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(20 * 2**20 // 4 * 4)  # 80 MiB, of which a page is 4 KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if keep_memory():
    pages()
    print(pages())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only the GNU C library is asked")
def test_freed_memory_is_used_again_without_new_pages():
    found = subprocess.run([sys.executable, "-c", PAGES], check=True, capture_output=True, text=True).stdout
    if not found:
        pytest.skip("this is not the GNU C library")
    assert int(found) < 8 * 20_480 / 4


def test_few_shapes_are_kept_unless_something_else_is_asked_for(monkeypatch):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    # so that it is taken off again in the end
    monkeypatch.setenv(name, "7")
    forget_shapes()
    assert os.environ[name] == "7"
    monkeypatch.delenv(name)
    forget_shapes()
    assert os.environ[name] == str(SHAPES)

"""What the C library is asked for keeps large tensors from being mapped anew at every step."""

import resource
import sys

import pytest
import torch

from s2sbot.nn.device import keep_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only the GNU C library is asked")
def test_freed_memory_is_used_again_without_new_pages():
    if not keep_memory():
        pytest.skip("this is not the GNU C library")

    def pages():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(8):
            torch.ones(20 * 2**20 // 4 * 4)  # 80 MiB, of which a page is 4 KiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    pages()
    assert pages() < 8 * 20_480 / 4

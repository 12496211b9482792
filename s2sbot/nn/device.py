"""The name of a device goes in, a device that is there comes out."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

import torch

from ..errors import DeviceError

__all__ = ["choose_device", "choose_precision", "forget_shapes", "keep_memory"]

SHAPES: Final = 32
MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2
"""Names of `mallopt` in malloc.h of the GNU C library."""


def choose_device(name: str, *, number: int | None = None) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` stands for on this machine.

    Args:
        number: which GPU it is, where several processes have one each.

    Raises:
        DeviceError: where a GPU is asked for and there is none that this PyTorch can use, or not so many.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        cause = "it was built without CUDA" if torch.version.cuda is None else "no CUDA device or driver was found"
        raise DeviceError(
            f"a GPU was asked for, but PyTorch {torch.__version__} cannot use one: {cause}",
            "use --device auto or --device cpu, or install a CUDA build of PyTorch",
        )
    if name != "cuda" or number is None:
        return torch.device(name)
    if number >= torch.cuda.device_count():
        raise DeviceError(
            f"process {number} of this machine has no GPU of its own: there are {torch.cuda.device_count()}",
            f"start torchrun with --nproc-per-node {torch.cuda.device_count()}, or train with --device cpu",
        )
    return torch.device("cuda", number)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the number format of a training's products that `auto`, `float32`, `bf16` or `float64` stands for.

    Raises:
        DeviceError: where bf16 is asked for and the device has no products, or no recurrent layers, in it.
    """
    if name in ("float32", "float64"):
        return torch.float32 if name == "float32" else torch.float64
    if name == "auto" and device.type == "cpu":
        return torch.float32
    if _has_bf16(device):
        return torch.bfloat16
    if name == "auto":
        return torch.float32
    raise DeviceError(
        f"train.precision=bf16 was asked for, but {'this CPU' if device.type == 'cpu' else 'this GPU'} has no recurrent"
        " layers in it",
        "leave it out, or take train.precision=float32",
    )


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    layer = torch.nn.LSTM(8, 8, batch_first=True)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.random.fork_rng(devices=[]):
            outputs, _ = layer(torch.zeros(2, 3, 8))
        outputs.float().sum().backward()
    except RuntimeError:
        return False
    return True


def forget_shapes() -> None:
    """Let oneDNN keep what it prepares for the last few shapes alone; it must not have computed anything yet.

    It keeps 1,024 of them otherwise, hundreds of megabytes. To prepare in float32 costs nothing that can be measured,
    and what occurs in one step is still kept.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(SHAPES))


def keep_memory() -> bool:
    """Let the C library keep what is freed for what comes next, and return whether it does.

    Large tensors are otherwise mapped, filled with zeros page by page, and given back at every step of a training. Only
    the GNU C library is asked; elsewhere nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    limits = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 64 * 2**20}
    heard = [bool(mallopt(name, value)) for name, value in limits.items()]
    return all(heard)

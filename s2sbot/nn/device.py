"""The name of a device goes in, a device that is there comes out."""

from __future__ import annotations

import torch

from ..errors import DeviceError

__all__ = ["choose_device"]


def choose_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` stands for on this machine.

    Raises:
        DeviceError: where a GPU is asked for and there is none that this PyTorch can use.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        cause = "it was built without CUDA" if torch.version.cuda is None else "no CUDA device or driver was found"
        raise DeviceError(
            f"a GPU was asked for, but PyTorch {torch.__version__} cannot use one: {cause}",
            "use --device auto or --device cpu, or install a CUDA build of PyTorch",
        )
    return torch.device(name)

"""Compiled passes of leaky networks; PyTorch's own operations compute the same where they are not used."""

from tca.kernels.choice import KernelsWarning, use

__all__ = ["KernelsWarning", "use"]

"""Where a tensor begins in memory, which some of PyTorch's kernels depend on."""

from torch import Tensor

ALIGNMENT = 64  # bytes, as PyTorch allocates


def aligned(tensor: Tensor) -> Tensor:
    """The tensor itself if it begins at a multiple of `ALIGNMENT`; otherwise a copy that does.

    PyTorch allocates every tensor so, but a view, or a tensor mapped from a file, may begin
    anywhere. On processors with AMX, PyTorch's 8-bit kernel ends the process with such a tensor.

    Args:
        tensor: On the CPU.
    """
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor

"""How much memory a computation would hold, measured by running it on the meta device.

Attention counts as one fused kernel, which never holds its matrix of weights.

Shapes: H heads, Q queries, K keys, D width of a head.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


def saved_bytes(forward: Callable[[], Tensor], *, parameters: Iterable[Tensor]) -> int:
    """Bytes that a forward pass keeps for its backward pass.

    Args:
        forward: On the meta device, with gradient.
        parameters: Not counted, because they are held anyway.

    Returns:
        Bytes; a tensor that several operations keep counts once.
    """
    own = {_storage(parameter) for parameter in parameters}
    kept: dict[int, Tensor] = {}  # keeps the tensors alive, so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            kept[_storage(tensor)] = tensor
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor), _FusedAttention():
        output = forward()
    del output
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


class Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's are untyped, here and below
    """Counts the tensors that exist at the same time, of those made while it is entered.

    Attributes:
        bytes: The most so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self._alive: dict[int, int] = {}
        self._attention: AbstractContextManager[Any] = _FusedAttention()

    def __enter__(self) -> "Peak":
        """See `TorchDispatchMode`."""
        self._attention.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """See `TorchDispatchMode`."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._attention.__exit__(*error)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count its results."""
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = _storage(tensor)
        if key not in self._alive:
            self._alive[key] = storage.nbytes()
            finalize(storage, self._alive.pop, key, None)
            self.bytes = max(self.bytes, sum(self._alive.values()))


def _storage(tensor: Tensor) -> int:
    """Identifies the memory of a tensor."""
    return int(tensor.untyped_storage()._cdata)


class _FusedAttention(TorchFunctionMode):
    """Runs attention as one operation, which the meta device would split into several."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is scaled_dot_product_attention:
            return _Attention.apply(*args[:3])  # type: ignore[no-untyped-call]  # of torch
        return func(*args, **(kwargs or {}))


class _Attention(torch.autograd.Function):
    """What a fused kernel keeps: its inputs and its output."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`[..., H, Q, D]` and twice `[..., H, K, D]` to `[..., H, Q, D]`."""
        output = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """Never runs."""
        raise NotImplementedError("tensors without memory have no gradient to follow")

"""Matrix products of oneDNN, which `F.linear` leaves to another library for fp32 on x86.

At the shapes of small models oneDNN takes 0.6 to 0.8 of the time on a Zen 4 core (GFLOP/s, one thread, oneDNN against
`F.linear`: 1024x192x1024 85 against 70, 4160x512x192 92 against 58); a weight in oneDNN's own layout saves a tenth
more, which pays when one weight meets many small inputs. The operators are those that `torch.compile` emits.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def available(tensor: Tensor) -> bool:
    """Whether oneDNN multiplies matrices of this tensor's device and type here."""
    if tensor.device.type != "cpu" or not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if tensor.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return tensor.dtype == torch.float32


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `F.linear(x, weight, bias)` of x [N, in] and weight [out, in] up to rounding, with gradient."""
    if not available(x):
        return F.linear(x, weight, bias)
    result: Tensor = _Linear.apply(x, weight, bias)
    return result


class _Linear(torch.autograd.Function):
    """The product and the gradient of its input by oneDNN; for the weight's gradient the other library is as fast."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t().contiguous(), None) if to_x else None,
            gradient.t() @ x if to_weight else None,
            gradient.sum(0) if to_bias else None,
        )


_ROWS = 64
"""Inputs that a packed weight is laid out for; it multiplies any other number as well."""


class Matrix:
    """A constant weight [out, in] and bias [out] for many products, in oneDNN's own layout where that exists."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.packed = available(weight)
        self.weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS) if self.packed else weight
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """Return x W^T + bias of x [N, in], in its type."""
        return _product(x, self.weight, self.bias) if self.packed else F.linear(x, self.weight, self.bias)

    def added(self, total: Tensor, x: Tensor) -> Tensor:
        """Return total + x W^T [N, out] of a weight without bias, in the type of `total`, which may be overwritten."""
        if total.dtype != x.dtype:
            return total.add_(self(x))
        if not self.packed:
            return total.addmm_(x, self.weight.t())
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, total, self.weight, None, "add")
        return result

    def copy_(self, other: Matrix) -> None:
        """Take over the numbers of another matrix of the same shape."""
        if self.packed:
            self.weight = other.weight
        else:
            self.weight.copy_(other.weight)
        if self.bias is not None and other.bias is not None:
            self.bias.copy_(other.bias)

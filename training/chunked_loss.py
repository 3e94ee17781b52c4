"""Cross entropy over a vocabulary without a logit for every token at once.

Logits of a chunk of tokens are made, turned into a loss and its gradient, and thrown away, so that memory and cache
traffic do not grow with tokens times vocabulary (after Hsu et al., Liger Kernel, 2024). The same sums as
F.cross_entropy(hidden @ weight.T), in float32 from the logits on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 1024  # tokens


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, dtype: torch.dtype) -> Any:
        wanted = any(ctx.needs_input_grad[:2])
        narrow = weight.to(dtype)
        values = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        hidden_gradient = torch.empty_like(hidden) if wanted else None
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32) if wanted else None
        for start in range(0, len(hidden), CHUNK):
            part = slice(start, start + CHUNK)
            states, answer = hidden[part].to(dtype), targets[part, None]
            log_probability = torch.log_softmax((states @ narrow.T).float(), dim=1)
            values[part] = -log_probability.gather(1, answer)[:, 0]
            if hidden_gradient is not None and weight_gradient is not None:
                error = log_probability.exp_()
                error.scatter_add_(1, answer, torch.full_like(answer, -1, dtype=error.dtype))
                narrow_error = error.mul_(weights[part, None]).to(dtype)
                hidden_gradient[part] = narrow_error @ narrow
                weight_gradient += (narrow_error.T @ states).float()
        ctx.gradients = hidden_gradient, weight_gradient
        ctx.weight_dtype = weight.dtype
        ctx.mark_non_differentiable(values)
        return (values * weights).sum(), values

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden_gradient, weight_gradient = ctx.gradients
        total = gradients[0]
        return hidden_gradient * total, (weight_gradient * total).to(ctx.weight_dtype), None, None, None


def chunked_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the negative log likelihoods, and the likelihoods one by one (without a gradient).

    Args:
        hidden: N,D states before the output layer. weight: V,D of the output layer.
        targets: int64 N token ids. weights: float N.
        dtype: of the matrix products; bfloat16 under autocast.

    Returns:
        scalar that carries gradients to `hidden` and `weight`; float32 N in nats.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        total, values = _ChunkedCrossEntropy.apply(hidden, weight, targets, weights, dtype)
    return total, values

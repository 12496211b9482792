"""Hidden states, wanted tokens and an output layer go in, the summed cross-entropy comes out, logits in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .encoder_decoder import EncoderDecoder, LinearOutput
from .products import product, weight_gradient

__all__ = ["LOGITS_BYTES", "chunks", "linear_cross_entropy", "projected_cross_entropy"]

LOGITS_BYTES: Final = 48 * 2**20
"""Chunks of fewer rows multiply slower, and add to the weight's gradient more often: see docs/output-layer.md."""

ROWS: Final = 32
"""Products have a multiple of so many rows."""

Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


def linear_cross_entropy(
    hidden: Tensor,
    wanted: Tensor,
    *,
    layer: LinearOutput,
    label_smoothing: float = 0.0,
    logits_bytes: int = LOGITS_BYTES,
) -> Tensor:
    """Return the summed cross-entropy, in nats, of a linear map of hidden states, without ever having all logits.

    The gradients are made in the same pass, while the logits of a chunk are at hand, scaled when they are asked for.
    That is once: they are scaled in place, and autograd refuses a second time. Products are of autocast's type, the
    softmax is of float32, or of float64 where the hidden states are.

    Args:
        hidden: [tokens, size].
        wanted: [tokens].
        logits_bytes: what the logits of a chunk take at most, or one row of them where that is more.
    """
    inputs = (hidden, layer.weight, layer.bias)
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in inputs):
        loss: Tensor = _LinearCrossEntropy.apply(*inputs, wanted, label_smoothing, logits_bytes)  # type: ignore[no-untyped-call]
        return loss
    return _go_through(*inputs, wanted, label_smoothing, logits_bytes, (False, False, False))[0]


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        wanted: Tensor,
        label_smoothing: float,
        logits_bytes: int,
    ) -> Tensor:
        loss, gradients = _go_through(
            hidden, weight, bias, wanted, label_smoothing, logits_bytes, ctx.needs_input_grad[:3]
        )
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # in place, which autograd notices: it refuses to hand out what was saved a second time
        scaled = [None if part is None else _scaled(part, gradient) for part in ctx.saved_tensors]
        return *scaled, None, None, None


def _scaled(part: Tensor, gradient: Tensor) -> Tensor:
    """Scale in place what lies row by row; what lies otherwise is laid out so on this way."""
    if part.is_contiguous():
        return part.mul_(gradient)
    return torch.mul(part, gradient, out=torch.empty_like(part, memory_format=torch.contiguous_format))


def _go_through(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    wanted: Tensor,
    label_smoothing: float,
    logits_bytes: int,
    needed: tuple[bool, bool, bool],
) -> tuple[Tensor, Gradients]:
    """Return the loss, and its gradients for those of hidden states, weight and bias that need one."""
    device = hidden.device.type
    low, wide = hidden.dtype, torch.promote_types(hidden.dtype, torch.float32)
    if torch.is_autocast_enabled(device) and low != torch.float64:
        low = torch.get_autocast_dtype(device)
    loss = hidden.new_zeros((), dtype=wide)
    grad_hidden = torch.empty_like(hidden, dtype=low) if needed[0] else None
    grad_weight: Tensor | None = None
    grad_bias = torch.zeros_like(bias, dtype=wide) if bias is not None and needed[2] else None
    row_bytes = len(weight) * (low.itemsize + (0 if low == wide else wide.itemsize))
    with torch.autocast(device, enabled=False):
        inputs, matrix, shift = hidden.to(low), weight.to(low), None if bias is None else bias.to(low)
        for part in chunks(len(hidden), row_bytes, logits_bytes):
            rows, targets = _whole(inputs[part]), wanted[part]
            logits = product(rows, matrix, shift)
            logits[len(targets) :] = 0
            scores = logits if low == wide else logits.to(wide)
            loss += _softmax_(scores[: len(targets)], targets, label_smoothing)
            if not any(needed):
                continue
            _subtract_wanted_(scores[: len(targets)], targets, label_smoothing)
            if grad_bias is not None:
                # a product with ones takes half as long as a sum over rows
                grad_bias.addmv_(scores.t(), scores.new_ones(len(scores)))
            if low != wide:
                logits.copy_(scores)
            if grad_hidden is not None:
                grad_hidden[part] = product(logits, matrix.t())[: len(targets)]
            if needed[1]:
                step = weight_gradient(rows, logits).to(wide)
                grad_weight = step if grad_weight is None else grad_weight.add_(step)
            # before the next ones are made, so that there is never more than one chunk of them
            del logits, scores
    return loss, (_as(grad_hidden, hidden), _as(grad_weight, weight), _as(grad_bias, bias))


def _whole(rows: Tensor) -> Tensor:
    """Add rows of zeros, so that there are few shapes: oneDNN keeps what it prepares for each."""
    return rows if len(rows) < ROWS else functional.pad(rows, (0, 0, 0, -len(rows) % ROWS))


def _as(gradient: Tensor | None, of: Tensor | None) -> Tensor | None:
    return None if gradient is None or of is None else gradient.to(of.dtype)


def _softmax_(scores: Tensor, wanted: Tensor, label_smoothing: float) -> Tensor:
    """Turn logits, [rows, vocabulary], into probabilities in place, and return their summed cross-entropy.

    The log of the normaliser is a row's highest logit less the log of its highest probability, which never vanishes;
    the probability of the wanted token may.
    """
    target = scores.gather(1, wanted.unsqueeze(1)).squeeze(1)
    if label_smoothing:
        target = torch.lerp(target, scores.mean(1), label_smoothing)
    distance = scores.amax(1) - target
    torch.softmax(scores, 1, out=scores)
    return (distance - scores.amax(1).log()).sum()


def _subtract_wanted_(probabilities: Tensor, wanted: Tensor, label_smoothing: float) -> None:
    """Turn probabilities into the gradient of the logits in place."""
    if label_smoothing:
        probabilities -= label_smoothing / probabilities.shape[1]
    place = wanted.unsqueeze(1)
    probabilities.scatter_(1, place, probabilities.gather(1, place) - (1 - label_smoothing))


def chunks(tokens: int, row_bytes: int, logits_bytes: int) -> Iterator[slice]:
    """Yield as few parts of `tokens` rows as keep within `logits_bytes`, all but the last of one size.

    At least one row is in each of them, whatever it takes; of no rows there is one part. There is room for the zeros of
    `ROWS`.
    """
    most = max(1, logits_bytes // row_bytes)
    unit = ROWS if most >= ROWS else 1
    count = max(1, -(-tokens // (most - most % unit)))
    size = max(1, -(-tokens // count))
    size += -size % unit
    for start in range(0, max(1, tokens), size):
        yield slice(start, min(start + size, tokens))


def projected_cross_entropy(
    model: EncoderDecoder,
    hidden: Tensor,
    wanted: Tensor,
    *,
    label_smoothing: float = 0.0,
    logits_bytes: int = LOGITS_BYTES,
) -> Tensor:
    """Return the summed cross-entropy, in nats, of whatever a model's `project` is.

    Where all logits do not fit into the budget, they are made in chunks, and made again for the gradients.

    Args:
        hidden: [tokens, size].
        wanted: [tokens].
    """

    def chunk_loss(rows: Tensor, targets: Tensor) -> Tensor:
        logits = model.project(rows)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)

    parts = list(chunks(len(hidden), 4 * _vocabulary(model, hidden), logits_bytes))
    if len(parts) == 1 or not torch.is_grad_enabled():
        losses = [chunk_loss(hidden[part], wanted[part]) for part in parts]
    else:
        losses = [checkpoint(chunk_loss, hidden[part], wanted[part], use_reentrant=False) for part in parts]
    return torch.stack(losses).sum()


def _vocabulary(model: EncoderDecoder, hidden: Tensor) -> int:
    tables = model.embeddings()
    if tables is not None:
        return tables[1].num_embeddings
    with torch.no_grad():
        return model.project(hidden[:1]).shape[-1]

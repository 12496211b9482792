"""The check that the output layer which a model names is what it projects by, as training takes the loss from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..nn import EncoderDecoder, LinearOutput, output_loss
from ..nn.encoder_decoder import trusted_output_layer
from .subject import Subject, close, run, train_a_little

__all__ = ["check_output_layer"]


def check_output_layer(subject: Subject) -> None:
    """The loss by `output_layer()` is that by `project`, with all its gradients, in evaluation and in training.

    Every token of the vocabulary is wanted once, so that no cluster of an adaptive layer is passed over.
    """
    # not as it was initialised, where a bias is often zero
    model = train_a_little(subject)
    layer = trusted_output_layer(model)
    if layer is None:
        return
    assert isinstance(layer, LinearOutput | nn.AdaptiveLogSoftmaxWithLoss), (
        f"output_layer() returns a {type(layer).__name__}, not a LinearOutput, an AdaptiveLogSoftmaxWithLoss or None"
    )
    batch = subject.batch()
    with torch.no_grad():
        _, step = run(model, batch)
        real = step.hidden[batch.target_mask]
    wanted = torch.arange(subject.target_vocab)
    hidden = real[wanted % len(real)].requires_grad_()
    for mode in ("evaluation", "training"):
        model.train(mode == "training")
        _compare(model, hidden, wanted, mode)


def _compare(model: EncoderDecoder, hidden: Tensor, wanted: Tensor, mode: str) -> None:
    """Compare losses token by token, and their gradients.

    Args:
        hidden: [tokens, size].
        wanted: [tokens].
    """
    what = f"by output_layer() and by project() in {mode}"
    fast = torch.stack([output_loss(model, hidden[at : at + 1], wanted[at : at + 1]) for at in range(len(wanted))])
    slow = functional.cross_entropy(model.project(hidden).float(), wanted, reduction="none")
    close(fast.float(), slow, f"losses of tokens {what}")
    inputs = {"the hidden states": hidden, **dict(model.named_parameters())}
    inputs = {name: part for name, part in inputs.items() if part.requires_grad}
    gradients = [
        torch.autograd.grad(loss.sum(), list(inputs.values()), allow_unused=True, materialize_grads=True)
        for loss in (fast, slow)
    ]
    for name, one, other in zip(inputs, *gradients, strict=True):
        close(one, other, f"gradients of {name} {what}")

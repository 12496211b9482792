"""The three layers of the old library: sequences of vectors go in, sequences of vectors of another length come out."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, Final, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import LayerError
from ..settings import nearest
from .original import OriginalAttention, OriginalSeq2Seq, OriginalSimple
from .padding import check_mask, move_together
from .recurrent import detached
from .sizes import LayerOptions, Sizes, depth_pair, flag, input_shape, whole
from .textbook import AttentionCore, ContextCore, Kept

__all__ = ["AttentionSeq2Seq", "Seq2Seq", "SimpleSeq2Seq", "load_original_weights"]

ACTIVATIONS: Final = {"linear": nn.Identity, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}


class _Seq2SeqLayer(nn.Module):
    """What the three have in common: the spellings of a shape, the checks, and the state from batch to batch."""

    bidirectional_by_default = False

    def __init__(self, **options: Unpack[LayerOptions]) -> None:
        super().__init__()
        unknown = sorted(set(options) - set(LayerOptions.__annotations__))
        if unknown:
            raise LayerError(f"no argument {unknown[0]!r}", nearest(unknown[0], LayerOptions.__annotations__))
        self.batch_size, self.input_length, self.input_dim = input_shape(options)
        self.output_length = whole(options, "output_length")
        self.output_dim = whole(options, "output_dim")
        self.hidden_dim = self.output_dim if options.get("hidden_dim") is None else whole(options, "hidden_dim")
        self.depth = depth_pair(options.get("depth", 1))
        dropout: Any = options.get("dropout", 0.0)
        if not isinstance(dropout, Real) or not 0.0 <= float(dropout) < 1.0:
            raise LayerError(f"dropout={dropout!r}", "it is a share, from 0 up to but not 1")
        self.stateful = flag("stateful", options.get("stateful", False))
        self.teacher_force = flag("teacher_force", options.get("teacher_force", False))
        self.original = flag("original", options.get("original", False))
        self.bidirectional = flag("bidirectional", options.get("bidirectional", self.bidirectional_by_default))
        self.kept: Kept = ((), ())
        sizes = Sizes(self.input_dim, self.hidden_dim, self.output_length, self.output_dim, self.depth, float(dropout))
        if self.original:
            self._refuse_new(options)
            self.core = self._original(sizes)
        else:
            activation = _activation(options.get("activation", "linear"))
            cell, unroll = options.get("cell", "lstm"), flag("unroll", options.get("unroll", False))
            self.core = self._textbook(sizes, cell=cell, activation=activation, unroll=unroll)

    def _original(self, sizes: Sizes) -> nn.Module:
        raise NotImplementedError

    def _textbook(self, sizes: Sizes, **options: Any) -> nn.Module:
        raise NotImplementedError

    def _refuse_new(self, options: LayerOptions) -> None:
        """Refuse what the original does not have."""
        given: list[str] = [name for name in ("cell", "activation") if name in options]
        if self.bidirectional and not self.bidirectional_by_default:
            given.append("bidirectional=True")
        if self.teacher_force and not isinstance(self, Seq2Seq):
            given.append("teacher_force=True")
        if given:
            raise LayerError(
                f"the original {type(self).__name__} has no {' and no '.join(given)}", "make it with original=False"
            )

    def reset_states(self) -> None:
        """Let a stateful layer start anew at the next call."""
        self.kept = ((), ())

    def forward(self, x: Tensor, target: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Map [batch, input_length, input_dim] to [batch, output_length, output_dim].

        Args:
            target: [batch, output_length, output_dim], the truth. In training with `teacher_force` each step gets the
                truth of the step before it; in evaluation, and where it is None, each gets the last output.
            mask: bool [batch, input_length], True where a step is real, wherever the padding stands.

        Raises:
            LayerError: where a shape does not fit the layer, or a row of the mask is empty.
        """
        self._check_input(x, mask)
        self._check_target(x, target)
        truth = target.to(x) if target is not None and self.training else None
        if mask is not None:
            # what stands in the padding may be so large that no gate keeps it out, or not even a number
            x = x.masked_fill(~mask.unsqueeze(2), 0.0)
        if self.original:
            original: Tensor = self.core(x, truth, mask)
            return original
        lengths: Tensor | None = None
        if mask is not None:
            x, lengths, _ = move_together(x, mask)
            x = x[:, : int(lengths.max())]
        outputs: Tensor
        # a layer may have been moved or made double since the batch before
        encoder, decoder = (tuple(part.to(x) for part in state) for state in self.kept)
        outputs, kept = self.core(x, lengths, truth, (encoder, decoder))
        if self.stateful:
            self.kept = (detached(kept[0]), detached(kept[1]))
        return outputs

    def _check_input(self, x: Tensor, mask: Tensor | None) -> None:
        expected = (self.batch_size, self.input_length, self.input_dim)
        fits = x.dim() == 3 and 0 not in x.shape
        if not fits or any(want not in (None, given) for want, given in zip(expected, x.shape, strict=True)):
            listed = ", ".join("any" if number is None else str(number) for number in expected)
            raise LayerError(f"the input is {list(x.shape)}, the layer takes [{listed}]")
        if mask is not None:
            check_mask(mask, x.shape[0], x.shape[1])
        rows = [part.shape[0] for state in self.kept for part in state[:1]]
        if rows and rows[0] != x.shape[0]:
            raise LayerError(
                f"a batch of {x.shape[0]}, but the state that is kept is that of a batch of {rows[0]}",
                "call reset_states() before a batch of another size",
            )

    def _check_target(self, x: Tensor, target: Tensor | None) -> None:
        if target is None:
            return
        wanted = [x.shape[0], self.output_length, self.output_dim]
        if list(target.shape) != wanted:
            raise LayerError(f"the target is {list(target.shape)}, the output {wanted}")
        if not self.teacher_force:
            raise LayerError("a target, but the layer was made without teacher forcing", "pass teacher_force=True")


class SimpleSeq2Seq(_Seq2SeqLayer):
    """Encoder and decoder with only a context vector between them, which the decoder gets as its first input.

        C = the encoder's last output, mapped to output_dim
        y(t) = decoder(s(t-1), y(t-1)),  y(-1) = C,  s(-1) = 0

    The arguments are those of `LayerOptions`.

    Raises:
        LayerError: for sizes that make no layer, or an argument that does not exist; it names what was given.
    """

    def _original(self, sizes: Sizes) -> nn.Module:
        return OriginalSimple(sizes)

    def _textbook(self, sizes: Sizes, **options: Any) -> nn.Module:
        return ContextCore(
            sizes,
            bidirectional=self.bidirectional,
            broadcast_state=False,
            inner_broadcast_state=False,
            peek=False,
            **options,
        )


class Seq2Seq(_Seq2SeqLayer):
    """Encoder and decoder with the state broadcast from one to the other (Sutskever et al. 2014, Cho et al. 2014).

        C = the encoder's last output, mapped to output_dim
        y(t) = decoder(s(t-1), y(t-1)),      y(-1) = C
        y(t) = decoder(s(t-1), y(t-1) + C),  y(-1) = 0      with peek

    The other arguments are those of `LayerOptions`.

    Args:
        broadcast_state: the decoder starts from the encoder's state: layer by layer where the depths are equal, else
            every layer of it from the last encoder layer's. Without it the decoder starts from zero.
        inner_broadcast_state: all layers of the encoder share one state, and so do those of the decoder.
        peek: the decoder sees the context vector at every step, not only at the first.

    Raises:
        LayerError: for sizes that make no layer, or an argument that does not exist; it names what was given.
    """

    def __init__(
        self,
        *,
        broadcast_state: bool = True,
        inner_broadcast_state: bool = True,
        peek: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        self.broadcast_state = flag("broadcast_state", broadcast_state)
        self.inner_broadcast_state = flag("inner_broadcast_state", inner_broadcast_state)
        self.peek = flag("peek", peek)
        super().__init__(**options)

    def _original(self, sizes: Sizes) -> nn.Module:
        return OriginalSeq2Seq(
            sizes,
            broadcast_state=self.broadcast_state,
            inner_broadcast_state=self.inner_broadcast_state,
            peek=self.peek,
        )

    def _textbook(self, sizes: Sizes, **options: Any) -> nn.Module:
        return ContextCore(
            sizes,
            bidirectional=self.bidirectional,
            broadcast_state=self.broadcast_state,
            inner_broadcast_state=self.inner_broadcast_state,
            peek=self.peek,
            **options,
        )


class AttentionSeq2Seq(_Seq2SeqLayer):
    """An encoder that keeps every step, and a decoder that looks back at all of them (Bahdanau et al. 2015).

        v(t) = the sum of a(t, j) X(j), with a the softmax of an additive score of the decoder's last h and X(j)
        y(t) = decoder(s(t-1), y(t-1), v(t)),  y(-1) = 0,  s(-1) = 0

    The arguments are those of `LayerOptions`; `bidirectional` is True by default.

    Raises:
        LayerError: for sizes that make no layer, or an argument that does not exist; it names what was given.
    """

    bidirectional_by_default = True

    def _original(self, sizes: Sizes) -> nn.Module:
        return OriginalAttention(sizes, bidirectional=self.bidirectional)

    def _textbook(self, sizes: Sizes, **options: Any) -> nn.Module:
        return AttentionCore(sizes, bidirectional=self.bidirectional, **options)


def load_original_weights(layer: nn.Module, arrays: Sequence[Any]) -> None:
    """Give a layer made with `original=True` the weights of an old Keras model.

    Args:
        arrays: numpy arrays or tensors, in the order of the old model's `get_weights()`.

    Raises:
        LayerError: where the layer is none of the original's, or the arrays do not fit it; nothing is changed then.
    """
    if not isinstance(layer, _Seq2SeqLayer) or not layer.original:
        raise LayerError(
            f"this {type(layer).__name__} does not compute what the original does", "make it with original=True"
        )
    named = list(layer.core.named_parameters())
    arrays = list(arrays)
    if len(arrays) != len(named):
        raise LayerError(
            f"{len(arrays)} arrays are given, the layer has {len(named)} weights",
            "take all of get_weights(), of a model of the same depth and direction",
        )
    tensors = [_tensor(array, number) for number, array in enumerate(arrays)]
    for number, (tensor, (name, parameter)) in enumerate(zip(tensors, named, strict=True)):
        if tensor.shape != parameter.shape:
            raise LayerError(
                f"array {number} is {list(tensor.shape)}, the weight {name} is {list(parameter.shape)}",
                "give the layer the arguments that the old model was made with",
            )
    with torch.no_grad():
        for tensor, (_, parameter) in zip(tensors, named, strict=True):
            parameter.copy_(tensor)


def _tensor(array: Any, number: int) -> Tensor:
    numbers = np.asarray(array.detach().cpu() if isinstance(array, Tensor) else array)
    if numbers.dtype.kind not in "fiu":
        raise LayerError(f"array {number} holds {numbers.dtype}, not numbers", "give the arrays themselves, in a list")
    if not np.isfinite(numbers).all():
        raise LayerError(f"array {number} holds what is no finite number", "save the weights of the old model again")
    # a copy, and of a type that torch has: an array from a file may be read-only, or of another byte order
    return torch.from_numpy(numbers.astype(np.float64))


def _activation(activation: Any) -> nn.Module:
    if isinstance(activation, nn.Module):
        return activation
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise LayerError(f"activation={activation!r}", f"give a module, or one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[activation]()

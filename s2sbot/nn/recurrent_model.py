"""Knobs go in, embeddings, a recurrent encoder and a recurrent decoder come out: what the four models share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import SettingsError
from ..settings import knob
from ..text.tokenizer import PAD
from .adaptive import adaptive_log_probabilities, make_adaptive
from .attention import AdditiveAttention
from .dropout import forget_masks, make_dropout
from .encoder_decoder import EncoderDecoder, LinearOutput, Memory, OutputLayer, State, Step
from .padding import reverse_rows
from .products import FastLinear
from .recurrent import BidirectionalRecurrent, Recurrent
from .sizes import depth_pair
from .textbook import broadcast

__all__ = ["INITIALISATIONS", "ContextFirst", "RecurrentConfig", "RecurrentModel", "initialise"]

INITIALISATIONS: Final = ("scaled", "uniform", "orthogonal")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentConfig:
    """The knobs that every recurrent model has; a model's own `Config` derives from it and may change a default."""

    cell: str = knob("lstm", "recurrent cell", choices=("lstm", "gru"))
    embedding_size: int = knob(256, "size of a token's vector", minimum=1)
    hidden_size: int = knob(512, "size of the encoder's and of the decoder's state", minimum=2)
    depth: int | tuple[int, int] = knob(
        1, "layers of encoder and decoder, one number for both or [encoder, decoder]", minimum=1, maximum=16
    )
    dropout: float = knob(0.2, "share of activations dropped in training", minimum=0.0, maximum=0.9)
    embedding_dropout: float | None = knob(
        None, "that of tokens' vectors; as dropout where not given", minimum=0.0, maximum=0.9
    )
    variational: bool = knob(
        False, "what is dropped is the same at all steps of a row (Gal & Ghahramani 2016), not drawn at each"
    )
    recurrent_dropout: float = knob(
        0.0,
        "share of a step's own state that the next one does not see, the same at all steps of a row; slow, as training"
        " goes step by step",
        minimum=0.0,
        maximum=0.9,
    )
    bidirectional: bool = knob(False, "the encoder reads in both directions, with half of hidden_size each")
    broadcast_state: bool = knob(True, "the decoder starts from the encoder's states, not from zeros")
    inner_broadcast_state: bool = knob(False, "all layers of a stack share one state; slower, as it goes step by step")
    reverse_source: bool = knob(False, "the encoder reads the source from its end (Sutskever et al. 2014)")
    share_embeddings: bool = knob(True, "one table of vectors for source and target, where they share a vocabulary")
    tie_output: bool = knob(True, "the output layer compares with the target's vectors (Press & Wolf 2017)")
    adaptive_output: int | tuple[int, int] | None = knob(
        None,
        "for large vocabularies: this many of the most frequent tokens have the output layer to themselves, up to two"
        " numbers cut the others into clusters (Grave et al. 2017); needs tie_output=false",
        minimum=1,
    )
    initialisation: str = knob(
        "scaled",
        "first weights: scaled to each layer's size; uniform up to init_scale; or normal of init_scale with orthogonal"
        " recurrences",
        choices=INITIALISATIONS,
    )
    init_scale: float = knob(0.08, "bound, or standard deviation, of first weights that are not `scaled`", above=0.0)

    def __post_init__(self) -> None:
        """Refuse what no knob can see by itself."""
        if self.bidirectional and self.hidden_size % 2:
            raise SettingsError(
                f"model.hidden_size cannot be {self.hidden_size} with model.bidirectional",
                "each direction has half of it: make it even",
            )
        check_output(self)


def check_output(config: RecurrentConfig) -> None:
    """Refuse an adaptive output layer that is tied.

    Raises:
        SettingsError: where both are asked for.
    """
    if config.adaptive_output is not None and config.tie_output:
        raise SettingsError(
            "model.adaptive_output has vectors of its own, model.tie_output those of the target",
            "set model.tie_output=false with it",
        )


def _is_hooked(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks)


class RecurrentModel(EncoderDecoder):
    """An encoder that reads the source, a decoder that starts from what it made of it, an output layer over tokens.

    A model derives from it, says what its decoder sees besides the previous token, and writes `decode`.

    encoder   [batch, source_time, embedding_size] -> [batch, source_time, hidden_size] and a state, layer by layer
    decoder   [batch, time, embedding_size + extra_input] -> [batch, time, hidden_size] and a state
    readout   what stands between the decoder and the output layer: tanh of a linear map of [hidden, extra_output]

    There is dropout for each place: `source_dropout` and `target_dropout` on tokens' vectors, `memory_dropout` on what
    the decoder sees of the source, `dropout` on its hidden states, `readout_dropout` on what goes to the output layer.
    """

    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"embedding_size": 256, "hidden_size": 512, "depth": 1},
        "medium": {"embedding_size": 512, "hidden_size": 1024, "depth": 1},
        "large": {"embedding_size": 1024, "hidden_size": 2048, "depth": 2},
    }

    def __init__(
        self,
        config: RecurrentConfig,
        source_vocab: int,
        target_vocab: int,
        *,
        extra_input: int = 0,
        extra_output: int = 0,
        encoder_size: int | None = None,
    ) -> None:
        super().__init__(config, source_vocab, target_vocab)
        self.config = config
        embedding, hidden = config.embedding_size, config.hidden_size
        self.target_embedding = nn.Embedding(target_vocab, embedding, padding_idx=PAD)
        shared = config.share_embeddings and source_vocab == target_vocab
        self.source_embedding = self.target_embedding if shared else nn.Embedding(source_vocab, embedding, PAD)
        self.encoder_depth, self.decoder_depth = depth_pair(config.depth)
        direction = BidirectionalRecurrent if config.bidirectional else Recurrent
        stack: dict[str, Any] = {
            "cell": config.cell,
            "dropout": config.dropout,
            "variational": config.variational,
            "recurrent_dropout": config.recurrent_dropout,
            "share_state": config.inner_broadcast_state,
        }
        self.encoder = direction(embedding, encoder_size or hidden, depth=self.encoder_depth, **stack)
        self.decoder = Recurrent(embedding + extra_input, hidden, depth=self.decoder_depth, **stack)
        self.encoder_tensors = self._tensors(self.encoder_depth)
        width = embedding if config.tie_output else hidden
        plain = not config.tie_output and not extra_output
        self.readout = nn.Identity() if plain else nn.Sequential(FastLinear(hidden + extra_output, width), nn.Tanh())
        cutoffs = config.adaptive_output
        self.output: nn.Linear | nn.AdaptiveLogSoftmaxWithLoss | None = None
        if cutoffs is not None:
            self.output = make_adaptive(hidden, target_vocab, cutoffs if isinstance(cutoffs, tuple) else (cutoffs,))
        elif not config.tie_output:
            self.output = nn.Linear(hidden, target_vocab)
        self.output_bias = nn.Parameter(torch.zeros(target_vocab)) if config.tie_output else None
        self._make_dropouts(config)
        self.width = width

    def _make_dropouts(self, config: RecurrentConfig) -> None:
        """Make a layer for each place, as each has a mask of its own where masks are kept."""
        share = config.dropout if config.embedding_dropout is None else config.embedding_dropout
        self.source_dropout = make_dropout(share, variational=config.variational)
        self.target_dropout = make_dropout(share, variational=config.variational)
        self.memory_dropout = make_dropout(config.dropout, variational=config.variational)
        self.dropout = make_dropout(config.dropout, variational=config.variational)
        self.readout_dropout = make_dropout(config.dropout, variational=config.variational)
        self._keeps_masks = config.variational or config.recurrent_dropout > 0

    def _tensors(self, depth: int) -> int:
        return self.decoder.layer_states * (1 if self.config.inner_broadcast_state else depth)

    def encode_states(self, source: Tensor, source_mask: Tensor, begin: State = ()) -> tuple[Tensor, State]:
        """Return every step of the encoder, [batch, source_time, hidden_size], and its final states.

        The steps stand where their tokens do, also where they were read from the end; EOS is always read last.

        Args:
            begin: the encoder's first state; zeros where it is empty.
        """
        if self._keeps_masks:
            forget_masks(self)
        lengths = source_mask.sum(1)
        if self.config.reverse_source:
            source = reverse_rows(source, lengths - 1)
        values, finals = self.encoder(self.source_dropout(self.source_embedding(source)), lengths, begin)
        return reverse_rows(values, lengths - 1) if self.config.reverse_source else values, finals

    def context(self, finals: State) -> Tensor:
        """Return the context vector, [batch, hidden_size]: the last layer's h at the end of the source."""
        return finals[-self.decoder.layer_states]

    def start(self, finals: State) -> State:
        """Return what the decoder starts from: the encoder's states, or zeros without `broadcast_state`."""
        if not self.config.broadcast_state:
            return self.decoder.zeros(finals[0])
        return broadcast(finals, self.decoder.layer_states, len(self.decoder.state_sizes))

    def run_decoder(self, tokens: Tensor, state: State, extra: Tensor | None = None) -> tuple[Tensor, Tensor, State]:
        """Run over target tokens, [batch, time], each with an `extra` input, [batch, time, extra_input], beside it.

        Returns the tokens' vectors, the hidden states and the state at each row's end.
        """
        embedded = self.target_dropout(self.target_embedding(tokens))
        lengths = None if tokens.shape[1] == 1 else tokens.ne(PAD).sum(1)
        inputs = embedded if extra is None else torch.cat([embedded, extra], 2)
        hidden, state = self.decoder(inputs, lengths, state)
        return embedded, hidden, state

    def project(self, hidden: Tensor) -> Tensor:
        """Return logits, [..., target_vocab]; of an adaptive output layer, log-probabilities."""
        if self.output is None:
            return functional.linear(hidden, self.target_embedding.weight, self.output_bias)
        if isinstance(self.output, nn.AdaptiveLogSoftmaxWithLoss):
            return adaptive_log_probabilities(self.output, hidden)
        return cast(Tensor, self.output(hidden))

    def output_layer(self) -> OutputLayer | None:
        """Return the output layer; None where another was put in its place, or hooks that change what it computes."""
        output = self.output
        if output is None:
            return LinearOutput(self.target_embedding.weight, self.output_bias)
        if type(output) not in (nn.Linear, nn.AdaptiveLogSoftmaxWithLoss) or any(map(_is_hooked, output.modules())):
            return None
        return LinearOutput(output.weight, output.bias) if isinstance(output, nn.Linear) else output

    def embeddings(self) -> tuple[nn.Embedding, nn.Embedding]:
        """Return the source's and the target's table."""
        return self.source_embedding, self.target_embedding


class ContextFirst(RecurrentModel):
    """A model whose decoder sees the source through its first state alone, into which a context vector may go first."""

    def __init__(self, config: RecurrentConfig, source_vocab: int, target_vocab: int, *, first: bool) -> None:
        super().__init__(config, source_vocab, target_vocab)
        self.first = nn.Linear(config.hidden_size, config.embedding_size) if first else None
        initialise(self, config)

    def encode(self, source: Tensor, source_mask: Tensor, carry: State = ()) -> Memory:
        """Read the source; `values` has no step that a decoder could look at but the last."""
        _, finals = self.encode_states(source, source_mask, self.begin(carry) if carry else ())
        context, state = self.context(finals), self.start(finals)
        if self.first is not None:
            _, state = self.decoder(self.first(self.memory_dropout(context)).unsqueeze(1), None, state)
        return Memory(context.unsqueeze(1), source_mask[:, :1], state)

    def begin(self, carry: State) -> State:
        """Return the encoder's first state, given the decoder's last one of the turn before."""
        return broadcast(carry, self.decoder.layer_states, self.encoder_tensors)

    def decode(self, tokens: Tensor, memory: Memory, state: State) -> Step:
        """Run over the target tokens."""
        _, hidden, state = self.run_decoder(tokens, state)
        return Step(self.readout_dropout(self.readout(self.dropout(hidden))), state, None)


def initialise(model: RecurrentModel, config: RecurrentConfig) -> None:
    """Give every weight its first value.

    scaled      as torch does it, by each layer's size; token vectors of a length of about 1
    uniform     all weights uniform within `init_scale` (Sutskever et al. 2014, section 3.4: 0.08)
    orthogonal  recurrent matrices orthogonal gate by gate, biases 0, all others normal with a deviation of
                `init_scale`, those of an additive score a tenth of it and its last vector 0 (Bahdanau et al. 2015,
                section B.1; Cho et al. 2014, section 3.1: 0.01)
    """
    for name, parameter in model.named_parameters():
        if config.initialisation == "uniform":
            nn.init.uniform_(parameter, -config.init_scale, config.init_scale)
        elif config.initialisation == "orthogonal" and parameter.dim() < 2:
            nn.init.zeros_(parameter)
        elif config.initialisation == "orthogonal" and "weight_hh" in name:
            for gate in torch.split(parameter.detach(), parameter.shape[1]):
                nn.init.orthogonal_(gate)
        elif config.initialisation == "orthogonal":
            nn.init.normal_(parameter, std=config.init_scale)
    if config.initialisation == "orthogonal":
        for layer in model.modules():
            if isinstance(layer, AdditiveAttention):
                nn.init.zeros_(layer.score.weight)
                nn.init.normal_(layer.query.weight, std=config.init_scale / 10)
                nn.init.normal_(layer.key.weight, std=config.init_scale / 10)
    for table in dict.fromkeys(model.embeddings()):
        if config.initialisation == "scaled":
            nn.init.normal_(table.weight, std=config.embedding_size**-0.5)
        with torch.no_grad():
            table.weight[PAD].zero_()

"""The contract that a model plugin fulfils: token ids and a memory of the source go in, hidden states come out."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from ..errors import SettingsError

__all__ = [
    "EncoderDecoder",
    "LinearOutput",
    "Memory",
    "OutputLayer",
    "State",
    "Step",
    "check_tables",
    "load_model_tensors",
    "model_tensors",
    "put_vectors",
    "select_rows",
    "state_from_bytes",
    "state_to_bytes",
    "trusted_output_layer",
]

State = tuple[Tensor, ...]
"""What a model remembers between steps; batch is the first dimension of every tensor in it."""


class Memory(NamedTuple):
    """What the encoder made of the source.

    values  [batch, source_time, size], what attention looks at
    mask    [batch, source_time], True where there is a token
    state   what the decoder starts from
    """

    values: Tensor
    mask: Tensor
    state: State


class Step(NamedTuple):
    """What the decoder made of one or many target tokens.

    hidden     [batch, time, size], goes through `project`
    state      after each row's last token that is not PAD
    attention  [batch, time, source_time], or None for a model that does not attend
    """

    hidden: Tensor
    state: State
    attention: Tensor | None


class LinearOutput(NamedTuple):
    """A linear map of hidden states to logits.

    weight  [target_vocab, size]
    bias    [target_vocab], or None
    """

    weight: Tensor
    bias: Tensor | None


OutputLayer = LinearOutput | nn.AdaptiveLogSoftmaxWithLoss
"""What `project` may be besides a computation of the model's own."""


class EncoderDecoder(nn.Module, ABC):
    """A sequence-to-sequence model over token ids; what every model plugin derives from.

    Training and stepping go through the same `decode`: with all target tokens at once, or with one. Batch is the first
    dimension of every tensor in `Memory` and `State`, so that beams, branches and batches work on any model.
    """

    Config: ClassVar[type]
    """The model's own frozen dataclass of knobs: the table `model`."""
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What `--size small|medium|large` puts into the table `model`."""
    presets: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    """Named sets of settings (data, model, train, decode) for `--preset`."""

    @abstractmethod
    def __init__(self, config: Any, source_vocab: int, target_vocab: int) -> None:
        super().__init__()

    @abstractmethod
    def encode(self, source: Tensor, source_mask: Tensor, carry: State = ()) -> Memory:
        """Read the source, [batch, source_time]; `source_mask` is True where there is a token.

        `carry` is what `carry()` returned at the end of the turn before, or empty at the first one. For a model that is
        `stateful`, zeros in its place mean the same as an empty one, so that rows may begin at different turns.
        """

    @abstractmethod
    def decode(self, tokens: Tensor, memory: Memory, state: State) -> Step:
        """Go on from `state` with target tokens, [batch, time]; each row has at least one, and may end in PAD."""

    @abstractmethod
    def project(self, hidden: Tensor) -> Tensor:
        """Return logits, [..., target_vocab], of hidden states, [..., size]."""

    def output_layer(self) -> OutputLayer | None:
        """Return what `project` computes, so that training need not hold all logits; None where it is something else.

        It counts only together with the `project` that it was written for: see `trusted_output_layer`.
        """
        return None

    @property
    def stateful(self) -> bool:
        """Return whether the model has a mind between turns, which `carry` hands on."""
        return False

    def carry(self, memory: Memory, final_state: State) -> State:
        """Return what the next turn starts from; empty for a model without a mind between turns.

        Each tensor is [batch, ...] and has the same shape and type at every turn.
        """
        return ()

    def embeddings(self) -> tuple[nn.Embedding, nn.Embedding] | None:
        """Return the tables of the source's and the target's tokens, into which pretrained vectors may be put.

        They may be one and the same; None where the model has no such tables.
        """
        return None


def trusted_output_layer(model: EncoderDecoder) -> OutputLayer | None:
    """Return the model's `output_layer()`, or None where its `project` is of a class below the one that wrote that."""
    kinds = type(model).__mro__

    def written(name: str) -> int:
        return next(place for place, kind in enumerate(kinds) if name in vars(kind))

    if "project" in vars(model) or written("project") < written("output_layer"):
        return None
    return model.output_layer()


Tree = TypeVar("Tree", bound="Tensor | tuple[Any, ...]")


def select_rows(tree: Tree, index: Tensor) -> Tree:
    """Return a Memory or State whose row i is row `index[i]` of `tree`; rows may be dropped or repeated.

    Args:
        index: [rows], whole numbers.
    """
    selected: Any
    if isinstance(tree, Tensor):
        selected = tree.index_select(0, index)
    else:
        parts = [select_rows(part, index) for part in tree]
        selected = type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return cast(Tree, selected)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's weights by name, each once: of tied ones the first name counts."""
    tensors = model.state_dict()
    return {name: tensors[name] for name, first in _first_names(model).items() if name == first}


def load_model_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Undo `model_tensors`.

    Raises:
        RuntimeError: where names or shapes do not fit the model.
    """
    first = _first_names(model)
    aliases = {name: tensors[first[name]] for name in first if first[name] in tensors}
    model.load_state_dict({**tensors, **aliases})


def _first_names(model: nn.Module) -> dict[str, str]:
    """Return for every name in the model's state the first name that the same tensor has."""
    first: dict[int, str] = {}
    tensors = model.state_dict(keep_vars=True)
    return {name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()}


def put_vectors(model: EncoderDecoder, vectors: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> None:
    """Put pretrained vectors into the tables of source and target.

    They are scaled, all by one number, to the root mean square that the table has by itself: the lengths of vectors
    differ widely between their makers, and the output layer may be tied to them.

    Args:
        vectors: (token ids, [found, size]) for the source's and the target's table.

    Raises:
        SettingsError: where the model has no tables, or theirs have another size, or all numbers are 0.
    """
    tables = check_tables(model, [rows.shape[1] for _, rows in vectors])
    for table, (ids, rows) in dict(zip(tables, vectors, strict=True)).items():
        if not len(ids):
            continue
        new = torch.from_numpy(np.array(rows, np.float64))
        own, given = table.weight.double().square().mean().sqrt(), new.square().mean().sqrt()
        if not given > 0:
            raise SettingsError("all numbers of the word vectors are 0", "take other vectors")
        with torch.no_grad():
            table.weight[torch.from_numpy(np.array(ids))] = (new * (own.to(new.device) / given)).to(table.weight)


def check_tables(model: EncoderDecoder, sizes: Sequence[int]) -> tuple[nn.Embedding, nn.Embedding]:
    """Return the tables of source and target, and refuse vectors that do not fit them.

    Args:
        sizes: how many numbers the vectors of each have.

    Raises:
        SettingsError: where the model has no tables, or of another size; it says how to give them that size.
    """
    tables = model.embeddings()
    if tables is None:
        raise SettingsError(f"the model {type(model).__name__} has no tables for word vectors", "leave --vectors out")
    for table, given in zip(tables, sizes, strict=True):
        if table.embedding_dim != given:
            knob = any(field.name == "embedding_size" for field in dataclasses.fields(model.Config))
            raise SettingsError(
                f"the word vectors have {given} numbers, the model's tables {table.embedding_dim}",
                f"give the tables their size with --set model.embedding_size={given}"
                if knob
                else "give the tables their size with the model's own knob: see --list-settings",
            )
    return tables


def state_to_bytes(state: State) -> bytes | None:
    """Return a state as safetensors, or None where it is empty."""
    if not state:
        return None
    return save_tensors({f"{index:03}": tensor.contiguous().cpu() for index, tensor in enumerate(state)})


def state_from_bytes(data: bytes | None, device: torch.device) -> State:
    """Read what `state_to_bytes` wrote."""
    if not data:
        return ()
    tensors = load_tensors(data)
    return tuple(tensors[name].to(device) for name in sorted(tensors))

"""Checks of what a model is made of: weights that are saved whole, drawn from the caller's seed, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from ..nn import Batch, EncoderDecoder, Memory, State, Step, state_from_bytes, state_to_bytes
from ..nn.encoder_decoder import load_model_tensors, model_tensors
from ..settings import SIZES, build
from ..tables import TABLE_NAMES
from .subject import Subject, run, same_states, train_a_little

__all__ = ["check_embeddings", "check_evaluation", "check_saving", "check_seeds", "check_tables", "stored"]


@torch.no_grad()
def check_saving(subject: Subject) -> None:
    """What is saved is all there is: a model of other weights that loads it answers to the bit as the first one."""
    model, again = train_a_little(subject, seed=0), subject.ready(seed=1)
    saved = save({name: part.contiguous() for name, part in model_tensors(model).items()})
    load_model_tensors(again, load(saved))
    batch = subject.batch()
    memory, step = run(model, batch)
    _, other = run(again, batch)
    assert torch.equal(model.project(step.hidden), again.project(other.hidden)), (
        "a model that was loaded answers otherwise"
    )
    same_states(step.state, other.state, "states of a model that was saved and of one that was loaded")
    for state in (memory.state, step.state):
        same_states(stored(state), state, "a state and what was stored of it")


def stored(state: State) -> State:
    """Return a state that went through bytes, row by row as the engine stores it."""
    count = state[0].shape[0] if state else 0
    rows = [
        state_from_bytes(state_to_bytes(tuple(part[row : row + 1].clone() for part in state)), torch.device("cpu"))
        for row in range(count)
    ]
    return tuple(torch.cat(parts) for parts in zip(*rows, strict=True))


@torch.no_grad()
def check_evaluation(subject: Subject) -> None:
    """In evaluation mode the same goes in and the same comes out; nothing is drawn, and nothing given is changed."""
    model, batch = subject.ready(), subject.batch()
    random = torch.get_rng_state()
    memory = model.encode(batch.source, batch.source_mask)
    given = tuple(part.clone() for part in (memory.values, memory.mask, *memory.state))
    first, logits = _decoded(model, batch, memory)
    assert not any(part.training for part in model.modules()), "the model leaves evaluation mode by itself"
    same_states((memory.values, memory.mask, *memory.state), given, "the memory before and after decode()")
    for again in (model.encode(batch.source, batch.source_mask), memory):
        step, other = _decoded(model, batch, again)
        assert torch.equal(first.hidden, step.hidden), "a second call returns other hidden states"
        assert torch.equal(logits, other), "a second call returns other logits"
        same_states(first.state, step.state, "the states of two calls")
    assert torch.equal(torch.get_rng_state(), random), "random numbers are drawn in evaluation mode"


def _decoded(model: EncoderDecoder, batch: Batch, memory: Memory) -> tuple[Step, Tensor]:
    step = model.decode(batch.target_input, memory, memory.state)
    return step, model.project(step.hidden)


def check_seeds(subject: Subject) -> None:
    """All that is random follows torch's seed, which the model never sets."""

    def started(seed: int) -> tuple[list[Tensor], Tensor]:
        model = subject.model(seed)
        random = torch.get_rng_state()
        return [*(part.detach() for part in model.parameters()), *model.buffers()], random

    (one, random), (again, _), (other, other_random) = started(1), started(1), started(2)
    assert _equal(one, again), "two models of one seed have different weights"
    assert not torch.equal(random, other_random), "the constructor sets the seed"
    assert not _equal(one, other), "models of two seeds have the same weights: drawn from a seed of the model's own"
    model, batch = subject.model(), subject.batch()
    assert _random_after(1, lambda: run(model, batch)) != _random_after(2, lambda: run(model, batch)), (
        "encode() or decode() sets the seed"
    )


def _equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(part, again) for part, again in zip(one, other, strict=True))


def _random_after(seed: int, act: Callable[[], object]) -> list[int]:
    torch.manual_seed(seed)
    act()
    state: list[int] = torch.get_rng_state().tolist()
    return state


def check_embeddings(subject: Subject) -> None:
    """What `embeddings()` returns are tables of the model, of the sizes of the two vocabularies."""
    larger, smaller = subject.source_vocab, subject.source_vocab - 11
    for source, target in ((larger, larger), (larger, smaller)):
        model = subject.with_vocabularies(source, target).model()
        tables = model.embeddings()
        if tables is None:
            continue
        assert isinstance(tables, tuple) and len(tables) == 2, "embeddings() must be a pair of tables, or None"
        own = {id(parameter) for parameter in model.parameters()}
        for table, vocabulary, side in zip(tables, (source, target), ("source", "target"), strict=True):
            assert isinstance(table, nn.Embedding), f"the {side}'s table is a {type(table).__name__}, not an Embedding"
            assert table.num_embeddings == vocabulary, (
                f"the {side}'s table has {table.num_embeddings} rows for a vocabulary of {vocabulary}"
            )
            assert id(table.weight) in own, f"the {side}'s table is none of the model's parameters"


def check_tables(subject: Subject) -> None:
    """`Config` needs no value, and every size and preset is of knobs that there are."""
    kind = subject.kind
    kind.Config()
    unknown = sorted(set(kind.sizes) - set(SIZES))
    assert not unknown, f"there is no size {', '.join(unknown)}; there are {', '.join(SIZES)}"
    for size in kind.sizes.values():
        build(kind.Config, size, "model")
    for name, preset in kind.presets.items():
        stray = sorted(set(preset) - set(TABLE_NAMES))
        assert not stray, f"the preset {name} has a table {', '.join(stray)}; there are {', '.join(TABLE_NAMES)}"
        build(kind.Config, preset.get("model", {}), "model")

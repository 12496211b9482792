"""What every model, tokenizer and reader must do, ours and a stranger's alike; each check raises AssertionError.

from s2sbot.testing import check_model

def test_my_model():
    check_model(MyModel, MyModel.Config(hidden_size=16))
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from .nn import Batch, EncoderDecoder, batch_loss, generate, select_rows
from .nn.encoder_decoder import load_model_tensors, model_tensors
from .settings import DecodeSettings
from .text.dialogue import Cue, Dialogue, Exchange, Reader
from .text.tokenizer import RESERVED, UNK, Tokenizer

__all__ = ["check_model", "check_reader", "check_tokenizer"]

VOCABULARY = 40
TOLERANCE = 1e-4


def check_model(kind: type[EncoderDecoder], config: Any) -> None:
    """Check the contract of a model on a small configuration of it.

    Decoding all tokens at once equals decoding one by one; neither padding nor the rest of the batch changes a row;
    `select_rows` commutes with `decode`; saving and loading changes nothing; evaluation is deterministic; every
    parameter gets a gradient; greedy search and a beam of one agree.
    """
    torch.manual_seed(0)
    model = kind(config, VOCABULARY, VOCABULARY)
    generator = torch.Generator().manual_seed(1)
    rows = [
        torch.randint(RESERVED, VOCABULARY, (length,), generator=generator).tolist() for length in (7, 3, 5, 1, 4, 2)
    ]
    batch = Batch.collate(rows[:3], rows[3:])
    _check_gradients(model, batch)
    model.eval()
    with torch.no_grad():
        _check_steps(model, batch)
        _check_padding(model, rows)
        _check_selection(model, batch)
        _check_saving(model, kind, config, batch)
    _check_search(model, rows)


def _logits(model: EncoderDecoder, batch: Batch) -> torch.Tensor:
    memory = model.encode(batch.source, batch.source_mask)
    return model.project(model.decode(batch.target_input, memory, memory.state).hidden)


def _close(one: torch.Tensor, other: torch.Tensor, what: str) -> None:
    assert one.shape == other.shape, f"{what}: shapes {tuple(one.shape)} and {tuple(other.shape)}"
    assert torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE), f"{what}: {(one - other).abs().max():.2e} apart"


def _check_gradients(model: EncoderDecoder, batch: Batch) -> None:
    model.train()
    model.zero_grad()
    loss, tokens = batch_loss(model, batch)
    assert torch.isfinite(loss), "the loss is not finite"
    assert int(tokens) == int(batch.target_mask.sum())
    loss.backward()  # type: ignore[no-untyped-call]
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without, f"no gradient reaches {', '.join(without)}"


def _check_steps(model: EncoderDecoder, batch: Batch) -> None:
    memory = model.encode(batch.source, batch.source_mask)
    whole = model.decode(batch.target_input, memory, memory.state)
    assert torch.equal(whole.hidden, model.decode(batch.target_input, memory, memory.state).hidden), (
        "evaluation is not deterministic"
    )
    state, hidden = memory.state, []
    for time in range(batch.target_input.shape[1]):
        step = model.decode(batch.target_input[:, time : time + 1], memory, state)
        state = step.state
        hidden.append(step.hidden)
    mask = batch.target_mask
    _close(whole.hidden[mask], torch.cat(hidden, 1)[mask], "all steps at once and one by one")
    for part in (*memory.state, *whole.state, memory.values, memory.mask):
        assert part.shape[0] == len(batch), "batch must be the first dimension of every tensor in Memory and State"


def _check_padding(model: EncoderDecoder, rows: list[list[int]]) -> None:
    together = Batch.collate(rows[:3], rows[3:])
    logits = _logits(model, together)
    memory = model.encode(together.source, together.source_mask)
    states = model.decode(together.target_input, memory, memory.state).state
    for index in range(3):
        alone = Batch.collate(rows[index : index + 1], rows[index + 3 : index + 4])
        length = int(alone.target_mask.sum())
        _close(logits[index : index + 1, :length], _logits(model, alone), "a row in a padded batch and by itself")
        memory = model.encode(alone.source, alone.source_mask)
        own = model.decode(alone.target_input, memory, memory.state).state
        for part, whole in zip(own, states, strict=True):
            _close(whole[index : index + 1], part, "the final state of a padded row and by itself")


def _check_selection(model: EncoderDecoder, batch: Batch) -> None:
    index = torch.tensor([2, 0, 0])
    memory = model.encode(batch.source, batch.source_mask)
    first = model.decode(batch.target_input[:, :1], memory, memory.state)
    chosen = model.decode(batch.target_input[index, :1], select_rows(memory, index), select_rows(memory.state, index))
    _close(first.hidden[index], chosen.hidden, "rows selected after and before a step")


def _check_saving(model: EncoderDecoder, kind: type[EncoderDecoder], config: Any, batch: Batch) -> None:
    again = kind(config, VOCABULARY, VOCABULARY)
    load_model_tensors(again, load(save({name: part.contiguous() for name, part in model_tensors(model).items()})))
    again.eval()
    assert torch.equal(_logits(model, batch), _logits(again, batch)), "saving and loading changes the model"


def _check_search(model: EncoderDecoder, rows: list[list[int]]) -> None:
    greedy = DecodeSettings(max_length=8, no_repeat_ngram=0)
    beam = DecodeSettings(max_length=8, no_repeat_ngram=0, method="beam", beam_size=1)
    together = generate(model, rows, greedy)
    for row, found, beamed in zip(rows, together, generate(model, rows, beam), strict=True):
        alone = generate(model, [row], greedy)[0]
        assert alone.tokens == found.tokens, "a reply depends on the rest of its batch"
        assert beamed.tokens == found.tokens, "greedy search and a beam of one differ"


def check_tokenizer(kind: type[Tokenizer], lines: Iterable[str]) -> None:
    """Check the contract of a tokenizer: bare ids, a round trip up to white space, and one through a folder."""
    lines = list(lines)
    tokenizer = kind.train(iter(lines), None)
    assert len(tokenizer) > RESERVED, "no ids beyond the reserved ones"
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        again = kind.load(Path(folder))
    assert len(again) == len(tokenizer), "another size after loading"
    for line in [*lines, "", "never seen: \u2603 \U0001f600"]:
        ids = tokenizer.encode(line)
        assert all(RESERVED <= index < len(tokenizer) or index == UNK for index in ids), f"reserved ids in {ids}"
        assert again.encode(line) == ids, "other ids after loading"
        assert isinstance(tokenizer.decode(ids), str)
        if UNK not in ids:
            assert tokenizer.decode(ids).split() == line.split(), f"{line!r} came back as {tokenizer.decode(ids)!r}"
    assert tokenizer.decode(list(range(RESERVED))).strip() == "", "reserved ids have a text"


def check_reader(kind: type[Reader], data: bytes, name: str) -> None:
    """Check the contract of a reader on a file of its kind: it knows and reads it, and refuses rubbish."""
    reader = kind()
    assert 0 < reader.sniff(data[: 2**16], name) <= 1, "it does not know its own file"
    items = list(reader.read(io.BytesIO(data), name))
    assert items, "nothing was read"
    assert all(isinstance(item, Cue | Dialogue | Exchange) for item in items)
    assert items == list(reader.read(io.BytesIO(data), name)), "reading twice gives two results"
    rubbish = bytes(range(256)) * 16
    assert reader.sniff(rubbish, "rubbish.bin") == 0, "it claims binary data"
    with contextlib.suppress(ValueError):
        list(reader.read(io.BytesIO(rubbish), "rubbish.bin"))

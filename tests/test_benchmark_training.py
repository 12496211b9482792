"""The benchmark of training compares like with like: one model, one loss, the same batches, and a sum that adds up."""

import gzip
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small import write_pairs

from s2sbot.nn import Batch
from s2sbot.nn.scoring import batch_loss
from s2sbot.plugins import Plugins
from s2sbot.preparation import prepare
from s2sbot.settings import DataSettings
from s2sbot.text import open_corpus

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    """Import the benchmark as its command does: its folder comes first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import training
        import training_plain

        training.training_plain = training_plain
        yield training


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    pairs = write_pairs(folder / "pairs.tsv", times=30)
    data = DataSettings(tokenizer="words", valid_share=0.2)
    *_, found = prepare([open_corpus(pairs)], [], data, Plugins(), out=folder / "out", workers=1)
    return found


@pytest.fixture(scope="module")
def sizes(bench, prepared):
    return bench.Sizes(vocabulary=len(prepared.tokenizers[0]), embedding=6, hidden=8, dropout=0.0)


@pytest.mark.parametrize(("step_by_step", "input_feeding"), [(True, False), (False, False), (True, True)])
def test_the_plain_model_is_ours(bench, prepared, sizes, tmp_path, step_by_step, input_feeding):
    ours = bench.Ours(tmp_path, prepared, sizes, input_feeding=input_feeding).loop.model.double()
    plain = bench.PlainModel(sizes, step_by_step=step_by_step, input_feeding=input_feeding).double()
    assert sum(part.numel() for part in plain.parameters()) == sum(part.numel() for part in ours.parameters())
    plain.take_weights(ours)
    rows = np.arange(12)
    batch = Batch.of(prepared.train, rows)
    assert not bool(batch.source_mask.all()) and not bool(batch.target_mask.all()), "nothing here is padded"
    pairs = [prepared.train.row(row) for row in rows]
    loss, tokens = batch_loss(ours, batch)
    theirs = bench.training_plain.plain_loss(plain, pairs)
    assert theirs.item() == pytest.approx(loss.item() / tokens.item(), rel=1e-12)
    (loss / tokens).backward()
    theirs.backward()
    gradient = {name: part.grad for name, part in plain.named_parameters()}["output.weight"]
    assert torch.allclose(gradient, ours.output.weight.grad, atol=1e-14)
    for name in ("source_embedding", "target_embedding", "query", "readout"):
        mine = {"query": ours.attention.query, "readout": ours.readout[0]}.get(name) or getattr(ours, name)
        assert torch.allclose(getattr(plain, name).weight.grad, mine.weight.grad, atol=1e-14), name


def test_weights_that_do_not_fit_are_refused(bench, prepared, sizes, tmp_path):
    fed = bench.Ours(tmp_path, prepared, sizes, input_feeding=True).loop.model
    with pytest.raises(RuntimeError, match="decoder"):
        bench.PlainModel(sizes, step_by_step=True).take_weights(fed)


@pytest.mark.parametrize("input_feeding", [False, True])
def test_all_contenders_learn(bench, prepared, tmp_path, monkeypatch, input_feeding):
    monkeypatch.setattr(bench, "Sizes", partial(bench.Sizes, embedding=6, hidden=8))
    makers = bench.contenders(tmp_path, prepared, input_feeding=input_feeding)
    assert next(iter(makers)) == bench.OURS
    for name, make in makers.items():
        contender = make().contender
        model = contender.loop.model if name == bench.OURS else contender.model
        before = [part.detach().clone() for part in model.parameters()]
        contender.step(np.arange(8))
        changed = [not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)]
        assert all(changed), name


def test_our_step_is_the_trainers(bench, prepared, sizes, tmp_path):
    ours = bench.Ours(tmp_path, prepared, sizes)
    for row in range(3):
        ours.step(np.arange(row, row + 4))
    assert (ours.loop.step, ours.loop.order.epoch) == (3, 0)
    assert ours.loop.updater.optimizer.defaults["fused"]
    assert ours.loop.updater.optimizer.param_groups[0]["lr"] == bench.RATE


def test_buckets_are_of_like_length_and_batches_of_all(bench, prepared, monkeypatch):
    monkeypatch.setattr(bench, "ROWS", 5)
    batches = bench.Batches(prepared.train, 1)
    assert len(np.unique(batches.buckets)) == batches.buckets.size
    like, mixed = batches.like(4), batches.any(4)
    assert [len(rows) for rows in like + mixed] == [5] * 8
    spread = [float(np.ptp(batches.target[rows])) for rows in batches.buckets]
    assert max(spread) <= 1
    source, target = batches.tokens(like)
    pairs = [prepared.train.row(int(row)) for rows in like for row in rows]
    assert source == sum(len(one) + 1 for one, _ in pairs)
    assert target == sum(len(two) + 1 for _, two in pairs)


def test_the_limit_adds_up(bench):
    pieces = [
        bench.Piece("encoder", "source token", 2e-3),
        bench.Piece("decoder", "target token", 3e-3),
        bench.Piece("output", "target token", 1e-3),
        bench.Piece("Adam", "update", 0.5),
    ]
    # 100 source and 50 target tokens in 2 updates: 0.2 + 0.15 + 0.05 + 1.0 s
    assert bench.limit(pieces, source=100, target=50, updates=2) == pytest.approx(150 / 1.4)


@pytest.mark.parametrize("input_feeding", [False, True])
def test_the_roofline_counts_every_weight_once(bench, sizes, input_feeding):
    rows, lengths = 4, (5.0, 6.0)
    model = bench.PlainModel(sizes, step_by_step=True, input_feeding=input_feeding)
    parts = list(model.parameters())
    pieces = bench.Bench(sizes, parts, rows=rows, lengths=lengths).pieces(input_feeding=input_feeding)
    assert all(piece.seconds > 0 for piece in pieces)
    flop = {per: sum(piece.flop for piece in pieces if piece.per == per) for per in ("source token", "target token")}
    # three products of a multiplication and an addition for each weight that a token meets
    matrices = {name: part.numel() for name, part in model.named_parameters() if part.dim() == 2}
    met = {"source token": 0, "target token": 0}
    for name, count in matrices.items():
        if name.startswith("encoder"):
            met["source token"] += count
        elif not name.startswith(("bridge", "source", "target")):
            met["target token"] += count
    assert flop == {per: 6 * count for per, count in met.items()}


def test_a_slope_is_that_of_the_line(bench):
    assert bench.runs.slope([10.0, 12.0, 14.0, 16.0]) == pytest.approx(2.0)
    assert bench.runs.slope([3.0, 5.0, 3.0]) == pytest.approx(0.0, abs=1e-12)


def test_the_memory_of_a_process_is_its_own(bench):
    small = bench.runs.watched([sys.executable, "-c", "import time; time.sleep(0.3)"]).peak_mb
    large = bench.runs.watched([sys.executable, "-c", "import time; x = b'x' * 200_000_000; time.sleep(0.3)"]).peak_mb
    again = bench.runs.watched([sys.executable, "-c", "import time; time.sleep(0.3)"]).peak_mb
    assert 180 < large - small < 220
    assert again < small + 50, "the highest of all children, not of this one"


def test_data_is_prepared_once(bench, tmp_path, monkeypatch):
    made = []

    def prepare_it(command):
        made.append(command)
        out = Path(command[-1])
        out.mkdir()
        (out / "data.json").write_text(json.dumps({"format": 1}))
        (out / "card.json").write_text("{}")
        return bench.runs.Ended(0.0, 0.0)

    monkeypatch.setattr(bench.runs, "watched", prepare_it)
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    for name in ("train", "val"):
        for language in ("en", "de"):
            (data / f"{name}.{language}.gz").write_bytes(gzip.compress(f"{name} {language}\n".encode()))
    out = bench.runs.prepared_folder(data, work)
    assert (work / "text" / "val.de").read_text() == "val de\n"
    assert bench.runs.prepared_folder(data, work) == out
    assert bench.runs.prepared_folder(out, work) == out
    assert len(made) == 1


def test_the_settings_are_those_of_the_common_model(bench, prepared):
    settings = bench.common_settings(prepared, bench.Sizes())
    assert (settings.config.embedding_size, settings.config.hidden_size, settings.config.score) == (256, 512, "general")
    assert not settings.config.tie_output
    assert not settings.config.share_embeddings
    with torch.device("meta"):
        model = Plugins().model("attention")(settings.config, 8000, 8000)
    assert sum(part.numel() for part in model.parameters()) == 12_141_888

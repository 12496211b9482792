"""Dropout, words and pieces of words by chance, a model's own words: each against a slow reference, and all at once."""

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from right_models import Config, Mindful, Right

from s2sbot import BOS, PAD, RESERVED, SEP, UNK
from s2sbot.nn import Batch, GRUCell, LSTMCell, SimpleRNNCell, Stack
from s2sbot.nn.dataset import Update
from s2sbot.nn.dropout import RowDropout, forget_masks
from s2sbot.nn.recurrent import deep_cell
from s2sbot.nn.sampling import decode_own, drop_words
from s2sbot.nn.scoring import Minds, turn_loss, update_loss
from s2sbot.plugins import Plugins
from s2sbot.text.packed import Packed

VOCABULARY = RESERVED + 12
SOURCES = [[16, 17, 18, 19], [20, 21], [22, 23, 24]]
TARGETS = [[17, 18], [19, 20, 21, 22, 23], [24]]


def batch():
    return Batch.collate(SOURCES, TARGETS)


def make(name, **knobs):
    torch.manual_seed(3)
    kind = Plugins().model(name)
    sizes = {"embedding_size": 6, "hidden_size": 8, "depth": 2, "dropout": 0.0, **knobs}
    return kind(kind.Config(**sizes), VOCABULARY, VOCABULARY).double()


MODELS = {
    "attention": lambda **knobs: make("attention", **knobs),
    "input feeding": lambda **knobs: make("attention", input_feeding=True, **knobs),
    "peek": lambda **knobs: make("peek", **knobs),
    "simple": lambda **knobs: make("simple", **knobs),
    "stateful": lambda **knobs: make("stateful-broadcast", **knobs),
    "shared state": lambda **knobs: make("stateful-broadcast", inner_broadcast_state=True, **knobs),
}
STRANGE = {
    "a stranger's": lambda: Right(Config(), VOCABULARY, VOCABULARY).double(),
    "a stranger's mind": lambda: Mindful(Config(), VOCABULARY, VOCABULARY).double(),
}


class TestRowDropout:
    def test_a_row_loses_the_same_at_all_steps(self):
        torch.manual_seed(1)
        layer = RowDropout(0.4)
        kept = layer(torch.ones(50, 7, 20))
        assert torch.equal(kept, kept[:, :1].expand_as(kept))
        assert torch.equal(layer(torch.ones(50, 20)), kept[:, 0])
        assert set(kept.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.6)}
        assert kept.eq(0).float().mean() == pytest.approx(0.4, abs=0.03)
        assert not torch.equal(kept[0], kept[1])

    def test_other_rows_lose_other_things(self):
        torch.manual_seed(1)
        layer = torch.nn.Sequential(RowDropout(0.5))
        first = layer(torch.ones(3, 40))
        forget_masks(layer)
        assert not torch.equal(layer(torch.ones(3, 40)), first)
        assert layer(torch.ones(2, 40)).shape == (2, 40)

    def test_nothing_is_lost_outside_of_training(self):
        values = torch.ones(3, 40)
        assert RowDropout(0.5).eval()(values) is values
        assert RowDropout(0.0)(values) is values

    def test_a_mask_is_no_weight(self):
        layer = RowDropout(0.5)
        layer(torch.ones(3, 40))
        assert not layer.state_dict()


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, SimpleRNNCell])
class TestRecurrentDropout:
    """What no fused kernel does, against the equations with a mask on h."""

    def test_each_step_sees_the_state_through_one_mask(self, cell):
        torch.manual_seed(1)
        stack = deep_cell(3, 5, cell=cell, recurrent_dropout=0.5).double()
        inputs, lengths = torch.randn(4, 6, 3, dtype=torch.float64), torch.tensor([6, 2, 4, 1])
        outputs, final = stack.sequence(inputs, lengths)
        [one] = stack.cells
        mask = one.recurrent_dropout.mask
        assert set(mask.unique().tolist()) == {0.0, 2.0}
        for row, length in enumerate(lengths.tolist()):
            state = stack.zeros(inputs[row : row + 1])
            for time in range(length):
                dropped = (state[0] * mask[row], *state[1:])
                output, state = one(inputs[row : row + 1, time], dropped)
                torch.testing.assert_close(outputs[row, time], output[0], rtol=0, atol=1e-14)
            for part, wanted in zip(final, state, strict=True):
                torch.testing.assert_close(part[row], wanted[0], rtol=0, atol=1e-14)

    def test_the_fused_way_is_left_to_all_others(self, cell, monkeypatch):
        monkeypatch.setattr(cell, "forward", lambda *_: pytest.fail("went step by step"))
        inputs = torch.randn(2, 3, 3)
        deep_cell(3, 5, cell=cell, depth=2, dropout=0.2, variational=True).sequence(inputs)
        deep_cell(3, 5, cell=cell, recurrent_dropout=0.5).eval().sequence(inputs)


def test_variational_dropout_stands_between_layers():
    torch.manual_seed(1)
    stack = deep_cell(3, 5, cell="gru", depth=2, dropout=0.5, variational=True).double()
    inputs = torch.randn(4, 6, 3, dtype=torch.float64)
    whole, final = stack.sequence(inputs)
    stepped, last = stack.unrolled(inputs)
    torch.testing.assert_close(whole, stepped, rtol=0, atol=1e-14)
    plain = Stack(stack.cells[0]).sequence(inputs)[0] * stack.layers[1].mask.unsqueeze(1)
    torch.testing.assert_close(whole, stack.cells[1].sequence(plain)[0], rtol=0, atol=1e-14)
    torch.testing.assert_close(final[1], last[1], rtol=0, atol=1e-14)


class TestKnobs:
    def shares(self, model):
        names = ("source_dropout", "target_dropout", "memory_dropout", "dropout", "readout_dropout")
        layers = [getattr(model, name) for name in names]
        return [layer.share if isinstance(layer, RowDropout) else layer.p for layer in layers]

    def test_vectors_of_tokens_have_a_share_of_their_own(self):
        assert self.shares(make("peek", dropout=0.3)) == [0.3] * 5
        assert self.shares(make("peek", dropout=0.3, embedding_dropout=0.1)) == [0.1, 0.1, 0.3, 0.3, 0.3]
        assert self.shares(make("peek", dropout=0.3, embedding_dropout=0.0, variational=True)) == [0, 0, 0.3, 0.3, 0.3]

    def test_weights_are_called_the_same_whatever_is_dropped(self):
        plain = make("attention", bidirectional=True)
        dropped = make("attention", bidirectional=True, dropout=0.3, variational=True, recurrent_dropout=0.3)
        assert {name: tensor.shape for name, tensor in plain.state_dict().items()} == {
            name: tensor.shape for name, tensor in dropped.state_dict().items()
        }

    @pytest.mark.parametrize("name", sorted(MODELS))
    def test_every_encoding_draws_new_masks(self, name):
        model = MODELS[name](dropout=0.5, variational=True, recurrent_dropout=0.5)
        one = batch()
        torch.manual_seed(1)
        losses = [turn_loss(model, one, ())[0].item() for _ in range(2)]
        torch.manual_seed(1)
        assert losses == [turn_loss(model, one, ())[0].item() for _ in range(2)]
        assert losses[0] != losses[1]

    @pytest.mark.parametrize("name", sorted(MODELS))
    def test_single_steps_have_the_masks_of_a_whole_sequence(self, name):
        """So that scheduled sampling and input feeding mean the same rows."""
        model, one = MODELS[name](dropout=0.5, variational=True, recurrent_dropout=0.4), batch()
        memory = model.encode(one.source, one.source_mask)
        whole = model.decode(one.target_input, memory, memory.state).hidden
        stepped, _ = decode_own(model, one.target_input, memory, 0.0)
        torch.testing.assert_close(stepped[one.target_mask], whole[one.target_mask], rtol=0, atol=1e-12)
        model.eval()
        undropped = model.decode(one.target_input, memory, memory.state).hidden
        assert (undropped - whole)[one.target_mask].abs().max() > 1e-3


class TestWords:
    def test_only_words_become_unknown(self):
        sources = [[16, SEP, 17, 5, 18]] * 200
        one = Batch.collate(sources, [[16, 17]] * 100 + [[18]] * 100)
        torch.manual_seed(1)
        dropped = drop_words(one, 0.3)
        for before, after in ((one.source, dropped.source), (one.target_input, dropped.target_input)):
            words = before >= RESERVED
            assert torch.equal(before[~words], after[~words])
            assert torch.equal(after[words & (after != UNK)], before[words & (after != UNK)])
            assert after[words].eq(UNK).double().mean() == pytest.approx(0.3, abs=0.06)
        assert torch.equal(dropped.target_output, one.target_output)
        assert torch.equal(dropped.source_mask, one.source_mask) and torch.equal(dropped.target_mask, one.target_mask)

    def test_an_update_learns_from_them(self):
        model, packed = make("simple"), Packed.pack(list(zip(SOURCES, TARGETS, strict=True)))
        seen = []
        model.encode, encode = lambda source, *rest: seen.append(source) or encode(source, *rest), model.encode
        torch.manual_seed(1)
        update_loss(model, packed, Update.of_batch(np.arange(3)), Minds(0), word_dropout=0.9)
        assert seen[0].eq(UNK).sum() > 3
        update_loss(model, packed, Update.of_batch(np.arange(3)), Minds(0))
        assert not seen[1].eq(UNK).any()


class TestOwnWords:
    @pytest.mark.parametrize("name", [*sorted(MODELS), *STRANGE])
    def test_a_share_of_zero_is_teacher_forcing(self, name):
        model, one = {**MODELS, **STRANGE}[name](), batch()
        model.eval()
        memory = model.encode(one.source, one.source_mask)
        whole = model.decode(one.target_input, memory, memory.state)
        hidden, carried = decode_own(model, one.target_input, memory, 0.0)
        losses = [
            torch.nn.functional.cross_entropy(
                model.project(each[one.target_mask]), one.target_output[one.target_mask], reduction="sum"
            )
            for each in (hidden, whole.hidden)
        ]
        assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-10)
        for part, wanted in zip(carried, model.carry(memory, whole.state), strict=True):
            torch.testing.assert_close(part, wanted, rtol=0, atol=1e-12)
        grads = [torch.autograd.grad(loss, model.parameters(), allow_unused=True, retain_graph=True) for loss in losses]
        for own, wanted in zip(*grads, strict=True):
            assert (own is None) == (wanted is None)
            if own is not None:
                torch.testing.assert_close(own, wanted, rtol=0, atol=1e-10)

    @pytest.mark.parametrize("name", ["attention", "input feeding", "stateful"])
    def test_what_was_chosen_counts_as_if_it_had_been_given(self, name, monkeypatch):
        """Loss, mind and gradients are those of teacher forcing with the tokens that were chosen."""
        model, one = MODELS[name](), batch()
        fed = []
        monkeypatch.setattr(
            model, "decode", lambda tokens, *rest: fed.append(tokens) or type(model).decode(model, tokens, *rest)
        )
        torch.manual_seed(4)
        loss, count, carried = turn_loss(model, one, (), scheduled_sampling=0.6)
        monkeypatch.undo()
        tokens = torch.cat(fed, 1)
        assert not tokens.eq(PAD).any()
        assert tokens[:, 0].eq(BOS).all()
        real = one.target_input != PAD
        changed = (tokens != one.target_input) & real
        assert 2 <= changed.sum() < real.sum() - len(one)
        assert tokens[changed].ge(RESERVED).all()
        given = Batch(one.source, one.source_mask, tokens.masked_fill(~real, PAD), one.target_output, one.target_mask)
        wanted, wanted_count, wanted_carry = turn_loss(model, given, ())
        assert loss.item() == pytest.approx(wanted.item(), abs=1e-10)
        assert count == wanted_count == 11
        for part, other in zip(carried, wanted_carry, strict=True):
            torch.testing.assert_close(part, other, rtol=0, atol=1e-12)
        own, forced = (torch.autograd.grad(each, list(model.parameters())) for each in (loss, wanted))
        for grad, other in zip(own, forced, strict=True):
            torch.testing.assert_close(grad, other, rtol=0, atol=1e-10)

    def test_words_are_drawn_by_what_the_model_foretells(self, monkeypatch):
        model, rows = make("simple").eval(), 4_000
        one = Batch.collate([[16, 17]] * rows, [[18, 19]] * rows)
        fed = []
        monkeypatch.setattr(
            model, "decode", lambda tokens, *rest: fed.append(tokens) or type(model).decode(model, tokens, *rest)
        )
        torch.manual_seed(4)
        with torch.no_grad():
            memory = model.encode(one.source, one.source_mask)
            hidden, _ = decode_own(model, one.target_input, memory, 1.0)
            chances = model.project(hidden[0, 0] * 1.0)[RESERVED:].softmax(0)
        drawn = torch.bincount(fed[1][:, 0] - RESERVED, minlength=len(chances)) / rows
        assert chances.max() > 1.2 * chances.min()
        torch.testing.assert_close(drawn.double(), chances, rtol=0, atol=4 * math.sqrt(0.1 / rows))

    def test_numbers_that_are_not_finite_stop_nothing(self):
        model, one = make("simple"), batch()
        with torch.no_grad():
            model.output_bias.fill_(math.nan)
        loss, _, _ = turn_loss(model, one, (), scheduled_sampling=1.0)
        assert not loss.isfinite()


def test_nothing_is_drawn_where_nothing_is_asked_for():
    """A run without these knobs draws no random number for them, and goes the fast way."""
    model, packed = make("stateful-broadcast"), Packed.pack(list(zip(SOURCES, TARGETS, strict=True)))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    update_loss(model, packed, Update.of_batch(np.arange(3)), Minds(0))
    assert torch.equal(torch.get_rng_state(), before)


def every_way(pieces, word):
    """Return every way to write a word in pieces."""
    if not word:
        return [()]
    return [
        (piece, *rest)
        for end in range(1, len(word) + 1)
        if (piece := word[:end]) in pieces
        for rest in every_way(pieces, word[end:])
    ]


SYLLABLES = ("ka", "ri", "to", "men", "lu", "sha", "dor", "pi", "en", "ta")


@pytest.fixture(scope="module")
def cutter():
    chance = random.Random(1)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 3))) for _ in range(400)]
    lines = [" ".join(chance.choices(words, k=6)) for _ in range(300)]
    return Plugins().tokenizer("sentencepiece").train(lines, 140)


class TestPieces:
    def test_a_cut_depends_on_the_number_alone(self, cutter):
        text = "shatamen pika kadorlu taritoen"
        found = [tuple(cutter.sample(text, number)) for number in range(40)]
        assert len(set(found)) > 10
        assert found == [tuple(cutter.sample(text, number)) for number in range(40)]
        assert {cutter.decode(ids) for ids in found} == {cutter.decode(cutter.encode(text))} == {text}

    def test_ways_are_drawn_by_the_probability_of_their_pieces(self, cutter):
        """Against all ways that there are, of a word that has fewer than are looked at."""
        processor = cutter._processor
        pieces = {processor.id_to_piece(index): index for index in range(RESERVED, len(cutter))}
        ways = [tuple(pieces[piece] for piece in way) for way in every_way(pieces, "\u2581shatamen")]
        assert 4 <= len(ways) < 64
        heights = [math.exp(0.2 * sum(processor.get_score(index) for index in way)) for way in ways]
        times = 6_000
        drawn = Counter(tuple(cutter.sample("shatamen", number)) for number in range(times))
        assert set(drawn) <= set(ways)
        for way, height in zip(ways, heights, strict=True):
            share = height / sum(heights)
            assert drawn[way] / times == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / times))

    @pytest.mark.parametrize("text", ["", " ", "\u200b", "\ud800", "a\u2581b", "<s>", "\x00 ka", "ｋａ  riB"])
    def test_strange_texts_come_out_as_they_do_whole(self, cutter, text):
        assert cutter.decode(cutter.sample(text, 1)) == cutter.decode(cutter.encode(text))


class TestSubwordSampling:
    def make(self, cutter, share):
        from s2sbot.trainer.subwords import SubwordSampling

        return SubwordSampling(share, (cutter, cutter))

    def packed(self, cutter, number=40):
        texts = ["pika toen", "shatamen lupi kadorlu", "tarito en mendor"]
        rows = [cutter.encode(texts[index % 3]) for index in range(number)]
        return Packed.pack([(row, rows[index - 1]) for index, row in enumerate(rows)])

    def test_an_update_holds_the_same_texts_in_other_pieces(self, cutter):
        packed = self.packed(cutter)
        update = Update((np.array([3, 9, 30]), np.array([4, 10])), np.array([0, 1, 2]), np.ones(3, bool))
        cut, turns = self.make(cutter, 1.0).cut(packed, update, (1, 7))
        assert [turn.tolist() for turn in turns.turns] == [[0, 1, 2], [3, 4]]
        assert turns.slots is update.slots and turns.fresh is update.fresh
        for place, row in enumerate([3, 9, 30, 4, 10]):
            for before, after in zip(packed.row(row), cut.row(place), strict=True):
                assert cutter.decode(after) == cutter.decode(before)
        assert cut.target_tokens(turns.turns) != packed.target_tokens(update.turns)

    def test_a_share_of_the_sentences_is_cut_by_numbers(self, cutter):
        packed, update = self.packed(cutter, 300), Update.of_batch(np.arange(300))
        sampling = self.make(cutter, 0.5)
        cut, _ = sampling.cut(packed, update, (1, 7))
        again, _ = sampling.cut(packed, update, (1, 7))
        other, _ = sampling.cut(packed, update, (1, 8))
        same = [a == b for row in range(300) for a, b in zip(cut.row(row), packed.row(row), strict=True)]
        assert 0.5 <= sum(same) / len(same) < 0.75  # some are cut as they were
        assert np.array_equal(cut.source_ids, again.source_ids)
        assert not np.array_equal(cut.target_ids[:50], other.target_ids[:50])

    def test_turns_of_a_context_stay_apart(self, cutter):
        from s2sbot.trainer.subwords import cut_anew

        turns = [cutter.encode(text) for text in ("pika toen", "shatamen", "kadorlu pi")]
        ids = [*turns[0], SEP, *turns[1], SEP, *turns[2]]
        found = {tuple(cut_anew(cutter, ids, number)) for number in range(20)}
        assert len(found) > 5
        for each in found:
            parts = [list(run) for key, run in itertools.groupby(each, lambda index: index == SEP) if not key]
            assert [cutter.decode(part) for part in parts] == ["pika toen", "shatamen", "kadorlu pi"]

    def test_what_cannot_be_had_whole_stays(self, cutter):
        from s2sbot.trainer.subwords import cut_anew

        ids = [*cutter.encode("shatamen"), UNK, *cutter.encode("pika")]
        assert all(cut_anew(cutter, ids, number) == ids for number in range(10))
        other = [index for character in "pika" for index in cutter.encode(character)]
        assert all(cut_anew(cutter, other, number) == other for number in range(10))

    @pytest.mark.parametrize("share", [0.0, 0.5])
    def test_other_tokenizers_are_refused_at_once(self, tmp_path, share):
        from small import tables, write_pairs

        import s2sbot

        run = s2sbot.training(
            write_pairs(tmp_path / "pairs.tsv"), bot=tmp_path / "bot", settings=tables(subword_sampling=share, steps=1)
        )
        if not share:
            with run:
                return
        with pytest.raises(s2sbot.SettingsError, match=r"'words' cuts a text in one way only") as caught, run:
            pass
        assert "sentencepiece" in caught.value.hint
        assert not (tmp_path / "bot").exists()


EVERYTHING = {
    "word_dropout": 0.1,
    "subword_sampling": 0.5,
    "scheduled_sampling": 0.5,
    "label_smoothing": 0.1,
    "weight_decay": 0.01,
    "optimizer": "adamw",
    "schedule": "plateau",
    "plateau_factor": 0.7,
    "validations": 4,
    "ema": 0.9,
    "steps": 13,
}


@pytest.mark.parametrize("model", ["attention", "stateful-broadcast"])
def test_a_run_with_all_of_it_goes_on_to_the_bit(tmp_path, model, monkeypatch):
    """Stopped at a step between two lines of loss and two validations, and resumed."""
    from small import MODEL, tables, write_subtitles

    import s2sbot
    from s2sbot.trainer.checkpoint import latest_checkpoint
    from s2sbot.trainer.loop import Loop

    film = write_subtitles(tmp_path / "film.srt", scenes=8)
    dropped = {"dropout": 0.2, "embedding_dropout": 0.1, "variational": True, "recurrent_dropout": 0.2, "depth": 2}
    settings = {**tables(**EVERYTHING), "data": {"valid_share": 0.2, "scene_gap": 60.0}, "model": {**MODEL, **dropped}}

    def lines(run):
        with run:
            return [
                (event.kind, event.step, event.loss, event.learning_rate, event.perplexity)
                for event in run
                if event.kind in ("step", "validation") and not event.transient
            ]

    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    told = lines(s2sbot.training(film, bot=straight, model=model, settings=settings))
    run, original = s2sbot.training(film, bot=stopped, model=model, settings=settings), Loop._train_step

    def asked(self):
        if self.step == 6:
            run.stop()
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_train_step", asked)
        first = lines(run)
    assert first and told
    assert told == first + lines(s2sbot.training(bot=stopped, resume=True))
    one, other = (
        latest_checkpoint(bot / "training" / "checkpoints", lambda path, cause: pytest.fail(cause))
        for bot in (straight, stopped)
    )
    for part in ("weights", "optimizer", "average", "minds"):
        left, right = getattr(one, part), getattr(other, part)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left), part
    assert bool(one.minds) == (model == "stateful-broadcast")
    assert one.state["course"] == other.state["course"]
    assert one.state["updater"] == other.state["updater"]


class TestDropout:
    """Random bytes drop as random floats do."""

    @pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
    def test_the_share_and_the_mean(self, share):
        from s2sbot.nn.dropout import Dropout

        torch.manual_seed(3)
        layer = Dropout(share)
        inputs = torch.ones(1_000, 1_003, dtype=torch.float64)
        made = layer(inputs)
        dropped = float((made == 0).double().mean())
        assert dropped == pytest.approx(share, abs=1 / 512 + 2e-3)
        assert float(made.mean()) == pytest.approx(1.0, abs=0.01)
        # every place of a number of eight bytes is as likely as any other
        places = (made.flatten()[: 125_000 * 8].view(-1, 8) == 0).double().mean(0)
        assert float((places - dropped).abs().max()) < 0.01

    def test_the_gradient_goes_where_nothing_was_dropped(self):
        from s2sbot.nn.dropout import Dropout

        inputs = torch.randn(7, 5, requires_grad=True)
        made = Dropout(0.3)(inputs)
        made.sum().backward()
        torch.testing.assert_close(inputs.grad * inputs.detach(), made.detach())

    def test_the_seed_fixes_it_and_evaluation_leaves_it_out(self):
        from s2sbot.nn.dropout import Dropout

        layer, inputs = Dropout(0.5), torch.randn(9, 11)
        found = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            found.append(layer(inputs))
        assert torch.equal(found[0], found[1])
        assert not torch.equal(found[0], found[2])
        assert layer.eval()(inputs) is inputs

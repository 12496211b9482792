"""A model with a mind learns in dialogue order, is resumed to the bit, and keeps its mind in chat and store."""

import pytest
import torch
from small import tables, write_pairs, write_subtitles

import s2sbot
from s2sbot.bot import read_description
from s2sbot.nn import Batch, generate
from s2sbot.nn.encoder_decoder import state_from_bytes
from s2sbot.store import Store
from s2sbot.trainer.checkpoint import Checkpoint


def settings(**train):
    knobs = tables(**train)
    # two tensors of state, so that their order counts too
    model = {**knobs["model"], "cell": "lstm"}
    return {**knobs, "model": model, "data": {"tokenizer": "words", "valid_share": 0.2, "scene_gap": 60.0}}


def train(corpus, bot, **options):
    with s2sbot.training(corpus, bot=bot, **options) as run:
        return list(run)


def newest(bot):
    steps = sorted((bot / "training" / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
    return Checkpoint.load(steps[-1])


@pytest.fixture
def film(tmp_path):
    return write_subtitles(tmp_path / "film.srt", scenes=8)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad", "adadelta"])
@pytest.mark.parametrize("model", ["stateful-broadcast", "peek"])
def test_a_run_that_was_stopped_goes_on_to_the_bit(film, tmp_path, model, optimizer):
    straight, halted = tmp_path / "straight.bot", tmp_path / "halted.bot"
    knobs = settings(optimizer=optimizer, checkpoint_every=1e9)
    train(film, straight, model=model, settings=knobs)
    with s2sbot.training(film, bot=halted, model=model, settings=knobs) as run:
        for progress in run:
            if progress.kind == "validation":
                run.stop()
    assert newest(halted).state["step"] < 12
    with s2sbot.training(bot=halted, resume=True) as run:
        list(run)
    one, other = newest(straight), newest(halted)
    assert one.state["step"] == other.state["step"] == 12
    for part in ("weights", "optimizer", "average", "minds"):
        first, second = getattr(one, part), getattr(other, part)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first), part


def test_minds_are_in_the_checkpoint_of_a_model_that_has_them(film, tmp_path):
    train(film, tmp_path / "a.bot", model="stateful-broadcast", settings=settings())
    assert len(newest(tmp_path / "a.bot").minds) == 2
    train(film, tmp_path / "b.bot", model="simple", settings=settings())
    assert not newest(tmp_path / "b.bot").minds


def test_a_mind_without_dialogues_learns_as_any_model(tmp_path):
    pairs = write_pairs(tmp_path / "pairs.tsv")
    events = train(pairs, tmp_path / "a.bot", model="stateful-broadcast", settings=tables())
    assert events[-1].perplexity
    assert not newest(tmp_path / "a.bot").minds


@pytest.fixture
def bot(film, tmp_path):
    train(film, tmp_path / "mind.bot", model="stateful-broadcast", settings=settings(steps=30))
    return s2sbot.load(tmp_path / "mind.bot")


def test_a_conversation_goes_on_from_the_carried_state(bot):
    talk = bot.conversation()
    talk.reply("Hello.")
    first = talk._carry
    assert [tuple(part.shape) for part in first] == [(1, 32), (1, 32)]
    second = talk.reply("Who are you?")
    fresh = bot.conversation().reply("Who are you?")
    # the same words, another mind: another log-probability
    assert second.score != pytest.approx(fresh.score, abs=1e-6)
    talk.restart()
    assert talk.reply("Who are you?") == fresh


def test_the_state_is_saved_with_the_message_and_restored_to_the_bit(bot, tmp_path):
    with Store.open(tmp_path / "conversations.db") as store:
        talk = bot.conversation(store=store)
        talk.reply("Hello.")
        talk.reply("Where are we going?")
        carried = talk._carry
        message = store.path(talk.id)[-1]
        kept = state_from_bytes(message.state, torch.device("cpu"))
        assert all(torch.equal(one, other) for one, other in zip(kept, carried, strict=True))
        again = bot.conversation(store=store, resume=talk.id)
        assert all(torch.equal(one, other) for one, other in zip(again._carry, carried, strict=True))
        assert again.reply("Thank you.").score == talk.reply("Thank you.").score


def test_a_bot_without_carrying_has_no_mind(film, tmp_path):
    knobs = settings(steps=4)
    knobs["model"] = {**knobs["model"], "carry": False}
    train(film, tmp_path / "none.bot", model="stateful-broadcast", settings=knobs)
    talk = s2sbot.load(tmp_path / "none.bot").conversation()
    talk.reply("Hello.")
    assert talk._carry == ()
    assert read_description(tmp_path / "none.bot").config["carry"] is False


@pytest.mark.parametrize("turns", [1, 3])
def test_an_update_takes_as_many_turns_as_asked(film, tmp_path, turns):
    with s2sbot.training(
        film, bot=tmp_path / "a.bot", model="stateful-broadcast", settings=settings(bptt_turns=turns, steps=2)
    ) as run:
        list(run)
        assert max(len(update.turns) for update in run._loop.order.updates) == turns


def test_a_loss_that_is_not_finite_leaves_no_mind(film, tmp_path):
    with s2sbot.training(film, bot=tmp_path / "a.bot", model="stateful-broadcast", settings=settings()) as run:
        for progress in run:
            if progress.kind == "validation":
                break
        loop = run._loop
        assert any(bool(part.any()) for part in loop.minds.state)
        kept = [parameter.detach().clone() for parameter in loop.model.parameters()]
        with torch.no_grad():
            loop.model.target_embedding.weight.fill_(float("nan"))
        slots = loop.order.updates[loop.order.position].slots
        loop._train_step()
        assert not any(bool(part[slots].any()) for part in loop.minds.state)
        assert loop.updater.read("bad")["bad"] == 1
        with torch.no_grad():
            for parameter, values in zip(loop.model.parameters(), kept, strict=True):
                parameter.copy_(values)


def test_the_loss_is_the_mean_of_tokens_or_of_exchanges(film, tmp_path):
    norms = {}
    for average in ("tokens", "exchanges"):
        knobs = settings(steps=1, average=average, optimizer="sgd", learning_rate=1.0, warmup_steps=0, clip=1e9)
        bot = tmp_path / f"{average}.bot"
        with s2sbot.training(film, bot=bot, model="simple", settings=knobs) as run:
            for progress in run:
                if progress.kind == "start":
                    before = [parameter.detach().clone() for parameter in run._loop.model.parameters()]
                    update = run._loop.order.updates[0]
            after = list(run._loop.model.parameters())
            batch = Batch.of(run._loop.prepared.train, update.turns[0])
        norms[average] = (
            sum(float((one - other).detach().square().sum()) for one, other in zip(before, after, strict=True)) ** 0.5
        )
    ratio = int(batch.target_mask.sum()) / len(batch)
    assert norms["exchanges"] / norms["tokens"] == pytest.approx(ratio, rel=1e-3)


def test_a_bot_is_evaluated_in_the_order_of_dialogues(bot, film, tmp_path, monkeypatch):
    from s2sbot import evaluation

    ordered = evaluation.evaluate_bot(bot, film).perplexity
    monkeypatch.setattr(evaluation, "previous_exchanges", lambda exchanges: [-1] * len(exchanges))
    assert evaluation.evaluate_bot(bot, film).perplexity != pytest.approx(ordered, rel=1e-6)


def test_what_was_never_learnt_is_not_carried(tmp_path):
    train(write_pairs(tmp_path / "pairs.tsv"), tmp_path / "a.bot", model="stateful-broadcast", settings=tables())
    bot = s2sbot.load(tmp_path / "a.bot")
    assert not bot.description.mind
    talk = bot.conversation()
    first = talk.reply("Hello.")
    assert talk.reply("Hello.") == first


def test_a_reply_that_is_cut_short_is_kept_in_mind_to_its_last_word(bot):
    talk = bot.conversation(max_length=2, min_length=2)
    reply = talk.reply("Who are you?")
    assert reply.tokens == 2
    source = bot.source_tokenizer.encode("Who are you?")
    [cut] = generate(bot.model, [source], talk.settings)
    assert (len(cut.tokens), cut.complete, cut.carry) == (2, False, ())
    batch = Batch.collate([source], [cut.tokens])
    memory = bot.model.encode(batch.source, batch.source_mask)
    wanted = bot.model.decode(batch.target_input, memory, memory.state).state
    for one, other in zip(talk._carry, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_a_reply_that_is_stopped_is_kept_in_mind_too(bot):
    talk = bot.conversation()
    pieces = talk.stream("Who are you?")
    next(pieces)
    pieces.close()
    assert talk._carry


def test_a_line_that_was_never_answered_leaves_the_mind_as_it_was(bot, tmp_path):
    with Store.open(tmp_path / "conversations.db") as store:
        talk = bot.conversation(store=store)
        talk.reply("Hello.")
        carried = talk._carry
        store.append(talk.id, "user", "Are you there?")
        again = bot.conversation(store=store, resume=talk.id)
        assert all(torch.equal(one, other) for one, other in zip(again._carry, carried, strict=True))

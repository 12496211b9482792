"""Dialogues side by side: each goes on where it left off, nothing is lost or told twice, and minds follow their own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from s2sbot_simple import Simple, SimpleConfig
from s2sbot_stateful_broadcast import StatefulBroadcast, StatefulBroadcastConfig

from s2sbot.nn import Batch, Packed, evaluate
from s2sbot.nn.dataset import LONGEST_DIALOGUE, Update, dialogue_slots, epoch_dialogues, sequential_dialogues
from s2sbot.nn.scoring import Minds, turn_loss, update_loss

CONFIG = StatefulBroadcastConfig(embedding_size=8, hidden_size=8, dropout=0.0)


def packed(lengths, seed=0):
    """Return dialogues of so many exchanges each, with random rows."""
    random = np.random.default_rng(seed)
    pairs, previous = [], []
    for length in lengths:
        for turn in range(length):
            previous.append(len(pairs) - 1 if turn else -1)
            pairs.append(tuple(random.integers(16, 30, random.integers(1, 9)).tolist() for _ in range(2)))
    return Packed.pack(pairs, previous)


def walk(updates):
    """Return for each slot, in order, the runs of rows that went through it."""
    runs = {}
    for update in updates:
        for lane, (slot, fresh) in enumerate(zip(update.slots.tolist(), update.fresh.tolist(), strict=True)):
            if fresh:
                runs.setdefault(slot, []).append([])
            runs[slot][-1] += [int(rows[lane]) for rows in update.turns if lane < len(rows)]
    return [run for slot in runs.values() for run in slot]


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 2 * LONGEST_DIALOGUE + 3), min_size=1, max_size=30),
    turns=st.integers(1, 4),
    tokens=st.integers(20, 400),
    seed=st.integers(0, 9),
)
def test_every_dialogue_is_walked_through_once_in_order(lengths, turns, tokens, seed):
    data = packed(lengths)
    runs = walk(epoch_dialogues(data, tokens, turns=turns, seed=seed, epoch=0))
    assert sorted(row for run in runs for row in run) == list(range(len(data)))
    for run in runs:
        assert 1 <= len(run) <= LONGEST_DIALOGUE
        assert run == list(range(run[0], run[0] + len(run)))
        begins = data.previous[run[0]] < 0 or (run[0] - _first(data, run[0])) % LONGEST_DIALOGUE == 0
        assert begins
        assert all(data.previous[row] == row - 1 for row in run[1:])


def _first(data, row):
    while data.previous[row] >= 0:
        row = int(data.previous[row])
    return row


def test_the_order_is_that_of_seed_and_epoch():
    data = packed([5, 9, 3, 7, 2, 8] * 4)

    def order(seed, epoch):
        return walk(epoch_dialogues(data, 60, turns=2, seed=seed, epoch=epoch))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_a_slot_is_never_two_dialogues_at_once():
    data = packed([4, 40, 2, 9, 1, 33] * 3)
    slots = dialogue_slots(data, 60, 2)
    for update in epoch_dialogues(data, 60, turns=2, seed=1, epoch=0):
        assert len(set(update.slots.tolist())) == len(update.slots)
        assert update.slots.max() < slots
        counts = [len(rows) for rows in update.turns]
        assert counts == sorted(counts, reverse=True)


def padded_tokens(data, update):
    sources, targets = data.lengths()
    return sum(len(rows) * (sources[rows].max() + targets[rows].max()) for rows in update.turns)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_an_update_has_room_for_no_more(turns):
    data = packed([12] * 300)
    updates = epoch_dialogues(data, 200, turns=turns, seed=1, epoch=0)
    assert all(padded_tokens(data, update) <= 200 for update in updates)
    assert np.mean([padded_tokens(data, update) for update in updates]) > 150
    # where one dialogue alone is too long, it goes alone
    assert {len(update.slots) for update in epoch_dialogues(data, 1, turns=turns, seed=1, epoch=0)} == {1}


def test_turns_of_like_length_go_together():
    data = packed([12] * 300)
    sources, targets = data.lengths()
    total = (sources + targets).sum()
    together = sum(padded_tokens(data, each) for each in epoch_dialogues(data, 200, turns=1, seed=1, epoch=0))
    rows = np.random.default_rng(0).permutation(len(data))
    anyhow = sum(padded_tokens(data, Update.of_batch(rows[begin : begin + 18])) for begin in range(0, len(rows), 18))
    assert total / together > 0.85 > 0.65 > total / anyhow


def by_hand(model, data, dialogues):
    """Return the loss of each dialogue, exchange after exchange, each by itself."""
    total = 0.0
    for first, length in dialogues:
        carry = ()
        for row in range(first, first + length):
            loss, _, carry = turn_loss(model, Batch.of(data, np.array([row])), carry)
            total += float(loss)
    return total


def learnt(model, data, update, minds):
    loss = update_loss(model, data, update, minds)
    minds.keep(update, loss.carry)
    return loss


@pytest.mark.parametrize("turns", [1, 2, 3])
@torch.no_grad()
def test_the_loss_is_that_of_each_dialogue_by_itself(turns):
    torch.manual_seed(0)
    model = StatefulBroadcast(CONFIG, 30, 30).double().eval()
    lengths = [5, 1, 7, 2, 4, 6, 3] * 25
    data = packed(lengths)
    # fewer slots than dialogues, so that one takes another's place, and the minds of an epoch before are still there
    assert dialogue_slots(data, 40, turns) < len(lengths)
    minds = Minds(dialogue_slots(data, 40, turns))
    for epoch in range(2):
        updates = epoch_dialogues(data, 40, turns=turns, seed=1, epoch=epoch)
        found = sum(float(learnt(model, data, update, minds).nats) for update in updates)
    firsts = np.cumsum([0, *lengths[:-1]]).tolist()
    assert found == pytest.approx(by_hand(model, data, zip(firsts, lengths, strict=True)), rel=1e-6)
    assert evaluate(model, data, batch_tokens=50).nats == pytest.approx(found, rel=1e-6)


def test_a_mind_is_worth_something_in_this_test():
    torch.manual_seed(0)
    model = StatefulBroadcast(CONFIG, 30, 30).eval()
    data = packed([5, 7])
    alone = Packed(data.source_ids, data.source_ends, data.target_ids, data.target_ends, np.full(12, -1))
    assert evaluate(model, data, batch_tokens=50).nats != pytest.approx(evaluate(model, alone, batch_tokens=50).nats)


def test_a_model_without_a_mind_is_scored_as_if_each_exchange_stood_alone():
    torch.manual_seed(0)
    model = Simple(SimpleConfig(embedding_size=8, hidden_size=8), 30, 30).eval()
    data = packed([5, 7])
    alone = Packed(data.source_ids, data.source_ends, data.target_ids, data.target_ends, np.full(12, -1))
    assert evaluate(model, data, batch_tokens=50) == evaluate(model, alone, batch_tokens=50)


def gradient_of_first_source(turns):
    """Return how much the loss of a second exchange has to do with the first one's source."""
    torch.manual_seed(0)
    model = StatefulBroadcast(StatefulBroadcastConfig(embedding_size=8, hidden_size=8, share_embeddings=False), 40, 30)
    pairs, previous = [([35], [20]), ([36], [21])], [-1, 0]
    data = Packed.pack(pairs, previous)
    minds = Minds(dialogue_slots(data, 10_000, turns))
    for update in epoch_dialogues(data, 10_000, turns=turns, seed=1, epoch=0):
        model.zero_grad()
        learnt(model.eval(), data, update, minds).nats.backward()
    return float(model.source_embedding.weight.grad[35].abs().sum())


def test_gradients_go_back_through_the_turns_of_an_update_and_no_further():
    assert gradient_of_first_source(2) > 0
    # with one turn an update, the last update's gradient has nothing to do with the turn before it
    assert gradient_of_first_source(1) == 0


def test_the_second_turns_loss_reaches_the_first_turns_source():
    torch.manual_seed(0)
    model = StatefulBroadcast(StatefulBroadcastConfig(embedding_size=8, hidden_size=8, share_embeddings=False), 40, 30)
    model.eval()
    _, _, carry = turn_loss(model, Batch.collate([[35]], [[20]]), ())
    loss, _, _ = turn_loss(model, Batch.collate([[36]], [[21]]), carry)
    loss.backward()
    assert float(model.source_embedding.weight.grad[35].abs().sum()) > 0


def test_two_that_follow_the_same_one_are_no_dialogue():
    data = Packed.pack([([20], [21])] * 3, [-1, 0, 0])
    with pytest.raises(ValueError, match="two exchanges follow the same one"):
        epoch_dialogues(data, 100, turns=1, seed=1, epoch=0)


def test_the_loss_may_be_smoothed():
    torch.manual_seed(0)
    model, data = StatefulBroadcast(CONFIG, 30, 30).eval(), packed([3, 2])
    [update, *_] = epoch_dialogues(data, 1_000, turns=2, seed=1, epoch=0)
    plain, smooth = (
        float(update_loss(model, data, update, Minds(9), label_smoothing=share).nats.detach()) for share in (0.0, 0.3)
    )
    assert plain != pytest.approx(smooth)


def test_sequential_dialogues_hold_everything_once():
    data = packed([3, 50, 1, 20])
    runs = walk(sequential_dialogues(data, 60))
    assert sorted(row for run in runs for row in run) == list(range(len(data)))

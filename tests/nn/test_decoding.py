"""Greedy search, sampling and beam search on models whose best answer is known."""

import itertools
import math

import pytest
import torch
from fakes import A, B, C, D, TableModel

from s2sbot import EOS, RESERVED, UNK, SettingsError
from s2sbot.nn import generate, stream
from s2sbot.settings import DecodeSettings, build

# the likeliest first word is A, but the likeliest whole is B D
GARDEN = {
    (): {A: 0.6, B: 0.4},
    (A,): {C: 0.4, D: 0.3, EOS: 0.3},
    (A, C): {EOS: 0.5, D: 0.5},
    (B,): {D: 0.95, EOS: 0.05},
    (B, D): {EOS: 1.0},
}
SHORT = {(): {C: 0.9, EOS: 0.1}}


def model(*tables):
    return TableModel(list(tables)).eval()


def decode(**values):
    return build(DecodeSettings, {"no_repeat_ngram": 0, **values}, "decode")


def test_greedy_takes_the_likeliest_token_each_time():
    found = generate(model(GARDEN), [[A]], decode())[0]
    assert found.tokens == (A, C)
    assert found.complete
    assert found.score == pytest.approx(math.log(0.6 * 0.4 * 0.5), abs=1e-5)


def test_beam_finds_the_likeliest_whole():
    found = generate(model(GARDEN), [[A]], decode(method="beam", beam_size=2, length_penalty=0.0))[0]
    assert found.tokens == (B, D)
    assert found.score == pytest.approx(math.log(0.4 * 0.95), abs=1e-5)


def test_a_beam_as_wide_as_the_tree_equals_exhaustive_search():
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        table, words = {}, (A, B, C)
        for length in range(4):
            for path in itertools.product(words, repeat=length):
                shares = torch.rand(4, generator=random).softmax(0).tolist()
                table[path] = dict(zip((*words, EOS), shares, strict=True)) if length < 3 else {EOS: 1.0}
        wholes = {}
        for length in range(1, 4):
            for path in itertools.product(words, repeat=length):
                chance = math.prod(table[path[:place]][path[place]] for place in range(length)) * table[path][EOS]
                wholes[path] = math.log(chance) / (length + 1)
        best = max(wholes, key=wholes.get)
        settings = decode(method="beam", beam_size=64, length_penalty=1.0, max_length=10)
        assert generate(model(table), [[A]], settings)[0].tokens == best


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_a_reply_does_not_depend_on_the_rest_of_its_batch(method):
    both = model(GARDEN, SHORT)
    settings = decode(method=method, beam_size=2)
    together = generate(both, [[A], [B, C, D], [A, A]], settings)
    alone = [generate(both, [source], settings)[0] for source in ([A], [B, C, D], [A, A])]
    assert [found.tokens for found in together] == [found.tokens for found in alone]
    assert together[1].tokens == (C,)


def test_the_stream_grows_to_what_generate_returns():
    steps = list(stream(model(GARDEN), [A], decode()))
    assert [step.tokens for step in steps] == [(A,), (A, C), (A, C)]
    assert [step.complete for step in steps] == [False, False, True]
    assert steps[-1].tokens == generate(model(GARDEN), [[A]], decode())[0].tokens


def test_no_reply_ends_before_its_least_length():
    ends = {(): {EOS: 0.9, A: 0.1}, (A,): {EOS: 1.0}}
    assert generate(model(ends), [[A]], decode(min_length=1))[0].tokens == (A,)
    assert generate(model(ends), [[A]], decode(min_length=0))[0].tokens == ()


def test_no_reply_is_longer_than_allowed():
    endless = {tuple([A] * length): {A: 1.0} for length in range(12)}
    for method in ("greedy", "beam", "sample"):
        found = generate(model(endless), [[A]], decode(method=method, max_length=4))[0]
        assert found.tokens == (A, A, A, A)
        assert not found.complete


def test_reserved_ids_are_never_said():
    rude = {(): {UNK: 0.9, 5: 0.05, A: 0.05}}
    for method in ("greedy", "beam", "sample"):
        assert generate(model(rude), [[A]], decode(method=method))[0].tokens == (A,)


def test_no_ngram_is_said_twice():
    loop = {tuple([A, B] * half + [A] * odd): {(B if odd else A): 0.9, C: 0.1} for half in range(6) for odd in (0, 1)}
    free = generate(model(loop), [[A]], decode(max_length=8))[0].tokens
    assert free == (A, B, A, B, A, B, A, B)
    held = generate(model(loop), [[A]], decode(max_length=8, no_repeat_ngram=2))[0].tokens
    pairs = list(itertools.pairwise(held))
    assert held[:3] == (A, B, A)
    assert len(pairs) == len(set(pairs))


def test_the_same_seed_samples_the_same_reply_and_another_seed_others():
    wide = {(): dict.fromkeys((A, B, C, D), 0.25)}
    once = [generate(model(wide), [[A]], decode(method="sample", top_p=1.0, seed=seed))[0].tokens for seed in range(30)]
    again = [
        generate(model(wide), [[A]], decode(method="sample", top_p=1.0, seed=seed))[0].tokens for seed in range(30)
    ]
    assert once == again
    assert {tokens[0] for tokens in once} == {A, B, C, D}


def test_a_sampled_reply_does_not_depend_on_the_rows_behind_it():
    wide = {(): dict.fromkeys((A, B, C, D), 0.25)}
    settings = decode(method="sample", top_p=1.0, seed=3)
    assert generate(model(wide), [[A]], settings)[0].tokens == generate(model(wide), [[A], [A]], settings)[0].tokens


def test_sampling_follows_the_probabilities_that_are_left():
    wide = {(): {A: 0.5, B: 0.3, C: 0.15, D: 0.05}}

    def drawn(**options):
        settings = [
            decode(method="sample", seed=seed, **{"temperature": 1.0, "top_p": 1.0, **options}) for seed in range(300)
        ]
        tokens = [generate(model(wide), [[A]], setting)[0].tokens[0] for setting in settings]
        return {token: tokens.count(token) / len(tokens) for token in (A, B, C, D)}

    free = drawn()
    assert free[A] == pytest.approx(0.5, abs=0.1)
    assert free[D] > 0
    assert drawn(top_k=1) == {A: 1.0, B: 0.0, C: 0.0, D: 0.0}
    nucleus = drawn(top_p=0.7)
    assert nucleus[C] == nucleus[D] == 0.0
    assert nucleus[A] == pytest.approx(0.625, abs=0.1)
    assert drawn(temperature=0.05)[A] == 1.0


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_the_carry_is_that_of_the_chosen_reply(method):
    found = generate(model(GARDEN), [[A]], decode(method=method, beam_size=3, length_penalty=0.0))[0]
    said = found.carry[1][0]
    assert said[1 : 1 + int(said[0])].tolist() == list(found.tokens)
    assert all(part.shape[0] == 1 for part in found.carry)


def test_what_the_turn_before_left_reaches_the_encoder():
    talker = model(GARDEN)
    left = generate(talker, [[A]], decode())[0].carry
    generate(talker, [[A]], decode(), carry=left)
    assert talker.carried is left


def test_an_empty_source_still_gets_a_reply():
    # a source of no ids is EOS alone, and the table is picked by its first id
    talker = model(GARDEN, SHORT)
    assert generate(talker, [[B]], decode())[0].tokens == (C,)
    assert generate(talker, [], decode()) == []


def test_ids_beyond_the_reserved_ones_only():
    assert min(A, B, C, D) >= RESERVED
    with pytest.raises(SettingsError, match="method"):
        decode(method="best")


def test_a_reply_ends_where_all_that_is_left_is_forbidden():
    few = {tuple([A] * length): {A: 1.0} for length in range(12)}
    for method in ("greedy", "beam", "sample"):
        settings = decode(method=method, no_repeat_ngram=1, min_length=30, max_length=30)
        found = generate(model(few), [[A]], settings)[0]
        assert len(found.tokens) == len(set(found.tokens)) <= 8
        assert all(token >= RESERVED for token in found.tokens)


def test_options_at_their_limits_still_reply():
    for options in (
        {"method": "sample", "temperature": 0.01},
        {"method": "sample", "temperature": 100.0},
        {"method": "sample", "seed": 2**31 - 1},
        {"method": "beam", "length_penalty": 10.0},
    ):
        assert generate(model(GARDEN), [[A]], decode(**options))[0].tokens

"""Nothing of what is validated on is learnt from: not in another version, not nearly the same, not as a context."""

import json

import pytest
from preparations import film, made, srt, texts

from s2sbot.plugins import Plugins


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


def test_versions_of_a_film_in_folders_of_formats_are_on_one_side(plugins, tmp_path):
    for number in range(12):
        for name in (f"SrtEN/lec{number}b_512kb.mp4.srt", f"Ass/lec{number}b.chn+eng.srt", f"SrtCN/lec{number}b.srt"):
            path = tmp_path / "films" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(film(number))
    result, _ = made(tmp_path / "out", tmp_path / "films", plugins=plugins, valid_share=0.4, without="duplicates")
    sides = {}
    for side in ("train", "valid"):
        origins = result.origins(side)
        for row in range(len(getattr(result, side))):
            number = origins[row].file.partition("lec")[2].partition("b")[0]
            sides.setdefault(number, set()).add(side)
    assert len(sides) == 12
    assert all(len(each) == 1 for each in sides.values())
    assert {side for each in sides.values() for side in each} == {"train", "valid"}


def test_of_two_versions_of_one_film_the_ends_are_held_out(plugins, tmp_path):
    lines = [f"This is what is said as number {number} of all." for number in range(60)]
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "film.en.srt").write_text(srt(lines))
    (tmp_path / "films" / "film.en.sdh.srt").write_text(srt([f"[DOOR {n}] {line}" for n, line in enumerate(lines)]))
    result, _ = made(tmp_path / "out", tmp_path / "films", plugins=plugins, without="duplicates,overlap,replies")
    train, valid = (texts(result, side) for side in ("train", "valid"))
    assert len(train) + len(valid) == 2 * 59
    assert len(valid) == 24
    assert not set(train) & set(valid)


TALK = "Where does the old ferry go tonight, captain{}?\tOver the strait and back again, as it does every night{}.\n"
LIKE = TALK.format("", "").replace("?\t", "s?\t")
OTHERS = "What is in the box?\tNothing but buttons.\nWho has the key?\tThe man at the gate has it.\n"


@pytest.mark.parametrize("first", [True, False])
def test_what_is_like_an_exchange_held_out_is_not_learnt_from(plugins, tmp_path, first):
    """It goes whether it stands before or after it, and also where an earlier one of its band is not like it."""
    names = ("a.tsv", "b.tsv") if first else ("b.tsv", "a.tsv")
    learnt, held = (tmp_path / name for name in names)
    learnt.write_text(OTHERS + LIKE)
    held.write_text(TALK.format("", "") + TALK.format("", " of the year") + "How are you?\tI am rather well.\n")
    result, _ = made(tmp_path / "out", learnt, valid=(held,), plugins=plugins, near_duplicates=0.7)
    sources = [source for source, _ in texts(result, "train")]
    assert len(sources) == 2
    assert not any("ferry" in source for source in sources)
    assert len(result.valid) == 3  # held out rows stay, however like each other
    rules = json.loads((tmp_path / "out" / "card.json").read_text())["rules"]
    assert [rule["count"] for rule in rules if rule["name"] == "near-duplicates"] == [1]


def test_a_dialogue_cut_off_at_several_turns_is_on_one_side(plugins, tmp_path):
    rows = []
    for number in range(40):
        turns = [f"This is what is said as number {turn} of talk {number}." for turn in range(8)]
        rows += [{"turns": turns[:length]} for length in (2, 4, 6, 8)]
        rows.append({"turns": [turns[0].upper(), turns[1].rstrip("."), *turns[2:6]]})
    path = tmp_path / "talk.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result, _ = made(tmp_path / "out", path, plugins=plugins, valid_share=0.3, without="duplicates,replies,overlap")
    sides = {}
    for side in ("train", "valid"):
        origins = result.origins(side)
        for row in range(len(getattr(result, side))):
            sides.setdefault((origins[row].line - 1) // 5, set()).add(side)
    assert len(sides) == 40
    assert all(len(each) == 1 for each in sides.values())

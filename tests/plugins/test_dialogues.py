"""Dialogues in JSON and in plain text become turns; what cannot be read is lost and named, and nothing else raises."""

import io
import json
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from s2sbot_dialogues import LONGEST_LINE, Blocks, Jsonl

from s2sbot import Dialogue, Exchange, Lost, Origin, Turn
from s2sbot.cli import main
from s2sbot.testing import check_reader
from s2sbot.text.encoding import CHUNK
from s2sbot.text.encoding import LONGEST_LINE as LONGEST_JSON
from s2sbot.text.json_stream import DEEPEST, LARGEST_ELEMENT

ROOT = Path(__file__).parents[2]
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What's  the\nweather?"},
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "tool", "content": "20"},
    {"role": "assistant", "content": [{"type": "text", "text": "Mild,"}, {"type": "image_url"}, "20 degrees."]},
]
LINES = b"""{"turns": ["Hi.", "Hello."]}
{"messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."}]}

{"source": "Where?", "target": "There.", "context": ["Look!"]}
"""
BLOCKS = """How are you?
Fine, thank you.

- Where is it?
- There.
\u2014 Where?
"""


def read(data, name="x", kind=Jsonl):
    return list(kind().read(io.BytesIO(data if isinstance(data, bytes) else data.encode()), name))


def one(value):
    """Read a line of JSON and an array of it, which must be the same, and return what they hold."""
    [item] = read(json.dumps(value))
    assert read(json.dumps([value])) == [item]
    return item


def texts(dialogue):
    return [turn.text for turn in dialogue.turns]


def test_a_dialogue_a_line_with_its_line():
    assert read(LINES, "chats.jsonl") == [
        Dialogue((Turn("Hi."), Turn("Hello.")), Origin("chats.jsonl", line=1)),
        Dialogue((Turn("What?", "user"), Turn("That.", "assistant")), Origin("chats.jsonl", line=2)),
        Exchange("Where?", "There.", ("Look!",), Origin("chats.jsonl", line=4)),
    ]


@pytest.mark.parametrize("text", ["text", "content", "utterance", "value"])
@pytest.mark.parametrize("speaker", ["speaker", "role", "from"])
@pytest.mark.parametrize("start", ["start", "time"])
def test_turns_as_objects(text, speaker, start):
    turns = [{text: " Hi,\t you\n", speaker: "Ann ", start: 1.5}, {text: "Hello.", speaker: 2, start: 2}]
    assert one({"turns": turns}).turns == (Turn("Hi, you", "Ann", 1.5), Turn("Hello.", "2", 2.0))


def test_messages_with_roles_of_which_some_are_not_said():
    assert one({"messages": CHAT}).turns == (
        Turn("What's the weather?", "user"),
        Turn("Mild, 20 degrees.", "assistant"),
    )


@pytest.mark.parametrize("call", ["tool_calls", "function_call"])
@pytest.mark.parametrize("answer", [{"role": "tool"}, {"role": "function", "name": "weather", "content": {"a": 1}}])
def test_calls_of_tools_and_their_answers_are_no_turns(call, answer):
    said = [CHAT[1], {"role": "assistant", call: [{"id": "1"}]}, answer, CHAT[4]]
    assert texts(one({"messages": said})) == ["What's the weather?", "Mild, 20 degrees."]
    said[1]["content"] = "I will look."
    assert texts(one({"messages": said})) == ["What's the weather?", "I will look.", "Mild, 20 degrees."]


def test_sharegpt():
    said = [{"from": "system", "value": "x"}, {"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]
    assert one({"id": "a", "conversations": said}).turns == (Turn("Hi.", "human"), Turn("Hello.", "gpt"))


def test_a_speaker_called_system_does_speak():
    turns = [{"speaker": "USER", "utterance": "A table?"}, {"speaker": "SYSTEM", "utterance": "At eight?"}]
    assert texts(one({"turns": turns})) == ["A table?", "At eight?"]


@pytest.mark.parametrize(
    ("value", "source", "target"),
    [
        ({"source": " a\nb ", "target": "c"}, "a b", "c"),
        ({"prompt": "a", "completion": " c"}, "a", "c"),
        ({"instruction": "Add.", "input": "1 1", "output": "2"}, "Add. 1 1", "2"),
        ({"instruction": "Add.", "input": "", "output": "2"}, "Add.", "2"),
        ({"question": "a", "answer": "c"}, "a", "c"),
    ],
)
def test_pairs(value, source, target):
    assert one(value) == Exchange(source, target, origin=Origin("x", line=1))


def test_origin_and_group_are_taken_over():
    turns = {"turns": [{"text": "Hi.", "speaker": "Ann", "start": 3.5}, {"text": "Ho.", "speaker": None}]}
    written = {**turns, "file": "film.srt", "group": "film"}
    assert one(written) == Dialogue((Turn("Hi.", "Ann", 3.5), Turn("Ho.")), Origin("film.srt"), "film")
    pair = {"source": "a", "target": "b", "file": "film.srt"}
    assert one({**pair, "seconds": 2}).origin == Origin("film.srt", seconds=2.0)
    assert one({**pair, "line": 7, "seconds": 2}).origin == Origin("film.srt", 7, 2.0)
    assert one({**pair, "file": 3, "line": 7}).origin == Origin("x", line=1)
    assert one({**pair, "line": True, "seconds": "2"}).origin == Origin("film.srt")
    assert one({**pair, "line": 0, "seconds": None}).origin == Origin("film.srt")
    assert one({**pair, "line": 2**31}).origin == Origin("film.srt")
    assert one({**pair, "file": "a  b\n\x1bc\ud800"}).origin == Origin("a  b  c?")
    assert [one({**turns, "group": group}).group for group in (7, " ", "", None, ["a"])] == ["7", " ", None, None, None]


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (3, "no object"),
        ("words", "no object"),
        ({}, "no turns and no pair"),
        ({"text": "alone"}, "no turns and no pair"),
        ({"turns": "Hi."}, "'turns' is no list"),
        ({"turns": []}, "no turns"),
        ({"turns": ["", " \n"]}, "no turns"),
        ({"messages": [{"role": "system", "content": "x"}]}, "no turns"),
        ({"turns": ["Hi.", 3]}, "turn 2 has no text"),
        ({"turns": ["Hi.", {"speaker": "Ann"}]}, "turn 2 has no text"),
        ({"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant"}]}, "turn 2 has no text"),
        ({"turns": [{"text": {"a": 1}}]}, "turn 1 has no text"),
        ({"source": "a", "target": ""}, "'target' has no text"),
        ({"source": 3, "target": "a"}, "'source' has no text"),
        ({"source": "a", "target": "b", "context": [1]}, "'context' is no list of texts"),
    ],
)
def test_what_cannot_be_read_is_lost_and_the_rest_is_read(value, cause):
    good = {"turns": ["Hi.", "Hello."]}
    assert one(value) == Lost(cause, 1)
    found = read("\n".join(map(json.dumps, [good, value, good])))
    assert [type(item) for item in found] == [Dialogue, Lost, Dialogue]
    assert found[1].line == 2


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"words",
        b'{"turns": ["Hi.", "Hello."], "score": NaN}',
        b'{"turns": ["Hi."], "score": -Infinity}',
        b'{"turns": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"turns": ["Hi."], "score": ' + b"9" * 5000 + b"}",
        b'{"turns": ["' + b"x" * LONGEST_JSON + b'"]}',
    ],
    ids=lambda line: line[:40],
)
def test_a_bad_line_is_lost_and_the_next_one_read(line):
    lost, kept = read(line + b'\n{"turns": ["Hi."]}\n')
    assert isinstance(lost, Lost)
    assert lost.line == 1
    assert kept == Dialogue((Turn("Hi."),), Origin("x", line=2))


def test_a_line_in_another_encoding_is_lost():
    lines = ['{"turns": ["é"]}'.encode(), b'{"turns": ["\xe9"]}', b'{"turns": ["e"]}']
    assert read(b"\n".join(lines)) == [
        Dialogue((Turn("é"),), Origin("x", line=1)),
        Lost("not UTF-8", 2),
        Dialogue((Turn("e"),), Origin("x", line=3)),
    ]
    assert texts(read(b'{"turns": ["O\xf9 est-il all\xe9?", "L\xe0-bas, pr\xe8s de la for\xeat."]}')[0]) == [
        "Où est-il allé?",
        "Là-bas, près de la forêt.",
    ]


@pytest.mark.parametrize("field", ["text", "role", "speaker", "start", "group"])
def test_brackets_within_brackets_are_no_text(field):
    # where the parser gives up is its own affair
    deep = ["[" * depth + "]" * depth for depth in range(500, 1000)]
    found = read("\n".join(f'{{"turns": [{{"content": "Hi.", "{field}": {one}}}], "group": {one}}}' for one in deep))
    assert len(found) == len(deep)
    assert all(isinstance(item, Lost) or texts(item) == ["Hi."] for item in found)
    assert isinstance(found[0], Dialogue) == (field != "text")


def test_huge_numbers_are_no_times():
    turns = f'{{"turns": [{{"text": "Hi.", "start": {"9" * 400}}}, {{"text": "Ho.", "start": 1e999}}]}}'
    assert read(turns)[0].turns == (Turn("Hi."), Turn("Ho."))


def test_half_a_surrogate_pair_is_text_that_can_be_written():
    [item] = read(b'{"turns": [{"text": "a\\ud800b", "speaker": "\\udfff"}, "\\ud83d\\ude00"]}')
    assert item.turns == (Turn("a?b", "?"), Turn("\U0001f600"))


@pytest.mark.parametrize("layout", [None, 2], ids=["one line", "indented"])
def test_one_array(backend, layout):
    values = [json.loads(line) for line in LINES.splitlines() if line]
    found = read(json.dumps(values, indent=layout))
    assert [type(item) for item in found] == [Dialogue, Dialogue, Exchange]
    assert [item.origin.line for item in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (b"", "the file breaks off"),
        (b', {"turns": ["Hi."', "the file breaks off"),
        (b", {turns: 3}]", "no JSON from here on"),
        (b", NaN]", "no JSON from here on"),
        (b", " + b"[" * 100_000, f"JSON nested more than {DEEPEST} deep"),
        (b", " + b"[" * 100_000 + b"]" * 100_001, f"JSON nested more than {DEEPEST} deep"),
        (b', "' + b"x" * (2 * LARGEST_ELEMENT) + b'"]', "one element is larger than 4 MiB"),
    ],
    ids=lambda value: value[:12],
)
def test_an_array_that_goes_bad_is_read_up_to_there(backend, end, cause):
    assert read(b'[{"turns": ["Hi."]}' + end) == [Dialogue((Turn("Hi."),), Origin("x", line=1)), Lost(cause, 2)]


@pytest.mark.parametrize("data", [b"[", b"[{", b"[1e999999999999999999999]", b"[" + b"9" * 5000 + b"]", b"[\xff"])
def test_an_array_of_which_nothing_can_be_read_is_a_value_error_or_lost(backend, data):
    with suppress(ValueError):
        assert all(isinstance(item, Lost) for item in read(data))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("array", [False, True], ids=["lines", "array"])
def test_every_encoding_of_unicode(encoding, array):
    value = {"turns": ["où ?", "日🚢"]}
    text = json.dumps([value] * 3 if array else value, ensure_ascii=False) + "\n"
    assert Jsonl().sniff(text.encode(encoding), "x") > 0.5
    assert [texts(item) for item in read(text.encode(encoding))] == [value["turns"]] * (3 if array else 1)


@pytest.mark.parametrize("array", [False, True], ids=["lines", "array"])
def test_a_file_of_any_length_is_read_in_little_memory(array):
    class Long(io.RawIOBase):
        def __init__(self):
            self.left = 300

        def readable(self):
            return True

        def read(self, size=-1):
            self.left -= 1
            piece = json.dumps({"turns": ["word " * 2000, "Hello."]}).encode() * (self.left >= 0)
            return (b"[" if self.left == 299 and array else b"") + piece + (b", " if array else b"\n") * bool(piece)

    tracemalloc.start()
    try:
        items = Jsonl().read(Long(), "x")
        found = sum(isinstance(item, Dialogue) for item in items)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == 300
    assert peak < 1_500_000 < 300 * 10_000


@pytest.mark.parametrize(
    "data",
    [
        LINES,
        b'[{"turns": ["Hi."]}, {"turns": ["Ho."]}]',
        b'\n {"messages": [{"role": "user", "content": "Hi."}]}',
        b'{"turns": ["' + b"x" * 2**17,
        b'[{"conversations": [{"from": "human", "value": "' + b"x" * 2**17,
    ],
    ids=["lines", "array", "one line", "a long line", "a long array"],
)
def test_json_is_known_by_content(data):
    assert Jsonl().sniff(data[: 2**16], "x") > 0.5


@pytest.mark.parametrize("odd", [b"{broken", b"5", b'{"bogus": 1}', b'"words"', b"# words", b"\xff"])
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("many", [3, 1000])
def test_an_odd_line_does_not_hide_what_the_others_are(odd, place, end, many):
    lines = [b'{"turns": ["Hi.", "Hello."]}'] * many
    lines[place] = odd
    data = b"\n".join(lines) + end
    assert Jsonl().sniff(data[: 2**13], "x") == 0.9
    found = read(data)
    assert [item.line for item in found if isinstance(item, Lost)] == [place + 1]
    assert len(found) == many


def test_half_of_the_lines_may_be_odd_but_no_more():
    good = b'{"turns": ["Hi."]}\n'
    for data in (b"5\n" + good, good + b"5\n", (b"{broken\n" + good) * 6, b"\n5\n\n" + good.rstrip()):
        assert Jsonl().sniff(data, "x") == 0.9
    for data in (b"5\n{}\n" + good, good + b"5\n5\n", b"# words\n```\n" + good + b"```\n"):
        assert Jsonl().sniff(data, "x") == 0
    assert Jsonl().sniff(b'[5, {"turns": ["Hi."]}]', "x") == 0.9
    assert Jsonl().sniff(b'[5, 5, {"turns": ["Hi."]}]', "x") == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"words\n",
        b"{\n}",
        b"[1, 2, 3]",
        b'{"name": "x", "version": 1}\n',
        b'[{"start": 1, "end": 2, "text": "a cue"}]',
        b'{\n  "turns": 3\n}',
        b"[Script Info]\nTitle: x\n",
        b"{1}{1}25\n{25}{50}Hello.\n",
        b'{"a": {"messages": [[{"text": "Hi"}]]}}',
        b'{"turns": ["Hi."]}\n' + b'{"name": 1}\n' * 9,
        bytes(range(256)),
    ],
)
def test_what_is_no_dialogue_in_json(data):
    assert Jsonl().sniff(data, "x.jsonl") == 0


LINE = st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: " ".join(text.split())).filter(bool)
# names of files are printable; spaces in them may be many, and stand anywhere
NAME = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
TURN = st.builds(Turn, LINE, st.none() | LINE, st.none() | st.floats(0, 1e6))
ORIGIN = st.builds(Origin, NAME, st.none() | st.integers(1, 2**31 - 1), st.none() | st.floats(0, 1e6))


def described(item):
    """Return what s2sbot writes of a dialogue or an exchange."""
    if isinstance(item, Dialogue):
        turns = [{"text": turn.text, "speaker": turn.speaker, "start": turn.start} for turn in item.turns]
        return {"turns": turns, "file": item.origin.file, "group": item.group, "bot": "x.bot"}
    value = {"source": item.source, "target": item.target}
    value |= {"context": list(item.context)} if item.context else {}
    origin = {"file": item.origin.file, "line": item.origin.line, "seconds": item.origin.seconds}
    return value | {name: field for name, field in origin.items() if field is not None}


DIALOGUE = st.builds(
    Dialogue, st.lists(TURN, min_size=1).map(tuple), st.builds(Origin, NAME), st.none() | NAME.filter(bool)
)
EXCHANGE = st.builds(Exchange, LINE, LINE, st.lists(LINE, max_size=3).map(tuple), ORIGIN)


@given(st.lists(DIALOGUE | EXCHANGE, min_size=1), st.booleans())
def test_what_is_written_is_read_back(items, escaped):
    lines = [json.dumps(described(item), ensure_ascii=escaped) for item in items]
    assert read("\n".join(lines) + "\n") == items
    assert read(f"[{', '.join(lines)}]") == items


def test_the_texts_beside_a_prepared_corpus_are_read_back(tmp_path):
    names = ["film  one.srt", "a/b.srt", "é.srt", "d.srt", "e.srt", "f.srt"]
    given = [
        Exchange(
            f"Where is number {place}?",
            f"It lies behind {place * 7 + number} houses.",
            ("Look there!", f"I see {place}.")[: place % 3],
            Origin(f"{number}/{name}", place + 1 if place % 2 else None, place / 4 if place % 4 > 1 else None),
        )
        for number, name in enumerate(names)
        for place in range(20)
    ]
    for number in range(len(names)):
        lines = [json.dumps(described(one)) for one in given[20 * number : 20 * number + 20]]
        (tmp_path / f"{number}.jsonl").write_text("\n".join(lines), "utf-8")
    words = ["corpus", "prepare", str(tmp_path), "--out", str(tmp_path.with_name("out")), "--tokenizer", "bytes"]
    done = CliRunner().invoke(main, [*words, "--workers", "1", "--test-share", "0.2", "--set", "data.context_turns=2"])
    assert done.exit_code == 0, done.output
    for side in ("valid", "test"):
        data = tmp_path.with_name("out").joinpath(f"{side}.jsonl").read_bytes()
        found = read(data, f"{side}.jsonl")
        assert found and set(found) <= set(given)
        assert Jsonl().sniff(data[: 2**16], f"{side}.jsonl") == 0.9


@pytest.mark.parametrize("kind", [Jsonl, Blocks])
@given(data=st.data())
def test_changed_bytes_raise_nothing_but_value_errors(kind, data):
    whole = data.draw(
        st.sampled_from([LINES, b"[" + LINES.strip().replace(b"\n\n", b"\n").replace(b"\n", b",") + b"]"])
    )
    whole = BLOCKS.encode() if kind is Blocks else whole
    start = data.draw(st.integers(0, len(whole)))
    end = start + data.draw(st.integers(0, 5))
    changed = whole[:start] + data.draw(st.binary(max_size=6) | st.text('{}[]",:\\ 9e-\n', max_size=4).map(str.encode))
    changed += whole[end:]
    assert 0 <= kind().sniff(changed, "x") <= 1
    with suppress(ValueError):
        for item in read(changed, kind=kind):
            assert isinstance(item, Lost | Exchange) or all(texts(item))


# Blocks


def blocks(text, name="x"):
    return read(text, name, Blocks)


def test_a_blank_line_ends_a_dialogue():
    assert blocks(BLOCKS, "talk.txt") == [
        Dialogue((Turn("How are you?"), Turn("Fine, thank you.")), Origin("talk.txt", line=1)),
        Dialogue((Turn("Where is it?"), Turn("There."), Turn("Where?")), Origin("talk.txt", line=4)),
    ]
    assert blocks("\n\n  \nHi.\n \n\n----\nHo.\n") == [
        Dialogue((Turn("Hi."),), Origin("x", line=4)),
        Dialogue((Turn("Ho."),), Origin("x", line=8)),
    ]
    assert blocks("\n \n") == []


def test_speakers_where_most_lines_have_them():
    [first, second] = blocks("Ann: Hi.\nBob K.: Hello: you?\nand well?\n\nAnn: - Bye.\n")
    assert first.turns == (Turn("Hi.", "Ann"), Turn("Hello: you?", "Bob K."), Turn("and well?", "Bob K."))
    assert second.turns == (Turn("Bye.", "Ann"),)
    assert blocks("A：你好\nB：好\n")[0].turns == (Turn("你好", "A"), Turn("好", "B"))
    assert blocks("Well: no.\nWhat?\nNo.\n")[0].turns == (Turn("Well: no."), Turn("What?"), Turn("No."))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("- Hi.", "Hi."),
        ("–Hi.", "Hi."),
        ("-Hi.", "Hi."),
        ("-- Well, hi.", "Well, hi."),
        ("-5 degrees", "-5 degrees"),
        ("<i>Fish</i> &amp;  chips", "Fish & chips"),
        ("a {b} c", "a {b} c"),
    ],
)
def test_the_text_of_a_line(line, text):
    assert texts(blocks(line)[0]) == [text]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_every_encoding_and_line_end(encoding, end):
    text = "Où ?\nLà.\n\n日🚢?\n" * 14_000
    assert len(text.encode()) > CHUNK
    found = blocks(text.replace("\n", end).encode(encoding))
    assert [texts(dialogue) for dialogue in found] == (
        [["Où ?", "Là."]] + [["日🚢?", "Où ?", "Là."]] * 13_999 + [["日🚢?"]]
    )


def test_a_legacy_encoding():
    assert (
        texts(blocks(("Où est-il allé?\nLà-bas, près de la forêt.\n" * 9).encode("latin-1"))[0])[0] == "Où est-il allé?"
    )


def test_a_dialogue_without_end_is_cut():
    found = blocks("word " * 100 + "\n" + "How are you?\n" * 60_000)
    assert len(found) > 1
    assert sum(len(dialogue.turns) for dialogue in found) == 60_001
    assert found[1].origin.line == len(found[0].turns) + 1


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"x" * (LONGEST_LINE + 1), f"a line of more than {LONGEST_LINE} characters, which nobody says"),
        (b"x" * (LONGEST_JSON + 1), f"longer than {LONGEST_JSON} bytes"),
        (b"caf\xe9", "not UTF-8"),
    ],
)
def test_a_line_that_is_lost_ends_a_dialogue(line, cause):
    start, end = "Où ?\nLà.\n".encode(), b"Who?\nMe.\n"
    assert blocks(start + line + b"\n" + end) == [
        Dialogue((Turn("Où ?"), Turn("Là.")), Origin("x", line=1)),
        Lost(cause, 3),
        Dialogue((Turn("Who?"), Turn("Me.")), Origin("x", line=4)),
    ]


def test_what_is_no_text_is_a_value_error():
    with pytest.raises(ValueError, match="binary data"):
        blocks(bytes(range(256)))


SPEECH = "How are you?\nFine, thanks.\nAnd the children?\n\nWhere is it?\nOver there.\n\n" * 3
NAMED = "Ann: hello\nBob: how are you?\nAnn: Fine, thanks.\nBob: See you.\n" * 3


@pytest.mark.parametrize("text", [SPEECH, NAMED, "- Who?\n- Me.\n\n- Why?\n- Because.\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_speech_is_known_and_anything_else_knows_it_better(text, encoding, end):
    data = text.replace("\n", end).encode(encoding)
    assert 0 < Blocks().sniff(data, "x") <= 0.1
    assert 0 < Blocks().sniff(data * (2**16 // len(data)) + data[: len(data) // 2 + 1], "x") <= 0.1


def test_speech_in_an_old_encoding_is_known():
    text = "Анна: Привет, как дела?\nБорис: Всё хорошо, спасибо.\nАнна: Где ты был?\nБорис: Дома.\n" * 3
    assert 0 < Blocks().sniff(text.encode("cp1251"), "x") <= 0.1
    assert 0 < Blocks().sniff("どこ？\n家にいます。\n\n何ですか？\nこれは本です。\n\n".encode("cp932") * 9, "x") <= 0.1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How are you?\nFine, thanks.\n" * 20,
        "Where is it?\n\nThe dog runs.\n\n" * 9,
        ("How are you?\nFine, thanks.\n" * 50 + "\n") * 3,
        "The town lies on a river.\nIt has a bridge.\n\nThe bridge is old.\nIt is long.\n\n" * 9,
        "# Title\n\nWhat is it?\nA tool.\n\n```\nrun it\n```\n\n- one\n- two\n" * 3,
        "Where?\tOù ?\nHere.\tIci.\n\n" * 9,
        "1\n00:00:01,000 --> 00:00:02,000\nHow are you?\n\n2\n00:00:03,000 --> 00:00:04,000\nWell?\n\n" * 9,
        "def f(x):\n    return x\n\n\nif x > 3:\n    print('Why?')\n\n" * 9,
        "<p>How are you?</p>\n<p>Fine.</p>\n\n<p>Well?</p>\n<p>Yes.</p>\n\n" * 9,
        "Package: x\nVersion: 1\nSection: net\n\nPackage: y\nVersion: 2\nSection: net\n\n" * 9,
        "name: x\nage: 3\n\nname: y\nage: 4\n\n" * 9,
        "Shall I compare thee to a summer's day,\nthou art more lovely\n\nRough winds do shake,\nand summer's lease\n\n"
        * 5,
        "Hi? __eou__ Ho. __eou__\nWell? __eou__\n\n" * 9,
    ],
    ids=range(14),
)
def test_what_is_no_speech_is_not_claimed(text):
    assert Blocks().sniff(text.encode(), "x.txt") == 0


def test_no_file_of_this_project_is_taken_for_speech():
    files = [
        path for folder in ("docs", "s2sbot", "plugins") for path in (ROOT / folder).rglob("*.*") if path.is_file()
    ]
    assert len(files) > 50
    for path in files:
        head = path.read_bytes()[: 2**16]
        assert Blocks().sniff(head, path.name) == Jsonl().sniff(head, path.name) == 0, path


def test_a_turn_a_line_of_film_lines(shared_data):
    data = shared_data("seed", "train", "movie_lines_cleaned_10k.txt").read_bytes()
    assert Blocks().sniff(data[: 2**16], "movie_lines_cleaned_10k.txt") == 0
    found = blocks(data)
    filled = [line for line in data.decode().split("\n") if line.strip()]
    assert len(found) == 3  # two lines are empty
    assert found[0].origin.line == 1
    assert sum(len(item.turns) for item in found) == len(filled) == 9_997
    assert not [text for item in found for text in texts(item) if "<u>" in text or "<i>" in text]
    questions = shared_data("seed", "test", "test_set.txt").read_bytes()
    assert Blocks().sniff(questions, "test_set.txt") == 0
    assert [len(item.turns) for item in blocks(questions)] == [23]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (Jsonl, LINES),
        (Jsonl, b'[{"turns": ["Hi."]}, {"turns": ["Ho."]}]'),
        (Blocks, SPEECH.encode()),
        (Blocks, NAMED.encode()),
    ],
    ids=["lines", "array", "blocks", "named"],
)
def test_the_contract_of_readers(kind, data):
    check_reader(kind, data, "x")

"""Published sets of dialogues are read turn by turn, and counted against what their pages say."""

import gzip
import io
import json
import re
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from s2sbot_chat_sets import (
    LARGEST_YAML,
    SAMPLE,
    ChatterBot,
    ChitChat,
    ConvAI2,
    DailyDialog,
    detokenise,
    is_tokenised,
)

from s2sbot import Dialogue, Lost, Origin, Turn
from s2sbot.testing import check_reader
from s2sbot.text.encoding import LONGEST_LINE
from s2sbot.text.json_stream import DEEPEST, LARGEST_ELEMENT

ROOT = Path(__file__).parents[2]
CONVAI2 = [
    {
        "dialog": [
            {"id": 0, "sender": "participant1", "text": "Hi  there,\nyou", "sender_class": "Human"},
            {"id": 1, "sender": "participant1", "text": "?", "sender_class": "Human"},
            {"id": 2, "sender": "participant2", "text": "I like cats.", "sender_class": "Bot"},
        ],
        "bot_profile": ["i like cats."],
        "participant1_id": {"class": "User", "user_id": "User 7"},
        "participant2_id": {"class": "Bot", "user_id": "Bot 4"},
    },
    {"dialog_id": "0x1", "dialog": [{"id": 0, "sender": "participant2", "text": "Hello?"}], "eval_score": 1},
    {
        "dialogId": 3,
        "context": "A passage.",
        "users": [{"id": "Bob", "userType": "Bot"}],
        "thread": [{"userId": "Bob", "text": "Hm."}, {"userId": "Ann", "text": "So?"}],
    },
]
CHITCHAT = {
    "a-1": {
        "messages": [
            [
                {"text": "Hello", "timestamp": "2018-05-02T19:38:15Z", "sender": "x"},
                {"text": " How are\nyou?", "timestamp": "2018-05-02T19:38:20Z", "sender": "x"},
            ],
            [{"text": "Good!", "timestamp": "2018-05-02T19:39:00Z", "sender": "y"}],
        ],
        "prompt": "What is new?",
        "start": "2018-05-02T19:38:00Z",
    },
    "b-2": {"messages": [[{"text": "Anyone?", "sender": "x"}]]},
}
CHATTERBOT = """# about
categories:
- greetings
conversations:
- - Hi
  - Hello,
    you
- - Ready?
  - yes
  - 42
"""
DAILY = "Who ' s there ? __eou__ It ’ s me , Ann . __eou__\t1\t2 1\nReally ? __eou__ Don ’ t ask .\n"
KINDS = [
    (ConvAI2, json.dumps(CONVAI2).encode()),
    (ChitChat, json.dumps(CHITCHAT).encode()),
    (ChatterBot, CHATTERBOT.encode()),
    (DailyDialog, DAILY.encode()),
]
EVERY = pytest.mark.parametrize(("kind", "data"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
JSON_SETS = pytest.mark.parametrize(("kind", "data"), KINDS[:2], ids=lambda value: getattr(value, "__name__", ""))


def read(kind, data, name="x"):
    data = data if isinstance(data, str | bytes) else json.dumps(data)
    return list(kind().read(io.BytesIO(data if isinstance(data, bytes) else data.encode()), name))


def texts(dialogue):
    return [turn.text for turn in dialogue.turns]


# ConvAI2


def test_convai2_of_both_years(backend):
    assert read(ConvAI2, CONVAI2, "c.json") == [
        Dialogue(
            (Turn("Hi there, you", "participant1"), Turn("?", "participant1"), Turn("I like cats.", "participant2")),
            Origin("c.json", line=1),
            "User 7",
        ),
        Dialogue((Turn("Hello?", "participant2"),), Origin("c.json", line=2)),
        Dialogue((Turn("Hm.", "Bob"), Turn("So?", "Ann")), Origin("c.json", line=3)),
    ]


@pytest.mark.parametrize(
    ("element", "cause"),
    [
        (3, "no list of dialog"),
        ({}, "no list of dialog"),
        ({"dialog": {"text": "x"}}, "no list of dialog"),
        ({"dialog": []}, "no turns"),
        ({"thread": []}, "no turns"),
        ({"dialog": [{"text": "  ", "sender": "a"}]}, "no turns"),
        ({"dialog": [{"sender": "a"}]}, "a turn without text"),
        ({"dialog": [{"text": 3}]}, "a turn without text"),
        ({"dialog": ["Hi."]}, "a turn without text"),
    ],
)
def test_a_dialogue_that_is_none_is_lost(element, cause):
    assert [type(item) for item in read(ConvAI2, [CONVAI2[1], element, CONVAI2[1]])] == [Dialogue, Lost, Dialogue]
    assert read(ConvAI2, [CONVAI2[1], element])[1] == Lost(cause, 2)


def test_convai2_counted(shared_data):
    counts = {}
    for path in sorted(shared_data("convai2").glob("*.json.gz")):
        with gzip.open(path) as stream:
            head = stream.read(2**16)
            assert ConvAI2().sniff(head, path.name) > 0.9
            stream.seek(0)
            found = list(ConvAI2().read(stream, path.name))
        assert all(isinstance(item, Dialogue) for item in found)
        counts[path.name.partition("_train")[0]] = len(found), sum(len(item.turns) for item in found)
    assert [dialogues for dialogues, _ in counts.values()] == [1111, 427, 438, 1417]
    assert sum(turns for _, turns in counts.values()) == 44_395


# BYU chit-chat


def test_a_group_of_messages_is_a_turn(backend):
    assert read(ChitChat, CHITCHAT, "d.json") == [
        Dialogue((Turn("Hello How are you?", "x", 0.0), Turn("Good!", "y", 45.0)), Origin("d.json", line=1)),
        Dialogue((Turn("Anyone?", "x"),), Origin("d.json", line=2)),
    ]


def test_groups_of_two_senders_and_empty_messages():
    one, two = {"text": "A.", "sender": "x"}, {"text": "B.", "sender": "y", "timestamp": "never"}
    messages = [[one, two], two, [{"text": " ", "sender": "x"}], [one, {"text": "", "sender": "x"}]]
    [item] = read(ChitChat, {"i": {"messages": messages}})
    assert item.turns == (Turn("A.", "x"), Turn("B.", "y"), Turn("B.", "y"), Turn("A.", "x"))


@pytest.mark.parametrize("value", [3, {}, {"messages": 3}, {"messages": []}, {"messages": [[]]}, {"messages": [[3]]}])
def test_a_conversation_that_is_none_is_lost(value):
    found = read(ChitChat, {"a": value, "b": CHITCHAT["b-2"]})
    assert [type(item) for item in found] == [Lost, Dialogue]
    assert found[0].line == 1


COUNTING = """
import collections, gzip, json, pathlib, resource, sys
from s2sbot_chat_sets import ChitChat
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
counts = collections.Counter()
with gzip.open(sys.argv[1]) as stream:
    before = peak()
    for item in ChitChat().read(stream, "x"):
        counts[type(item).__name__] += 1
        counts["turns"] += len(item.turns)
        counts["words"] += sum(len(turn.text.split()) for turn in item.turns)
        counts["timed"] += sum(turn.start is not None for turn in item.turns)
        counts["backwards"] += any(one.start > two.start for one, two in zip(item.turns, item.turns[1:]))
    grown = peak() - before
print(json.dumps({**counts, "grown": grown}))
"""


def test_chitchat_counted_in_little_memory(shared_data):
    pytest.importorskip("resource")
    path = shared_data("chitchat", "dataset.json.gz")
    done = subprocess.run([sys.executable, "-c", COUNTING, path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    with gzip.open(path) as stream:
        assert ChitChat().sniff(stream.read(2**16), path.name) > 0.9
        stream.seek(0)
        conversations = json.load(stream).values()
    messages = [message for one in conversations for group in one["messages"] for message in group]
    groups = [group for one in conversations for group in one["messages"]]
    assert (counts["Dialogue"], len(messages)) == (6_810, 246_518)
    assert counts["turns"] == sum(any(message["text"].strip() for message in group) for group in groups)
    assert counts["words"] == sum(len(message["text"].split()) for message in messages)
    assert counts["timed"] == counts["turns"]
    assert counts["backwards"] == 0
    assert counts["grown"] * 1024 < 100e6


# Both


@JSON_SETS
def test_a_file_that_breaks_off_is_read_up_to_there(backend, kind, data):
    first, *_ = whole = read(kind, data)
    cut = data.rindex(b'"text"')
    found = read(kind, data[:cut])
    assert found == [*whole[: len(found) - 1], Lost("the file breaks off", len(found))]
    assert found[0] == first


@JSON_SETS
@pytest.mark.parametrize(
    ("more", "cause"),
    [
        (b"[" * 100_000, f"JSON nested more than {DEEPEST} deep"),
        (b"[" * 100_000 + b"]" * 100_000, f"JSON nested more than {DEEPEST} deep"),
        (b'"' + b"x" * (2 * LARGEST_ELEMENT) + b'"', "one element is larger than 4 MiB"),
        (b"NaN", "no JSON from here on"),
    ],
    ids=lambda value: value[:9],
)
def test_hostile_json_is_lost_at_once(backend, kind, data, more, cause):
    found = read(kind, data[:-1] + (b", " if kind is ConvAI2 else b', "x": ') + more + data[-1:])
    assert found[:-1] == read(kind, data)
    assert found[-1] == Lost(cause, len(found))


@JSON_SETS
def test_a_byte_that_is_no_utf_8_is_told(backend, kind, data):
    # the parser in Python gives nothing of the piece that it stands in
    with suppress(ValueError):
        found = read(kind, data[:-1] + (b', "\xff"]' if kind is ConvAI2 else b', "x": "\xff"}'))
        assert found == [*read(kind, data), Lost("no JSON from here on", len(found))]


@JSON_SETS
@pytest.mark.parametrize("number", [b"9" * 5000, b"-" + b"9" * 5000, b"1e999999999999999999999"])
def test_huge_numbers_end_nothing_but_the_reading(backend, kind, data, number):
    found = read(kind, data[:-1] + (b", " if kind is ConvAI2 else b', "x": ') + number + data[-1:])
    assert found[:-1] == read(kind, data)
    assert isinstance(found[-1], Lost)


@JSON_SETS
@pytest.mark.parametrize("other", [b"3", b'"x"', b"null", b"[]", b"{}", b"", b" ", b"x", b"[3", b"\xff\xfe"])
def test_json_without_dialogues_is_a_value_error_or_lost(kind, data, other):
    with suppress(ValueError):
        found = read(kind, other)
        assert found and all(isinstance(item, Lost) for item in found)


def test_a_byte_order_mark_and_half_a_surrogate_pair():
    [item] = read(ConvAI2, b'\xef\xbb\xbf[{"dialog": [{"text": "\xef\xbb\xbfa\\ud83d\\ude00b", "sender": "x"}]}]')
    assert texts(item) == ["\ufeffa\U0001f600b"]
    [item] = read(ConvAI2, b'[{"dialog": [{"text": "a\\ud800", "sender": "x"}]}]')
    assert texts(item)[0].encode("utf-8")[:1] == b"a"


# ChatterBot


def test_conversations_with_their_line():
    assert read(ChatterBot, CHATTERBOT, "g.yml") == [
        Dialogue((Turn("Hi"), Turn("Hello, you")), Origin("g.yml", line=5)),
        Dialogue((Turn("Ready?"), Turn("yes"), Turn("42")), Origin("g.yml", line=8)),
    ]


@pytest.mark.parametrize(
    "scalar", ["yes", "No", "off", "null", "~", "42", "0x1F", "1_000", "12:30:45", "2001-12-14", "1e3"]
)
def test_what_yaml_makes_values_of_is_the_text_in_the_file(scalar):
    assert [texts(item) for item in read(ChatterBot, f"conversations:\n- - Well?\n  - {scalar}\n")] == [
        ["Well?", scalar]
    ]


@pytest.mark.parametrize(
    ("body", "dialogues"),
    [
        ("- alone\n", [["alone"]]),
        ("- - Hi\n  - Note: I sleep\n", [["Hi", "Note: I sleep"]]),
        ("- - - Hi\n    - Hello\n  - - A\n    - B\n", [["Hi", "Hello"], ["A", "B"]]),
        ("- - Hi\n  - - Hello\n    - Hey\n", [["Hi", "Hello", "Hey"]]),
        ("- - Hi\n  - |\n    two\n    lines\n  - ''\n", [["Hi", "two lines"]]),
        ("- - !!python/object/apply:os.system [ls]\n  - !!int x\n", [["ls", "x"]]),
    ],
)
def test_odd_conversations(body, dialogues):
    assert [texts(item) for item in read(ChatterBot, f"categories: [x]\nconversations:\n{body}")] == dialogues


def test_older_files_name_the_category_instead():
    assert [texts(item) for item in read(ChatterBot, '{"greetings": [["Hi", "Hello"]], "version": 1}')] == [
        ["Hi", "Hello"]
    ]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("- []\n", "no turns"),
        ("- ''\n", "no turns"),
        ("- - Hi\n  - {a: 1, b: 2}\n", "an alias or a mapping among the turns"),
        ("- - &a Hi\n  - *a\n", "an alias or a mapping among the turns"),
    ],
)
def test_a_conversation_without_turns_is_lost(body, cause):
    found = read(ChatterBot, f"conversations:\n{body}- - A\n  - B\n")
    assert found == [Lost(cause, 2), Dialogue((Turn("A"), Turn("B")), Origin("x", line=found[1].origin.line))]


@pytest.mark.timeout(20)
def test_a_bomb_of_aliases_does_not_grow():
    body = "- &a0 [x, x, x, x, x, x, x, x, x]\n"
    body += "".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 60))
    found = read(ChatterBot, f"conversations:\n{body}")
    assert [type(item) for item in found] == [Dialogue] + [Lost] * 59


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "body", ["[" * 100_000, "- " * 50_000 + "a", "{a: " * 50_000, "? " * 50_000], ids=lambda body: body[:3]
)
@pytest.mark.parametrize("above", ["", "conversations:\n- ", "a: "], ids=["bare", "inside", "aside"])
@pytest.mark.parametrize("plain", [False, True], ids=["C", "Python"])
def test_brackets_within_brackets_are_refused_quickly(body, above, plain, monkeypatch):
    if plain:
        monkeypatch.delattr(yaml, "CBaseLoader", raising=False)
    with pytest.raises(ValueError):
        read(ChatterBot, above + body)


@pytest.mark.parametrize(
    "data", ["", "words", "- a\n", "3", "a: [", "conversations: yes", "\x07", "a: b: c", "%X\n---"]
)
def test_yaml_without_conversations_is_a_value_error(data):
    with pytest.raises(ValueError):
        read(ChatterBot, data)


def test_no_such_file_is_that_large():
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        read(ChatterBot, b"#" * (LARGEST_YAML + 1))


def test_yaml_that_goes_bad_is_read_up_to_there():
    found = read(ChatterBot, f"{CHATTERBOT}  - 'no end\n")
    assert [type(item) for item in found] == [Dialogue, Lost]
    assert found[1].cause.startswith("no YAML from here on: ")


def test_the_parser_in_python_reads_the_same(monkeypatch):
    found = read(ChatterBot, CHATTERBOT)
    monkeypatch.delattr(yaml, "CBaseLoader", raising=False)
    assert read(ChatterBot, CHATTERBOT) == found


def test_chatterbot_counted(shared_data):
    paths = sorted(shared_data("chatterbot_corpus").rglob("*.yml"))
    assert len(paths) == 31
    for path in paths:
        data = path.read_bytes()
        assert ChatterBot().sniff(data[: 2**16], path.name) > 0.9
        found = read(ChatterBot, data)
        text = data.decode("utf-8")
        assert len(found) == len(re.findall(r"^ *- +- ", text, re.MULTILINE)), path
        assert all(isinstance(item, Dialogue) for item in found)
        assert sum(len(item.turns) for item in found) == len(
            re.findall(r"^ *(?:- +)?- ", section(text), re.MULTILINE)
        ), path


def section(text):
    """Return what stands below `conversations:`, without what a text that goes on for lines itself holds."""
    below = text.partition("conversations:")[2]
    return re.sub(r"^( *(?:- +)*- +)([|>]-?|['\"].*)$(?:\n(?: {4,}.*)?$)+", r"\1\2", below, flags=re.MULTILINE)


# DailyDialog


def test_a_dialogue_a_line():
    assert read(DailyDialog, DAILY + "\n__eou__\nnone\n", "d.txt") == [
        Dialogue((Turn("Who's there?"), Turn("It’s me, Ann.")), Origin("d.txt", line=1)),
        Dialogue((Turn("Really?"), Turn("Don’t ask.")), Origin("d.txt", line=2)),
        Lost("no turns", 4),
        Lost("no __eou__", 5),
    ]


def test_what_is_not_tokenised_stays():
    text = "Où est-il ? __eou__ Là, je crois.\nEh bien ? __eou__ Oui, là.\n"
    assert [texts(item) for item in read(DailyDialog, text)] == [
        ["Où est-il ?", "Là, je crois."],
        ["Eh bien ?", "Oui, là."],
    ]


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("Oh , great ! It's fine .", "Oh, great! It's fine."),
        ("I ’ m sure they ’ ll come ; we ’ Ve time ...", "I’m sure they’ll come; we’Ve time..."),
        ("It ' s Ann ' s . Can ' t you ?", "It's Ann's. Can't you?"),
        ("It 's fine , is n't it ?", "It's fine, isn't it?"),
        ("ten o ’ clock , ma ’ am", "ten o’clock, ma’am"),
        ("the students ’ room", "the students ’ room"),
        ("He said ' stop ' .", "He said ' stop '."),
        ("not ’ t", "not ’ t"),
        ("I ( we ) said “ no ” .", "I (we) said “no”."),
        ("$ 20 , or 5 $ 20 , or 5 $ .", "$20, or 5 $ 20, or 5 $."),
        ("Not far away.It ' s there .", "Not far away.It's there."),
        ("at 8 : 30 , on 1 , 2 and 3 . 5", "at 8 : 30, on 1 , 2 and 3 . 5"),
        ("room 5 . Yes", "room 5. Yes"),
        ('50 % - or / and & " so "', '50 % - or / and & " so "'),
        (". . .", "..."),
        ("? ! ( )", "?! ( )"),
        ("’", "’"),
        ("", ""),
    ],
)
def test_spaces_that_surely_were_put_in(text, mended):
    assert detokenise(text) == mended
    assert detokenise(mended) == mended or "$" in text


@given(
    st.lists(st.sampled_from([*".,?!;:()[]“”’'$%-", "...", "s", "t", "ll", "n't", "’s", "don", "5", "a", "é"])).map(
        " ".join
    )
)
def test_nothing_but_spaces_changes(text):
    assert detokenise(text).replace(" ", "") == text.replace(" ", "")


@given(st.text())
def test_nothing_but_white_space_changes_in_any_text(text):
    assert "".join(detokenise(text).split()) == "".join(text.split())


def test_lines_that_are_lost():
    assert read(DailyDialog, "Où ? __eou__\n".encode() * 9 + b"caf\xe9 __eou__\n" + b"Oui. __eou__\n")[8:] == [
        Dialogue((Turn("Où ?"),), Origin("x", line=9)),
        Lost("not UTF-8", 10),
        Dialogue((Turn("Oui."),), Origin("x", line=11)),
    ]
    assert read(DailyDialog, b"a __eou__ " * (LONGEST_LINE // 9) + b"\nWho? __eou__") == [
        Lost(f"longer than {LONGEST_LINE} bytes", 1),
        Dialogue((Turn("Who?"),), Origin("x", line=2)),
    ]


def test_a_file_of_any_length_is_read_in_little_memory():
    class Long(io.RawIOBase):
        left = 400

        def read(self, size=-1):
            self.left -= 1
            return (b"Well , yes . __eou__ " + b"x" * 5_000 + b" . __eou__\n") * 10 * (self.left >= 0)

    tracemalloc.start()
    try:
        found = sum(texts(item)[0] == "Well, yes." for item in DailyDialog().read(Long(), "x"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == 4_000
    assert peak < 8 * SAMPLE < 4_000 * 5_000


def test_what_is_tokenised():
    assert is_tokenised(["Well , yes . No .", "Mr. Smith , please ."])
    assert not is_tokenised(["Well, yes. No ."])
    assert not is_tokenised([])


@pytest.mark.parametrize(
    ("parts", "dialogues", "turns"),
    [
        (("en_dev_human.txt",), 995, 8_025),
        (("de_dev_human.txt",), 995, 8_025),
        (("1k_part", "dialogues_text_En.txt"), 1_000, 7_386),
        (("1k_part", "dialogues_text_De.txt"), 1_000, 7_386),
    ],
    ids=["en", "de", "1k en", "1k de"],
)
def test_dailydialog_counted(shared_data, parts, dialogues, turns):
    data = shared_data("dailydialog", *parts).read_bytes()
    assert DailyDialog().sniff(data[: 2**16], parts[-1]) > 0.9
    found = read(DailyDialog, data)
    assert all(isinstance(item, Dialogue) for item in found)
    assert (len(found), sum(len(item.turns) for item in found)) == (dialogues, turns)
    said = "".join(re.sub(r"__eou__|\s", "", line.partition("\t")[0]) for line in data.decode().split("\n"))
    assert "".join(text for item in found for text in texts(item)).replace(" ", "") == said
    loose = sum(len(re.findall(r"(?<=[^\W\d]) [.,?!](?= |$)", text)) for item in found for text in texts(item))
    assert loose < 0.05 * turns


# All of them


@EVERY
def test_the_contract_of_readers(kind, data):
    check_reader(kind, data, "x")


@EVERY
def test_each_knows_its_own_files_and_no_others(kind, data):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"):
        assert kind().sniff(data.decode().encode(encoding), "x") > 0.9
        assert read(kind, data.decode().encode(encoding)) == read(kind, data)
    assert kind().sniff(data.replace(b"\n", b"\r\n"), "x") > 0.9
    assert kind().sniff(data.replace(b"\n", b"\r"), "x") > 0.9
    others = [other for owner, other in KINDS if owner is not kind]
    others += [b"", b"words\n", b"[Script Info]\n", b'{"turns": ["Hi."]}\n', b'[{"turns": ["Hi."]}]', b"a\tb\n"]
    others += [b"services:\n  web:\n    image: x\n", b'{"name": {"a": [1]}}', b"version: 1\nconversations_of: x\n"]
    for other in others:
        assert kind().sniff(other, "conversations.yml") == kind().sniff(other, "dialogues_text.txt") == 0


@EVERY
def test_no_file_of_this_project_is_one(kind, data):
    files = [
        path for folder in ("docs", "s2sbot", "plugins") for path in (ROOT / folder).rglob("*.*") if path.is_file()
    ]
    assert len(files) > 50
    assert not [path for path in files if kind().sniff(path.read_bytes()[: 2**16], path.name)]


@EVERY
@given(changes=st.data())
def test_changed_bytes_raise_nothing_but_value_errors(kind, data, changes):
    start = changes.draw(st.integers(0, len(data)))
    end = start + changes.draw(st.integers(0, 5))
    new = changes.draw(st.binary(max_size=6) | st.text("{}[]\",:\\ 9e-\n&*|'", max_size=4).map(str.encode))
    changed = data[:start] + new + data[end:]
    assert 0 <= kind().sniff(changed, "x") <= 1
    with suppress(ValueError):
        for item in read(kind, changed):
            assert isinstance(item, Lost) or (item.turns and all(texts(item)))

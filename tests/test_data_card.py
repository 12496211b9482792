"""The data card: every count, the same bytes each time, and nothing that strangers wrote is markup."""

import json
import random
import re
import shlex
import shutil
from pathlib import Path

import defusedxml.ElementTree
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from s2sbot.cli import main
from s2sbot.plugins import Plugins
from s2sbot.preparation import prepare
from s2sbot.preparation.card import distinct
from s2sbot.preparation.page import page
from s2sbot.preparation.pictures import lengths_picture, rules_picture
from s2sbot.settings import DataSettings
from s2sbot.text import open_corpus
from s2sbot.text.rules import RULES

DOCS = (Path(__file__).parents[1] / "docs" / "corpora.md").read_text("utf-8")
CARD = ("card.json", "card.md", "lengths.svg", "rules.svg", "documents.jsonl")
SVG = "{http://www.w3.org/2000/svg}"


def write_film(path, *lines, begin=0):
    cues = [
        f"{number}\n00:{second // 60:02}:{second % 60:02},000 --> 00:{second // 60:02}:{second % 60:02},900\n{line}\n"
        for number, (second, line) in enumerate(zip(range(begin, begin + 3 * len(lines), 3), lines, strict=True), 1)
    ]
    path.write_text("\n".join(cues), "utf-8")


def chat(number):
    """Return lines that no other number has."""
    chosen = random.Random(number)
    return [f"{chosen.choice(['So', 'Well', 'But'])} this is line {number} {place}." for place in range(8)]


def write_corpus(folder):
    folder.mkdir()
    for number in range(6):
        write_film(folder / f"film{number}.srt", *chat(number), "[door slams]", "♪ La la la ♪", "Hello.", "Hello.")
    (folder / "noise.bin").write_bytes(bytes(range(256)))
    (folder / "empty.srt").write_bytes(b"")
    (folder / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    return folder


def make(out, *paths, valid=(), workers=1, **data):
    out.mkdir()
    settings = DataSettings(**{"tokenizer": "words", "valid_share": 0.2, **data})
    opened, held_out = ([open_corpus(path) for path in each] for each in (paths, valid))
    prepared = list(prepare(opened, held_out, settings, Plugins(), out=out, workers=workers))[-1]
    return prepared, json.loads((out / "card.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    prepared, card = make(folder / "out", write_corpus(folder / "films"), context_turns=1)
    return folder, prepared, card


def tokens_of(text):
    """Return all tokens of a page, as a renderer has them that knows tables and lets HTML through."""
    found: list[Token] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        found += [token, *(token.children or [])]
    return found


# What it says


def test_the_card_counts_what_is_there(films):
    _, prepared, card = films
    assert card["format"] == 1
    assert card["kind"] == "chat"
    [source] = card["sources"]
    assert (source["name"], source["read"], source["refused"]) == ("films", 6, 3)
    assert source["readers"] == {"srt": 6}
    assert source["cues"] == 6 * 12
    assert (source["rules"]["songs"], source["rules"]["notes"], source["rules"]["echo"]) == (6, 6, 6)
    splits = card["splits"]
    assert splits["train"]["exchanges"] == len(prepared.train)
    assert splits["valid"]["exchanges"] == len(prepared.valid)
    lengths = [len(prepared.train.row(row)[0]) + 1 for row in range(len(prepared.train))]
    assert splits["train"]["source_tokens"] == sum(lengths)
    assert card["vocabulary"] == {"tokenizer": "words", "shared": True, "sizes": [len(prepared.tokenizers[0])] * 2}
    with_context = sum(4 in prepared.train.row(row)[0] for row in range(len(prepared.train)))
    assert 0 < card["history"]["with_context"] == with_context < len(prepared.train)
    assert sum(card["words_a_target"].values()) == len(prepared.train)
    assert len(card["samples"]) == 12


def test_every_rule_is_there_in_its_order_with_what_was_before_and_after(films):
    card = films[2]
    assert [rule["name"] for rule in card["rules"]] == list(RULES)
    for noun in ("cues", "exchanges"):
        left = card["counts"][noun]
        for rule in card["rules"]:
            if rule["what"] == noun and rule["does"] == "drops":
                assert (rule["before"], rule["after"]) == (left, left - rule["count"])
                left = rule["after"]
    counts = card["counts"]
    assert left - counts["too_long"] == counts["packed"] == sum(each["exchanges"] for each in card["splits"].values())
    off = {rule["name"] for rule in card["rules"] if not rule["on"]}
    assert off == {"ratio", "language", "near-duplicates"}


def test_every_count_of_a_rule_stands_on_the_page(films):
    card = json.loads(json.dumps(films[2]))
    for number, rule in enumerate(card["rules"]):
        rule["count"] = 1_000_000 + number
        card["sources"][0]["rules"][rule["name"]] = 2_000_000 + number
    card["sources"] *= 2
    text = page(card)
    for number, name in enumerate(RULES):
        [first, second] = re.findall(rf"^\| `{name}`.*$", text, re.MULTILINE)
        assert f"| {1_000_000 + number:,} |" in first
        assert second == f"| `{name}` | {2_000_000 + number:,} | {2_000_000 + number:,} |"


def test_refused_files_are_named_with_their_causes(films):
    folder, _, card = films
    causes = {file["name"]: file["cause"] for file in card["sources"][0]["refused_files"]}
    assert set(causes) == {"noise.bin", "empty.srt", "broken.zip"}
    assert causes["empty.srt"] == "empty file"
    text = (folder / "out" / "card.md").read_text("utf-8")
    assert "### Refused files: 3" in text
    for name, cause in causes.items():
        assert f"\n{name}: {cause}\n" in text
    lines = [json.loads(line) for line in (folder / "out" / "documents.jsonl").read_text("utf-8").splitlines()]
    assert [line["name"] for line in lines] == sorted([f"film{number}.srt" for number in range(6)] + list(causes))


def test_many_refused_files_are_cut_and_the_page_says_where_the_others_are(tmp_path):
    folder = write_corpus(tmp_path / "films")
    for number in range(150):
        (folder / f"{number:03}.bin").write_bytes(b"\0\1\2")
    _, card = make(tmp_path / "out", folder)
    assert card["sources"][0]["refused"] == 153
    assert len(card["sources"][0]["refused_files"]) == 100
    text = (tmp_path / "out" / "card.md").read_text("utf-8")
    assert "019.bin" in text
    assert "020.bin" not in text
    assert "and 133 more; `documents.jsonl` has a line for every file." in text


def test_replies_before_and_after_the_cap(tmp_path):
    lines = [f"Question number {number}?\tI don't know.\n" for number in range(40)]
    lines += [f"Why is it {number}?\tBecause {number} it is.\n" for number in range(40)]
    (tmp_path / "a.tsv").write_text("".join(lines))
    _, card = make(tmp_path / "out", tmp_path / "a.tsv", reply_cap=5)
    first = card["frequent_replies"][0]
    assert first["reply"] == "I don't know."
    assert first["before"] > 20
    assert first["after"] == card["reply_cap"] == 5
    text = (tmp_path / "out" / "card.md").read_text("utf-8")
    assert f"| `I don't know.` | {first['before']} | 5 |" in text
    _, card = make(tmp_path / "free", tmp_path / "a.tsv", without="replies")
    assert card["reply_cap"] is None
    assert card["frequent_replies"][0]["after"] == card["frequent_replies"][0]["before"]
    assert "There is no cap on them." in (tmp_path / "free" / "card.md").read_text("utf-8")


def test_distinct_words_and_pairs_of_words():
    assert distinct(["a b", "A b c"]) == (3 / 5, 2 / 3)
    assert distinct(["a"]) == (1.0, 0.0)
    assert distinct([]) == (0.0, 0.0)


def test_the_page_of_a_small_corpus(films):
    folder, _, card = films
    text = (folder / "out" / "card.md").read_text("utf-8")
    train, valid = (card["splits"][side]["exchanges"] for side in ("train", "valid"))
    digest = card["sources"][0]["sha256"]
    assert text.startswith(
        "# Data card\n\n"
        f"A corpus to train a chat bot on, prepared by s2sbot {card['s2sbot']}; languages: not said.\n"
        f"{train} exchanges to learn from, {valid} to validate on, 0 to test on.\n"
    )
    assert "are left out." not in text
    assert f"| `films` | all | 6 | 3 | 72 | 6 | 48 | not said | `{digest}` |" in text
    assert "| `songs` | drops cues: songs: a music sign, \\# at both ends, styles named for" in text
    assert "| 72 | 6 |  | 66 |" in text
    assert "![What every rule dropped, from cues to exchanges](rules.svg)" in text
    assert "![How many targets have how many words](lengths.svg)" in text
    assert "valid_share = 0.2\n" in text
    seconds = card["samples"][0]["seconds"]
    assert f"{card['samples'][0]['file']}, 0:00:{seconds:02.0f}\n" in text
    headings = re.findall("^#+ .*", text, re.MULTILINE)
    assert headings == [
        "# Data card",
        "## Sources",
        "### Refused files: 3",
        "## What the rules did",
        "## What is in it",
        *(["## Most frequent replies to learn from"] if "## Most" in text else []),
        "## Samples",
        "## Settings",
        "## To make it again",
    ]


def test_the_page_of_a_translator_tells_of_pairs_and_what_each_source_is_for(tmp_path):
    rows = [f"This is line {number}.\tDies ist Zeile {number}.\n" for number in range(60)]
    for name, part in (("a.tsv", rows[:40]), ("held.tsv", rows[40:])):
        (tmp_path / name).write_text("".join(part) + "Why?\tWarum?\nWhy not?\tWarum?\n")
    settings = DataSettings(tokenizer="words", without="overlap")
    opened = [open_corpus(tmp_path / name, source="en", target="de") for name in ("a.tsv", "held.tsv")]
    list(prepare(opened[:1], opened[1:], settings, Plugins(), out=tmp_path / "out", workers=1))
    text = (tmp_path / "out" / "card.md").read_text("utf-8")
    assert "| `a.tsv` | training |" in text
    assert "| `held.tsv` | validation |" in text
    assert "Rules about what this corpus has none of are left out." in text
    for rule in ("songs", "karaoke", "notes", "sentences", "scenes"):
        assert f"| `{rule}`" not in text
    assert text.count("| `echo` |") == 2
    assert "## Most frequent translations to learn from" in text
    assert "translations, words in small letters" in text
    assert "of their dialogue" not in text


# The same bytes each time


def test_the_card_depends_on_nothing_but_files_and_settings(films, tmp_path):
    folder = films[0]
    elsewhere = tmp_path / "else" / "where"
    elsewhere.mkdir(parents=True)
    shutil.copytree(folder / "films", elsewhere / "films")
    make(tmp_path / "again", elsewhere / "films", context_turns=1, workers=2)
    for name in CARD:
        assert (tmp_path / "again" / name).read_bytes() == (folder / "out" / name).read_bytes(), name
    for name in CARD:
        assert str(folder) not in (folder / "out" / name).read_text("utf-8"), "a card tells nothing of the machine"


def test_the_order_in_which_corpora_are_named_changes_nothing(tmp_path):
    for name, number in (("a", 1), ("b", 20)):
        (tmp_path / name).mkdir()
        for film in range(3):
            write_film(tmp_path / name / f"{film}.srt", *chat(number + film))
    make(tmp_path / "one", tmp_path / "a", tmp_path / "b")
    make(tmp_path / "other", tmp_path / "b", tmp_path / "a")
    for name in CARD:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes(), name


def test_the_command_on_the_card_makes_it_again(films, tmp_path, monkeypatch):
    folder, _, card = films
    words = shlex.split(card["command"])
    assert words[0] == "s2sbot"
    monkeypatch.chdir(folder)
    monkeypatch.setenv("S2SBOT_PLUGINS", "off")
    out = tmp_path / "again"
    done = CliRunner().invoke(main, [str(out) if word == "DIR" else word for word in words[1:]])
    assert done.exit_code == 0, done.output
    for name in CARD:
        assert (out / name).read_bytes() == (folder / "out" / name).read_bytes(), name


# What strangers wrote

HOSTILE = (
    "STRANGER <script>alert(1)</script>",
    "STRANGER ![x](http://evil.example/x.png) [y](javascript:z)",
    "STRANGER | a | b | \\| <img src=x onerror=y> \\\\|",
    "STRANGER ``` `` ` <b>bold</b> ```",
    "`STRANGER` www.evil.example stranger@evil.example",
    "STRANGER \u202egnp.exe \x1b[31m \x07 \ue0001",
    "STRANGER\n\n# Heading\n\n<iframe src=x>\n- item\r\n```\n<p>out</p>\n```",
    "STRANGER\u2028<hr>\x85<hr>",
    "    STRANGER\t<hr>",
    "&lt;STRANGER&gt; &#60;hr&#62;",
    "STRANGER ~~~\n~~~ $x$ {{ y }} :-: *a* _b_ <!-- <hr> -->",
    "STRANGER \\",
)


def hostile(card, texts):
    """Return a card in which strangers' texts stand wherever such may stand."""
    card = json.loads(json.dumps(card))
    chosen = iter(texts * 20)
    source = card["sources"][0]
    source.update(name=next(chosen), licence=next(chosen), readers={next(chosen): 3})
    source["lost"] = dict.fromkeys(texts, 2)
    source["refused_files"] = [{"name": text, "cause": next(chosen)} for text in texts]
    source["refused"] = len(texts)
    card["sources"] = [source, {**source, "name": next(chosen)}]
    card["languages"] = [next(chosen)]
    card["frequent_replies"] = [{"reply": text, "before": 7, "after": 3} for text in texts]
    card["samples"] = [
        {"source": text, "target": next(chosen), "context": [next(chosen)], "file": next(chosen), "line": 3}
        for text in texts
    ]
    card["command"] = f"s2sbot corpus prepare {shlex.quote(texts[0])} {shlex.quote(texts[-1])} --out DIR"
    card["settings"]["language"] = next(chosen)
    card["vocabulary"]["tokenizer"] = next(chosen)
    return card


def check_inert(text):
    """Assert that all a page is made of is what the page itself makes."""
    tokens = tokens_of(text)
    assert not [token for token in tokens if token.type in ("html_block", "html_inline", "link_open")]
    images = [token.attrs["src"] for token in tokens if token.type == "image"]
    assert images == ["rules.svg", "lengths.svg"]
    allowed = {"", "code", "h1", "h2", "h3", "img", "li", "p", "table", "tbody", "td", "th", "thead", "tr", "ul", "br"}
    assert {token.tag for token in tokens} <= allowed
    assert not [char for char in text if char != "\n" and (ord(char) < 32 or char in "\u202e\u2028\x85\x7f")]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_strangers_wrote_is_markup(films, text):
    check_inert(page(hostile(films[2], (text,))))


def test_strangers_stand_in_code_alone_and_break_no_table(films):
    text = page(hostile(films[2], HOSTILE))
    check_inert(text)
    tokens = tokens_of(text)
    for token in tokens:
        if "STRANGER" in token.content and token.type != "inline":
            assert token.type in ("code_inline", "fence"), token
    rows = re.findall(r"<tr>(.*?)</tr>", MarkdownIt("commonmark").enable("table").render(text), re.DOTALL)
    cells_of = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in rows]
    replies = [cells for cells in cells_of if len(cells) == 3 and cells[0].startswith("<code>")]
    assert [cells[1:] for cells in replies].count(["7", "3"]) == len(HOSTILE)
    cells = [token.content for token in tokens if token.type == "code_inline"]
    assert "STRANGER <script>alert(1)</script>" in cells
    assert "STRANGER | a | b | \\¦ <img src=x onerror=y> \\\\¦" in cells, "of a table it is one cell, whole"


@given(st.text(st.sampled_from(list("`|\\<>[]()!#*_~-=&;:@ \n\r\ta./\"'\u202e")), max_size=40))
def test_no_text_at_all_is_markup(films, text):
    card = hostile(films[2], (text,))
    check_inert(page(card))


def test_hostile_names_and_lines_from_files_to_card(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for number, name in enumerate(("<img src=x>|`.srt", "[a](b)\n# c.srt", "c.srt")):
        lines = [f"See <script>x{number}{place}</script> | `this` {{y}} {place}." for place in range(8)]
        write_film(folder / name, *lines)
    (folder / "```\n<hr>.bin").write_bytes(b"\0\0\1")
    (folder / "corpus.toml").write_text('name = "<b>|`x`\\n# y"\nlicence = "[l](http://m) | <i>"\n')
    make(tmp_path / "out", folder)
    text = (tmp_path / "out" / "card.md").read_text("utf-8")
    check_inert(text)
    assert "<b>\\|`x` # y" in text
    assert "```\\x0a<hr>.bin: binary data, not text" in text


# Pictures


def check_picture(text):
    """Assert that a picture is XML without scripts and without anything from outside, and has a text alternative."""
    root = defusedxml.ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert {element.tag for element in root.iter()} <= {
        f"{SVG}{name}" for name in ("svg", "title", "desc", "style", "rect", "line", "text")
    }
    for element in root.iter():
        assert not [name for name in element.attrib if "href" in name or name.startswith("on") or name == "src"]
        for value in element.attrib.values():
            assert "nan" not in value
            assert "e+" not in value
    assert text.count("http") == 1, "the name of the language itself"
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme:dark" in text
    assert root.get("role") == "img"
    assert [root.find(f"{SVG}{kind}").get("id") for kind in ("title", "desc")] == root.get("aria-labelledby").split()
    return root


def test_pictures_stand_beside_the_card(films):
    folder, _, card = films
    for name in ("lengths.svg", "rules.svg"):
        check_picture((folder / "out" / name).read_text("utf-8"))
    root = check_picture((folder / "out" / "rules.svg").read_text("utf-8"))
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert "songs: 6 dropped" in titles
    assert f"exchanges packed: {card['counts']['packed']} left" in titles


def test_the_histogram_has_a_bar_for_every_length():
    root = check_picture(lengths_picture({"1": 10, "5": 40, "64": 5}))
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "bar"]
    assert [bar.find(f"{SVG}title").text for bar in bars] == [
        "1 word: 10 targets",
        "5 words: 40 targets",
        "64 words or more: 5 targets",
    ]
    heights = [float(bar.get("height")) for bar in bars]
    assert heights == [50, 200, 25]
    assert [float(bar.get("y")) + height for bar, height in zip(bars, heights, strict=True)] == [244] * 3
    assert root.find(f"{SVG}desc").text == "Histogram of 55 targets to learn from; 5 words is the most frequent length."


def test_the_waterfall_goes_down_step_by_step():
    counts = {"cues": 100, "exchanges": 40, "too_long": 10, "packed": 22}
    rules = [
        {"name": "signs", "does": "drops", "what": "cues", "before": 100, "count": 25, "after": 75},
        {"name": "notes", "does": "changes", "what": "lines", "before": None, "count": 9, "after": None},
        {"name": "songs", "does": "drops", "what": "cues", "before": 75, "count": 0, "after": 75},
        {"name": "echo", "does": "drops", "what": "exchanges", "before": 40, "count": 8, "after": 32},
    ]
    root = check_picture(rules_picture(counts, rules))
    steps = [rect.find(f"{SVG}title").text for rect in root.iter(f"{SVG}rect") if rect.get("class") != "page"]
    assert steps == [
        "cues: 100 left",
        "signs: 75 left",
        "signs: 25 dropped",
        "cues left: 75 left",
        "exchanges: 40 left",
        "echo: 32 left",
        "echo: 8 dropped",
        "too long: 22 left",
        "too long: 10 dropped",
        "exchanges packed: 22 left",
    ]
    gone = {rect.find(f"{SVG}title").text: rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "gone"}
    dropped = gone["signs: 25 dropped"]
    assert (float(dropped.get("x")), float(dropped.get("width"))) == (150 + 0.75 * 430, 0.25 * 430)


@given(
    st.dictionaries(st.integers(0, 64).map(str), st.integers(1, 10**9)),
    st.integers(1, 10**9),
    st.lists(st.integers(0, 10**7), min_size=2, max_size=2),
)
def test_any_counts_make_a_picture(words, cues, gone):
    check_picture(lengths_picture(words))
    after = max(0, cues - gone[0])
    rule = {"name": "signs", "does": "drops", "what": "cues", "before": cues, "count": cues - after, "after": after}
    check_picture(rules_picture({"cues": cues, "exchanges": 0, "too_long": 0, "packed": 0}, [rule]))


# The format for programs


def test_every_key_of_the_card_is_documented(films):
    section = DOCS.partition("\n## The card for programs")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))

    def keys(value, name):
        if name in ("settings", "asks", "words_a_target", "sources[].rules", "sources[].readers", "sources[].lost"):
            yield name  # their keys are knobs, lengths, rules, readers, causes
        elif isinstance(value, dict):
            for key, inner in value.items():
                yield from keys(inner, f"{name}.{key}" if name else key)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for inner in value:
                yield from keys(inner, f"{name}[]")
        else:
            yield name

    found = {re.sub(r"^splits\.(train|valid|test)\.", "splits.SIDE.", key) for key in keys(films[2], "")}
    assert found | {"samples[].line"} == documented

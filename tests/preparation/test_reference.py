"""A whole preparation is what a simple loop over all exchanges comes to, and every row knows its place."""

import json
from dataclasses import replace

import pytest
from preparations import Given, hashes, made, naive_choice, srt, texts, write_dialogues, write_films, write_pairs

from s2sbot.plugins import Plugins
from s2sbot.preparation import merging, plan
from s2sbot.settings import DataSettings
from s2sbot.text import Corpus, open_corpus
from s2sbot.text.films import film_of
from s2sbot.text.packed import Packed
from s2sbot.text.pairing import previous_exchanges
from s2sbot.text.quality import exchange_keys, hash_of, plain, signature
from s2sbot.text.reading import CorpusReport, read_corpus
from s2sbot.text.rules import Rules
from s2sbot.text.tokenizer import SEP, encode_source


@pytest.fixture(scope="module")
def plugins():
    return Plugins()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    write_films(root / "films", 9)
    (root / "films" / "film 003.en.v2.srt").write_text(srt(["What now?", "We wait.", "For what?", "For rain."]))
    write_dialogues(root / "talk.jsonl")
    write_pairs(root / "pairs.tsv")
    write_films(root / "held", 3, first=7)
    write_languages(root / "news")
    return root


def write_languages(folder):
    """Write two files of lines that translate each other, some sources with several translations."""
    folder.mkdir()
    pairs = [
        (f"Das Haus Nummer {n // 2} ist alt.", f"House {n // 2} is {'old' if n % 2 else 'aged'}.") for n in range(80)
    ]
    pairs += [("12345", "12345"), ("Kurz.", "This is a very much longer line than the other one is."), *pairs[:5]]
    (folder / "a.de").write_text("\n".join(source for source, _ in pairs) + "\n", "utf-8")
    (folder / "a.en").write_text("\n".join(target for _, target in pairs) + "\n", "utf-8")


def naive(corpora, valid, data, plugins, tokenizers):
    """Return for each side (exchanges in the order of corpora and documents, the same packed), by reading all of it."""
    kind = corpora[0].kind
    rules = Rules.of(data)
    if kind == "translate":
        rules = Rules.of(DataSettings(**{**vars_of(data), "context_turns": 0}))
    ordered = sorted([(False, corpus) for corpus in corpora] + [(True, corpus) for corpus in valid], key=by_name)
    found, held = [], set()
    shared = shared_names([corpus for _, corpus in ordered], plugins)
    for out, corpus in ordered:
        for number, document in enumerate(read_corpus(corpus, plugins.readers(), report=CorpusReport(), rules=rules)):
            groups = groups_of(corpus)
            for exchange in document.exchanges:
                if shared & names_of(corpus, plugins):
                    origin = replace(exchange.origin, file=f"{corpus.path.name}/{exchange.origin.file}")
                    exchange = replace(exchange, origin=origin)
                held |= {len(found)} if out else set()
                found.append((corpus.name, number, exchange, unit_of(exchange, document, groups)))
    rows = [compared(exchange, unit, rules, (name, number)) for name, number, exchange, unit in found]
    fates, _ = naive_choice(rows, held if valid else None, data, rules)
    return {side: packed([each for each, fate in zip(found, fates, strict=True) if fate == side], tokenizers, data)
            for side in ("train", "valid", "test")}  # fmt: skip


def names_of(corpus, plugins):
    return {document.name for document in corpus.documents(plugins.readers())}


def shared_names(corpora, plugins):
    """Return the names that documents of two corpora have."""
    names = [name for corpus in corpora for name in names_of(corpus, plugins)]
    return {name for name in names if names.count(name) > 1}


def vars_of(data):
    return {name: getattr(data, name) for name in data.__slots__}


def by_name(each):
    return each[0], each[1].name


def groups_of(corpus):
    """Return the groups of the dialogues of a JSONL corpus, by number."""
    if corpus.path.suffix != ".jsonl":
        return {}
    return {number: json.loads(line)["group"] for number, line in enumerate(corpus.path.read_text().splitlines())}


def unit_of(exchange, document, groups):
    if exchange.dialogue is None:
        return hash_of(plain(exchange.source))
    return hash_of(groups[exchange.dialogue] if groups else film_of(document.name))


def compared(exchange, unit, rules, document):
    source, target = plain(exchange.source), plain(exchange.target)
    key, reply = exchange_keys(source, target)
    numbers = tuple(signature(source, target)) if rules.near_duplicates else ()
    return Given(unit, key, reply, exchange.dialogue is None, numbers, document)


def packed(found, tokenizers, data):
    """Return exchanges that are short enough, and them packed, document by document."""
    kept, previous, ids = [], [], []
    documents = list(dict.fromkeys((corpus, number) for corpus, number, _, _ in found))
    for place in documents:
        exchanges = []
        for corpus, number, exchange, _ in found:
            source = encode_source(tokenizers[0], exchange.source, exchange.context, most=data.max_length)
            target = tokenizers[1].encode(exchange.target)
            if (corpus, number) == place and 0 < len(source) <= data.max_length and 0 < len(target) <= data.max_length:
                exchanges.append(exchange)
                ids.append((source, target))
        previous += [index + len(kept) if index >= 0 else -1 for index in previous_exchanges(exchanges)]
        kept += exchanges
    return kept, Packed.pack(ids, previous)


CHAT = ("films", "talk.jsonl", "pairs.tsv")


@pytest.mark.parametrize(
    ("names", "valid", "data"),
    [
        (CHAT, (), {}),
        (CHAT, (), {"context_turns": 1, "test_share": 0.3, "reply_cap": 2}),
        (CHAT, (), {"context_turns": 3, "max_length": 12, "near_duplicates": 0.6, "share_tokenizer": False}),
        (("talk.jsonl", "films"), ("held",), {"context_turns": 1, "without": "duplicates"}),
        (("pairs.tsv",), (), {"max_length": 8, "without": "overlap,replies"}),
        (("pairs.tsv",), ("talk.jsonl", "held"), {"near_duplicates": 0.9}),
        (("news",), (), {"context_turns": 3, "test_share": 0.2}),
        (("news",), (), {"without": "ratio,letters,length,duplicates", "valid_share": 0.4}),
    ],
)
def test_what_is_prepared_is_what_a_loop_over_all_exchanges_comes_to(
    folder, tmp_path, plugins, monkeypatch, names, valid, data
):
    monkeypatch.setattr(plan, "SHARD_DOCUMENTS", 2)
    monkeypatch.setattr(merging, "CHUNK", 5)
    languages = {"source": "de", "target": "en"} if names == ("news",) else {}
    corpora = [open_corpus(folder / name, **languages) for name in names]
    held = [open_corpus(folder / name, **languages) for name in valid]
    result, _ = made(tmp_path, *corpora, valid=tuple(held), plugins=plugins, **data)
    wanted = naive(corpora, held, DataSettings(**{"valid_share": 0.2, **data}), plugins, result.tokenizers)
    assert wanted["train"][0]
    assert wanted["valid"][0]
    for side, (exchanges, arrays) in wanted.items():
        found = Packed.load(tmp_path, side)
        for name in ("source_ids", "source_ends", "target_ids", "target_ends", "previous"):
            assert getattr(found, name).tolist() == getattr(arrays, name).tolist(), (side, name)
        origins = result.origins(side)
        assert [origins[row] for row in range(len(found))] == [exchange.origin for exchange in exchanges]
        assert all(origin.line or origin.seconds is not None for origin in map(origins.__getitem__, range(len(found))))
        if side == "train":
            history = json.loads((tmp_path / "card.json").read_text())["history"]
            sources = [arrays.row(row)[0] for row in range(len(arrays))]
            assert history["with_context"] == sum(SEP in source for source in sources)
            assert history["after_another"] == sum(row >= 0 for row in arrays.previous.tolist())
        elif exchanges:
            assert read_back(tmp_path / f"{side}.jsonl") == exchanges_as_text(exchanges)


def read_back(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def exchanges_as_text(exchanges):
    return [
        {
            "source": exchange.source,
            "target": exchange.target,
            **({"context": list(exchange.context)} if exchange.context else {}),
            "file": exchange.origin.file,
            **({"line": exchange.origin.line} if exchange.origin.line else {}),
            **({"seconds": exchange.origin.seconds} if exchange.origin.seconds is not None else {}),
        }
        for exchange in exchanges
    ]


def test_a_row_is_found_in_its_file_where_it_says(folder, tmp_path, plugins):
    """The times and lines of all rows lead to the words that they hold."""
    result, _ = made(tmp_path, folder / "films", folder / "pairs.tsv", plugins=plugins, test_share=0.2)
    lines = (folder / "pairs.tsv").read_text().splitlines()
    checked = {"line": 0, "seconds": 0}
    for side in ("train", "valid", "test"):
        rows, origins = Packed.load(tmp_path, side), result.origins(side)
        for row in range(len(rows)):
            source = result.tokenizers[0].decode(rows.row(row)[0])
            if origins[row].line:
                assert result.tokenizers[0].encode(lines[origins[row].line - 1].split("\t")[0]) == rows.row(row)[0]
                checked["line"] += 1
            else:
                film = (folder / "films" / origins[row].file).read_text()
                seconds = int(origins[row].seconds)
                cue = film.split(f"00:{seconds // 60:02}:{seconds % 60:02},000 --> ")[1].split("\n")[1]
                assert result.tokenizers[0].encode(cue) == rows.row(row)[0], (cue, source)
                checked["seconds"] += 1
    assert min(checked.values()) > 30


def test_the_same_exchange_is_never_on_two_sides(folder, tmp_path, plugins):
    for out, valid in (("one", ()), ("two", (folder / "held",))):
        result, _ = made(
            tmp_path / out, *(folder / name for name in CHAT), valid=valid, plugins=plugins, test_share=0.3
        )
        sides = [set(map(keyed, texts(result, side))) for side in ("train", "valid")]
        sides.append({keyed((row["source"], row["target"])) for row in read_back_if(tmp_path / out / "test.jsonl")})
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]
        assert len(sides[0]) > 30
        assert (len(sides[2]) > 0) == (not valid)


def keyed(pair):
    return plain(pair[0]), plain(pair[1])


def read_back_if(path):
    return read_back(path) if path.exists() else []


def test_a_source_to_translate_is_never_on_two_sides(folder, tmp_path, plugins):
    (folder / "more.de").write_text("Das Haus Nummer 3 ist alt.\nEtwas Neues.\n")
    (folder / "more.en").write_text("Number three is quite an old one.\nSomething new.\n")
    corpora = [open_corpus(folder / name, source="de", target="en") for name in ("news", "more")]
    made(tmp_path, corpora[0], valid=(corpora[1],), plugins=plugins)
    result, _ = made(tmp_path / "other", corpora[0], plugins=plugins)
    sources = [{source for source, _ in texts(result, side)} for side in ("train", "valid")]
    assert not sources[0] & sources[1]
    held = json.loads((tmp_path / "card.json").read_text())["sources"][1]
    assert held["exchanges"] == 2
    assert not any("nummer 3 ist" in source for source, _ in texts(result_of(tmp_path, plugins), "train"))


def result_of(folder, plugins):
    from s2sbot.preparation import open_prepared

    return open_prepared(folder, DataSettings(tokenizer="words"), plugins)


def test_two_corpora_of_one_folder_are_the_same_as_one(folder, tmp_path, plugins):
    corpus = open_corpus(folder / "films")
    made(tmp_path / "one", corpus, plugins=plugins)
    made(tmp_path / "two", corpus, Corpus(corpus.path, corpus.name), plugins=plugins, reply_cap=20)
    one, two = hashes(tmp_path / "one"), hashes(tmp_path / "two")
    assert {name for name in one if name.endswith(".npy") and one[name] != two[name]} == set()

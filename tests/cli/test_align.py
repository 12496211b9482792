"""`s2sbot corpus align` as a user runs it, in this process."""

import json
import random
import zipfile

import pytest
from click.testing import CliRunner

from s2sbot.cli import corpus_align
from s2sbot.cli.corpus_align import align
from s2sbot.errors import CorpusError, S2SBotError
from s2sbot.plugins import Plugins
from s2sbot.text import CorpusReport, Rules, alignment, open_corpus, read_corpus
from s2sbot.text.archives import Archives
from s2sbot.text.dialogue import Cue, PairReader, Reader
from s2sbot.text.documents import find_documents
from s2sbot.text.reading import read_cues

SENTENCES = [
    ("Good evening, Dorothea.", "Guten Abend, Dorothea."),
    ("Who let you in?", "Wer hat dich hereingelassen?"),
    ("Nobody. I had a key.", "Niemand. Ich hatte einen Schlüssel."),
    ("Give it to me!", "Gib ihn mir!"),
    ("It is 42 years old, and it fits every door in this house.", "Er ist 42 Jahre alt und passt in jede Tür hier."),
    ("Then you have seen my brother Anselm.", "Dann hast du meinen Bruder Anselm gesehen."),
]


def stamp(seconds):
    millis = round(seconds * 1000)
    return f"{millis // 3600000:02}:{millis // 60000 % 60:02}:{millis // 1000 % 60:02},{millis % 1000:03}"


def subrip(side, *, seed=1, count=48, offset=0.0, rate=1.0):
    """Return a film as SubRip, on a clock from which `rate` and `offset` lead back."""
    chance = random.Random(seed)
    clock, blocks = 20.0, []
    for number in range(count):
        clock += chance.choice((0.2, 0.9, 4.0))
        length = chance.uniform(1.0, 4.0)
        text = f"{SENTENCES[number % len(SENTENCES)][side]}"
        times = [stamp((moment - offset) / rate) for moment in (clock, clock + length)]
        blocks.append(f"{number + 1}\n{times[0]} --> {times[1]}\n{text}\n")
        clock += length
    return "\n".join(blocks)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("S2SBOT_PLUGINS", "off")
    monkeypatch.chdir(tmp_path)

    def call(*args, code=0):
        result = CliRunner().invoke(align, [str(arg) for arg in args])
        if code == "error":
            assert isinstance(result.exception, CorpusError), result.output
            return result.exception
        assert result.exit_code == code, result.output
        return result

    return call


@pytest.fixture
def film(tmp_path):
    (tmp_path / "film.en.srt").write_text(subrip(0), "utf-8")
    (tmp_path / "film.de.srt").write_text(subrip(1, offset=-7.5, rate=25 / 24), "utf-8")


def rows(text):
    return [line.split("\t") for line in text.splitlines()]


def test_two_files_become_pairs_on_standard_output(run, film):
    result = run("film.en.srt", "film.de.srt")
    found = rows(result.stdout)
    assert [tuple(row[:2]) for row in found] == [SENTENCES[number % 6] for number in range(48)]
    assert all(len(row) == 4 and 0.5 <= float(row[2]) <= 1 for row in found)
    starts = [float(row[3]) for row in found]
    assert starts == sorted(starts)
    assert "48 pairs" in result.stderr
    assert "0 and 0 left over" in result.stderr
    assert "rate 1.04167" in result.stderr


def test_the_rows_are_read_by_the_reader_of_pairs(run, film, tmp_path):
    run("film.en.srt", "film.de.srt", "--out", "pairs.tsv")
    from s2sbot.plugins import Plugins

    reader = Plugins().readers()["tsv"]
    with (tmp_path / "pairs.tsv").open("rb") as stream:
        pairs = [(item.source, item.target) for item in reader.read(stream, "pairs.tsv")]
    assert pairs == [SENTENCES[number % 6] for number in range(48)]


def test_out_is_written_whole_or_not_at_all(run, film, tmp_path):
    assert run("film.en.srt", "film.de.srt", "--out", "pairs.tsv").stdout == ""
    (tmp_path / "film.de.srt").write_bytes(b"\x00\x01")
    run("film.en.srt", "film.de.srt", "--out", "more.tsv", code="error")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.de.srt", "film.en.srt", "pairs.tsv"]


def test_nothing_takes_the_place_of_what_is_there(run, film, tmp_path):
    (tmp_path / "link").symlink_to("film.de.srt")
    before = (tmp_path / "film.de.srt").read_bytes()
    for name in ("film.de.srt", "link"):
        refused = CliRunner().invoke(align, ["film.en.srt", "film.de.srt", "--out", name]).exception
        assert isinstance(refused, S2SBotError)
        assert f"{name} is there already" in refused.message
        assert refused.hint
    assert (tmp_path / "film.de.srt").read_bytes() == before
    assert (tmp_path / "link").is_symlink()


def test_a_dash_is_standard_output(run, film, tmp_path):
    assert run("film.en.srt", "film.de.srt", "--out", "-").stdout == run("film.en.srt", "film.de.srt").stdout
    assert not (tmp_path / "-").exists()
    assert "empty path" in run("", "film.de.srt", code=2).output


def test_json_has_the_account_and_the_pairs(run, film):
    facts = json.loads(run("film.en.srt", "film.de.srt", "--json").stdout)
    (told,) = facts["films"]
    assert told["cues"] == [48, 48]
    assert told["pairs"] == len(told["aligned"]) == 48
    assert told["left_over"] == [0, 0]
    assert told["mean_score"] > 0.8
    (clock,) = told["clock"]
    assert clock["from"] is None
    assert clock["rate"] == pytest.approx(25 / 24, abs=1e-5)
    assert clock["offset"] == pytest.approx(-7.5, abs=0.1)
    assert told["aligned"][0]["source_cues"] == [0]
    assert "aligned" not in run("film.en.srt", "film.de.srt", "--json", "--out", "pairs.tsv").stdout


def test_a_given_offset_is_used(run, film, tmp_path):
    (tmp_path / "film.de.srt").write_text(subrip(1, offset=-7.5), "utf-8")
    facts = json.loads(run("film.en.srt", "film.de.srt", "--offset", "-7.5", "--json").stdout)
    assert facts["films"][0]["clock"] == [{"from": None, "rate": 1.0, "offset": -7.5}]
    assert facts["films"][0]["pairs"] == 48
    result = run("film.en.srt", "film.de.srt", "--offset", "soon", code=2)
    assert "neither 'auto' nor a number" in result.stderr
    assert run("film.en.srt", "film.de.srt", "--offset", "nan", code=2)


def test_min_score_leaves_out(run, film):
    assert len(rows(run("film.en.srt", "film.de.srt", "--min-score", 0).stdout)) == 48
    error = run("film.en.srt", "film.de.srt", "--min-score", 1, code="error")
    assert "none of 48 pairs" in error.message
    assert "--min-score" in error.hint


def test_two_films_are_refused(run, film, tmp_path):
    strange = "\n".join(f"{n}\n{stamp(n * 7)} --> {stamp(n * 7 + 1 + n % 3)}\nXyz qrs tuv {n}?\n" for n in range(1, 50))
    (tmp_path / "other.de.srt").write_text(strange, "utf-8")
    error = run("film.en.srt", "other.de.srt", code="error")
    assert "do not look like one film" in error.message
    assert "--offset" in error.hint
    assert run("film.en.srt", "other.de.srt", "--min-score", 0, code="error").message == error.message
    assert run("film.en.srt", "other.de.srt", "--offset", 0, "--min-score", 0).stdout.count("\n") > 0


def test_few_cues_that_do_not_tell_are_paired_with_a_warning(run, film, tmp_path, monkeypatch):
    monkeypatch.setattr(alignment, "ONE_FILM", 1e9)
    result = run("film.en.srt", "film.de.srt")
    assert "film.en.srt: too few cues to tell whether both are of one film: its kinship is " in result.stderr
    assert len(rows(result.stdout)) > 30
    with monkeypatch.context() as patch:
        patch.setattr(corpus_align, "LEAST_KINSHIP", 1e9)
        assert "do not look like one film" in run("film.en.srt", "film.de.srt", code="error").message
    monkeypatch.setattr(corpus_align, "FEW_CUES", 48)
    assert "do not look like one film" in run("film.en.srt", "film.de.srt", code="error").message


def test_folders_are_paired_by_name(run, tmp_path):
    for folder, side, language in (("english", 0, "en"), ("german", 1, "de")):
        (tmp_path / folder / "season").mkdir(parents=True)
        for number in (1, 2):
            text = subrip(side, seed=number, count=24)
            (tmp_path / folder / "season" / f"Talk {number}.{language}.srt").write_text(text, "utf-8")
    (tmp_path / "english" / "alone.en.srt").write_text(subrip(0), "utf-8")
    (tmp_path / "english" / "season" / "empty.srt").write_text("", "utf-8")
    (tmp_path / "german" / "season" / "empty.srt").write_text("", "utf-8")
    result = run("english", "german", "--out", "pairs.tsv")
    found = rows((tmp_path / "pairs.tsv").read_text("utf-8"))
    assert [row[4] for row in found] == ["season/Talk 1.en.srt"] * 24 + ["season/Talk 2.en.srt"] * 24
    assert "48 pairs of 2 films" in result.stderr
    assert "alone.en.srt: no file of that name on the other side" in result.stderr
    assert "season/empty.srt" in result.stderr


def test_archives_are_paired_by_name(run, tmp_path):
    for archive, side in (("en.zip", 0), ("de.zip", 1)):
        with zipfile.ZipFile(tmp_path / archive, "w") as packed:
            for number in (1, 2):
                packed.writestr(f"talk{number}.srt", subrip(side, seed=number, count=24))
    assert "48 pairs of 2 films" in run("en.zip", "de.zip").stderr


def test_one_folder_of_many_languages(run, film):
    error = run(".", ".", code="error")
    assert "--languages" in error.hint
    assert run(".", ".", "--languages", "en", "de").stdout.count("\n") == 48
    assert "no film of the same name" in run(".", ".", "--languages", "en", "fr", code="error").message


def test_what_cannot_be_read_is_named(run, film, tmp_path):
    run("film.en.srt", "missing.srt", code="error")
    (tmp_path / "empty.srt").write_text("")
    assert "empty" in run("film.en.srt", "empty.srt", code="error").message
    (tmp_path / "noise.srt").write_bytes(bytes(range(256)) * 20)
    assert "noise.srt" in run("film.en.srt", "noise.srt", code="error").message


class Fragile:
    """A reader that knows everything and reads nothing."""

    def __init__(self, *, sure: bool) -> None:
        self.sure = sure

    def sniff(self, head, name):
        if not self.sure:
            raise KeyError(name)
        return 1.0

    def read(self, stream, name):
        yield Cue(0, 1, "Said.")
        yield Cue(1, 2, "Drawn.", mark="drawing")
        if stream.read() == b"bad":
            raise ZeroDivisionError


def test_read_cues_leaves_out_what_nobody_says_and_survives_readers(tmp_path):
    readers: dict[str, Reader | PairReader] = {"a": Fragile(sure=True), "b": Fragile(sure=False)}

    def read(data, readers):
        (tmp_path / "x").write_bytes(data)
        [document] = find_documents(tmp_path / "x")
        with Archives() as archives:
            return [cue.text for cue in read_cues(document, readers, archives)]

    assert read(b"good", readers) == ["Said."]
    with pytest.raises(ValueError, match="failed: ZeroDivisionError"):
        read(b"bad", readers)
    with pytest.raises(ValueError, match="no reader knows"):
        read(b"good", {"b": Fragile(sure=False)})
    with pytest.raises(ValueError, match="empty file"):
        read(b"", readers)


def test_objects_keep_the_film_and_the_time_of_every_pair(run, film, tmp_path):
    run("film.en.srt", "film.de.srt", "--out", "pairs.jsonl")
    corpus = open_corpus(tmp_path / "pairs.jsonl", source="en", target="de")
    [document] = read_corpus(corpus, Plugins().readers(), report=CorpusReport(), rules=Rules())
    assert len(document.exchanges) == 48
    assert {exchange.origin.file for exchange in document.exchanges} == {"film.en.srt"}
    assert all(exchange.origin.seconds is not None for exchange in document.exchanges)

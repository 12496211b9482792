"""The commands as a user runs them, in this process."""

import json

import pytest
from click.testing import CliRunner
from small import LINES, write_pairs, write_subtitles

from s2sbot.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("S2SBOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def call(*args, code=0, stdin=None):
        result = CliRunner().invoke(main, [str(arg) for arg in args], input=stdin, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return call


SMALL = [
    "--tokenizer", "words", "--set", "model.hidden_size=16", "--set", "model.embedding_size=16",
    "--set", "data.valid_share=0.2",
]  # fmt: skip


def test_train_then_chat_then_history(run, tmp_path):
    write_pairs(tmp_path / "pairs.tsv")
    result = run("train", "pairs.tsv", "--bot", "my.bot", "--steps", 3, *SMALL)
    assert "24 exchanges" in result.stderr
    assert "validation perplexity" in result.stderr
    assert "s2sbot chat my.bot" in result.stderr
    assert result.stdout == ""
    replies = run("chat", "my.bot", stdin="Hello. 1\n\nThank you. 2\n").stdout
    assert len(replies.split("\n")) == 4
    assert replies.split("\n")[1] == ""
    asked = run("chat", "my.bot", "--ask", "Hello. 1", "--no-store").stdout.splitlines()
    assert asked == ["> Hello. 1", replies.splitlines()[0]]
    listed = run("history", "list").stdout
    assert listed.count("my") >= 1
    assert len(listed.splitlines()) == 1, "--no-store must keep nothing"
    assert "Thank you. 2" in run("history", "show", "last").stdout
    run("chat", "my.bot", "--continue", "--ask", "Good night. 1")
    assert "Good night. 1" in run("history", "show", "last").stdout
    assert len(run("history", "list").stdout.splitlines()) == 1


def test_translate_keeps_lines(run, tmp_path, small_translator):
    (tmp_path / "in.txt").write_text("Who are you? 1\n\nThank you. 2\n", "utf-8")
    wanted = "I am the engine.\n\nYou are welcome.\n"
    assert run("translate", small_translator, "in.txt").stdout == wanted
    assert run("translate", small_translator, stdin="Who are you? 1\n\nThank you. 2").stdout == wanted
    assert run("translate", small_translator, "in.txt", "--method", "greedy").stdout == wanted


def test_evaluate_a_chat_bot(run, tmp_path, small_bot):
    corpus = write_pairs(tmp_path / "held.tsv")
    figures = json.loads(run("evaluate", small_bot, corpus, "--json").stdout)
    assert figures["exchanges"] == 24
    assert 1.0 < figures["perplexity"] < 10
    assert figures["words"] == sum(len(target.split()) + 1 for _, target in LINES) * 4
    assert figures["bleu"] is None
    assert "perplexity" in run("evaluate", small_bot, corpus).stdout


def test_evaluate_a_translator_with_sacrebleu(run, tmp_path, small_translator):
    corpus = write_pairs(tmp_path / "held.tsv")
    figures = json.loads(run("evaluate", small_translator, corpus, "--json").stdout)
    assert figures["bleu"] > 50
    assert figures["chrf"] > 50
    assert "version" in figures["signatures"][0]
    assert "BLEU" in run("evaluate", small_translator, corpus).stdout


def test_inspect_says_what_is_there_and_what_was_skipped(run, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    write_subtitles(folder / "film.srt", scenes=2)
    (folder / "poster.jpg").write_bytes(b"\xff\xd8\xff\0\0\0\0\0")
    (folder / "empty.srt").write_bytes(b"")
    shown = run("corpus", "inspect", "films").stdout
    assert "1 read (1 by srt), 2 refused" in shown
    assert "poster.jpg: binary data, not text" in shown
    assert "empty.srt: empty file" in shown
    assert shown.count("  > ") == 10
    facts = json.loads(run("corpus", "inspect", "films", "--json").stdout)
    assert (facts["read"], facts["cues"], facts["exchanges"], facts["complete"]) == (1, 24, 12, True)
    files = {file.pop("name"): file for file in facts["files"]}
    assert (files["film.srt"]["format"], files["film.srt"]["encoding"], files["film.srt"]["exchanges"]) == (
        "srt",
        "utf-8",
        12,
    )
    assert files["poster.jpg"]["refused"] == "binary data, not text"
    del facts["files"]
    assert {sample["file"] for sample in facts["samples"]} == {"film.srt"}
    again = json.loads(run("corpus", "inspect", "films", "--json").stdout)
    assert facts == {key: value for key, value in again.items() if key != "files"}


def test_inspect_a_moses_prefix(run, tmp_path):
    (tmp_path / "train.de").write_text("Hallo.\nDanke.\n", "utf-8")
    (tmp_path / "train.en").write_text("Hello.\nThanks.\n", "utf-8")
    shown = run("corpus", "inspect", "train", "--source", "de", "--target", "en").stdout
    assert "translator (de to en)" in shown
    assert "exchanges  2" in shown
    assert "train.de, train.en" in run("corpus", "inspect", "train", code=1).stderr


def test_list_settings_names_every_knob(run):
    shown = run("train", "--list-settings").stdout
    for knob in ("data.vocab_size", "model.hidden_size", "train.learning_rate", "decode.beam_size"):
        assert knob in shown
    assert "general" in shown, "the choices of a knob"
    assert "bahdanau2015-small" in shown
    assert "[encoder," in run("train", "--list-settings", "--model", "simple").stdout


@pytest.mark.parametrize(
    ("args", "code", "wanted"),
    [
        (["train"], 2, "Usage"),
        (["train", "x.srt"], 2, "--bot"),
        (["train", "--bot", "b"], 2, "CORPUS"),
        (["train", "nowhere", "--bot", "b"], 1, "no such file or folder: nowhere"),
        (["train", "pairs.tsv", "--bot", "b", "--source", "de"], 2, "go together"),
        (["train", "pairs.tsv", "--bot", "b", "--set", "model.hiden_size=3"], 1, "hidden_size"),
        (["train", "pairs.tsv", "--bot", "b", "--set", "hidden_size=3"], 1, "table.key=value"),
        (["train", "pairs.tsv", "--bot", "b", "--budget", "soon"], 1, "15m"),
        (["train", "pairs.tsv", "--bot", "b", "--budget", "1m", "--steps", "3"], 1, "contradict"),
        (["train", "pairs.tsv", "--bot", "b", "--config", "nowhere.toml"], 1, "nowhere.toml"),
        (["train", "pairs.tsv", "--bot", "b", "--config", "bad.toml"], 1, "bad.toml"),
        (["train", "pairs.tsv", "--bot", "b", "--set", "model.depth=0"], 1, "model.depth cannot be 0"),
        (["train", "pairs.tsv", "--bot", "b", "--set", "model.depth=[1,0]"], 1, "model.depth cannot be 0"),
        (["train", "pairs.tsv", "--bot", "b", "--set", "model.depth=[1,2,3]"], 1, "a whole number or a list of 2"),
        (["train", "pairs.tsv", "--bot", "b", "--set", "model.hidden_size=9"], 1, "each direction has half"),
        (["train", "pairs.tsv", "--bot", "b", "--set", "model.score=cosine"], 1, "general"),
        (["train", "pairs.tsv", "--bot", "b", "--set", "train.optimizer=adamx"], 1, "'adam'"),
        (["train", "pairs.tsv", "--bot", "b", "--preset", "cho2015"], 1, "'cho2014'"),
        (["train", "pairs.tsv", "--bot", "b", "--model", "simple", "--preset", "cho2014"], 1, "--model peek"),
        (["train", "pairs.tsv", "--bot", "b", "--vectors", "nowhere.txt"], 1, "cannot read nowhere.txt"),
        (["train", "--bot", "b", "--resume"], 1, "no run to resume"),
        (["chat", "nowhere.bot"], 1, "no bot"),
        (["chat", "nowhere.bot", "--continue", "--no-store"], 2, "--no-store"),
        (["translate", "nowhere.bot"], 1, "no bot"),
        (["corpus", "inspect", "nowhere"], 1, "no such file"),
        (["corpus", "inspect", ""], 2, "an empty path"),
        (["corpus", "prepare", "", "--out", "b"], 2, "an empty path"),
        (["corpus", "prepare", "pairs.tsv", "--out", ""], 2, "an empty path"),
        (["corpus", "prepare", "pairs.tsv", "--valid", "", "--out", "b"], 2, "an empty path"),
        (["corpus", "prepare", "pairs.tsv", "--out", "b", "--tokenizer", "foo"], 1, "the tokenizer 'foo'"),
        (["train", "", "--bot", "b"], 2, "an empty path"),
        (["train", "pairs.tsv", "--bot", ""], 2, "an empty path"),
        (["train", "pairs.tsv", "--bot", "b", "--tokenizer", "foo"], 1, "the tokenizer 'foo'"),
        (["evaluate", "b", ""], 2, "an empty path"),
        (["history", "show", "abcd1234"], 1, "history list"),
        (["dance"], 2, "dance"),
    ],
)
def test_what_a_user_can_do_wrong_gets_one_message(run, tmp_path, args, code, wanted):
    write_pairs(tmp_path / "pairs.tsv")
    (tmp_path / "bad.toml").write_text("[train\n")
    result = run(*args, code=code)
    assert wanted in result.output
    assert "Traceback" not in result.output
    if code == 1:
        assert result.stderr.startswith("Error: ")
        assert "Hint: " in result.stderr
    assert not (tmp_path / "b").exists()


def test_set_wins_over_config_and_config_over_size(run, tmp_path):
    write_pairs(tmp_path / "pairs.tsv")
    (tmp_path / "run.toml").write_text('[model]\nhidden_size = 24\nembedding_size = 20\n[train]\nbudget = "1s"\n')
    run(
        "train", "pairs.tsv", "--bot", "b", "--size", "large", "--config", "run.toml", "--steps", 2,
        "--set", "model.hidden_size=18", "--set", "data.valid_share=0.2", "--tokenizer", "words",
    )  # fmt: skip
    described = json.loads((tmp_path / "b" / "bot.json").read_text("utf-8"))
    assert described["config"]["hidden_size"] == 18
    assert described["config"]["embedding_size"] == 20
    assert described["config"]["depth"] == 2, "what nothing above it says comes from the size"


def test_rules_left_out_in_two_ways_are_left_out_both(run, tmp_path):
    (tmp_path / "film.srt").write_text(
        "1\n00:00:01,000 --> 00:00:02,000\n\u266a Row the boat. \u266a\n\n"
        "2\n00:00:02,500 --> 00:00:03,000\n[sighs] Well then.\n"
    )
    for without, counted in (
        (("--without", "songs"), {"notes"}),
        (("--set", "data.without=notes"), {"songs"}),
        (("--without", "songs", "--set", "data.without=notes"), set()),
    ):
        facts = json.loads(run("corpus", "inspect", "film.srt", *without, "--json").stdout)
        assert {"songs", "notes"} & {rule for rule, count in facts["rules"].items() if count} == counted
    assert "no rule 'sogs'" in run("corpus", "inspect", "film.srt", "--without", "sogs", code=1).stderr


@pytest.mark.parametrize("place", ["empty", "bad"])
@pytest.mark.parametrize("there", [True, False])
def test_a_preparation_of_nothing_leaves_nothing(run, tmp_path, place, there):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bad.srt").write_bytes(bytes(99))
    if there:
        (tmp_path / "out").mkdir()
    assert "nothing to learn from" in run("corpus", "prepare", place, "--out", "out", code=1).stderr
    assert list(tmp_path.glob("out/*")) == []
    assert (tmp_path / "out").exists() == there


def test_what_is_prepared_is_not_read_again_and_keeps_its_languages(run, tmp_path):
    write_pairs(tmp_path / "pairs.tsv")
    made = ["--tokenizer", "words", "--set", "data.valid_share=0.2", "--workers", 1]
    run("corpus", "prepare", "pairs.tsv", "--source", "en", "--target", "fr", "--out", "two", *made)
    run("corpus", "prepare", "pairs.tsv", "--out", "chat", *made)
    for args in (
        ["inspect", "two"],
        ["prepare", "two", "--out", "out"],
        ["prepare", "pairs.tsv", "--valid", "two", "--out", "out"],
    ):
        assert "two is prepared already" in run("corpus", *args, code=1).stderr
    for name, told in (("two", "from en to fr"), ("chat", "as a chat")):
        refused = run("train", name, "--source", "fr", "--target", "en", "--bot", "b", "--steps", 1, code=1).stderr
        assert f"{name} was prepared with another --source and --target: {told}" in refused
    assert not (tmp_path / "b").exists()
    run("train", "two", "--source", "en", "--target", "fr", "--bot", "b", "--steps", 1, *SMALL[4:8])
    assert json.loads((tmp_path / "b" / "bot.json").read_text("utf-8"))["languages"] == ["en", "fr"]


def test_a_conversation_of_another_store_is_not_found(run, small_bot):
    assert "no conversation" in run("chat", small_bot, "--continue", "--ask", "Hi.", code=1).stderr
    run("chat", small_bot, "--conversation", "deadbeef", "--ask", "Hi.", code=1)


def test_what_a_model_says_cannot_steer_the_terminal(run, small_bot, monkeypatch):
    from s2sbot.engine import Conversation, Reply

    monkeypatch.setattr(Conversation, "reply", lambda self, text: Reply("\x1b]0;title\x07red\x9b31m", 0.0))
    assert run("chat", small_bot, "--ask", "Hi.", "--no-store").stdout == "> Hi.\nred\n"


def test_what_a_file_says_of_itself_cannot_steer_the_terminal(run, tmp_path, small_bot):
    import shutil

    shutil.copytree(small_bot, tmp_path / "copy.bot")
    described = json.loads((tmp_path / "copy.bot" / "bot.json").read_text("utf-8"))
    described["config"]["\x1b]0;title\x07"] = 1
    (tmp_path / "copy.bot" / "bot.json").write_text(json.dumps(described), "utf-8")
    assert "\x1b" not in run("chat", "copy.bot", "--ask", "Hi.", code=1).stderr


def test_a_name_that_no_file_can_have_is_an_error_of_the_user(run, small_bot):
    assert "Error" in run("chat", "x" * 300, code=1).stderr
    assert "Error" in run("corpus", "inspect", "x" * 300, code=1).stderr
    run("translate", small_bot, "nowhere.txt", code=2)

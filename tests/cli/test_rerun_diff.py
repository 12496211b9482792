"""`s2sbot rerun` and `s2sbot diff` as a user runs them."""

import json
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file
from small import tables, write_pairs

import s2sbot
from s2sbot.bot import read_description, save_weights, write_description
from s2sbot.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def call(*args, code=0):
        result = CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return call


@pytest.fixture(scope="module")
def bots(tmp_path_factory):
    """Return the folder of two bots that differ by a knob and a step, and of their corpus."""
    folder = tmp_path_factory.mktemp("bots")
    pairs = write_pairs(folder / "pairs.tsv")
    for name, changes in (("a.bot", {}), ("b.bot", {"steps": 14, "learning_rate": 0.02})):
        with s2sbot.training(pairs, bot=folder / name, settings=tables(**changes)) as training:
            for _ in training:
                pass
    return folder


def edited(bot, **changes):
    """Change what a bot says of itself."""
    file = bot / "card.json"
    data = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**data, **changes}), "utf-8")


def test_rerun_says_that_the_metric_holds(run, bots, tmp_path):
    shutil.copytree(bots / "a.bot", tmp_path / "a.bot", ignore=shutil.ignore_patterns("training"))
    shown = run("rerun", "a.bot")
    assert shown.stdout.startswith("holds: identical to the bit, weights and all: perplexity ")
    assert "Nothing differs" in run("diff", "a.bot", "a.rerun.bot").stdout
    run("rerun", "a.bot", code=1)  # there is a bot of that name now


def test_rerun_says_that_it_does_not_hold(run, bots, tmp_path):
    shutil.copytree(bots / "a.bot", tmp_path / "a.bot")
    described = json.loads((tmp_path / "a.bot" / "bot.json").read_text("utf-8"))
    before = described["metrics"]["valid_perplexity"]
    described["metrics"]["valid_perplexity"] = 2 * before
    (tmp_path / "a.bot" / "bot.json").write_text(json.dumps(described), "utf-8")
    shown = run("rerun", "a.bot", "--bot", "c.bot", code=1).stdout
    assert shown.startswith("does not hold: off by 50.00%, where it should be identical to the bit: ")
    assert shown.endswith(f": perplexity {2 * before!r} then, {before!r} now\n")


def test_rerun_names_what_is_wrong(run, bots, tmp_path):
    assert "nowhere.bot" in run("rerun", "nowhere.bot", code=1).stderr
    shutil.copytree(bots / "a.bot", tmp_path / "a.bot")
    write_pairs(tmp_path / "pairs.tsv", times=5)
    result = run("rerun", "a.bot", "--corpus", "pairs.tsv", code=1)
    assert "pairs.tsv is no longer what it was" in result.stderr
    assert "Hint: " in result.stderr
    assert not (tmp_path / "a.rerun.bot").exists()
    (tmp_path / "a.bot" / "card.json").unlink()
    assert "has not come to its end" in run("rerun", "a.bot", code=1).stderr


def test_diff_names_only_what_differs(run, bots):
    found = json.loads(run("diff", bots / "a.bot", bots / "b.bot", "--json", code=5).stdout)
    assert found["same"] is False
    assert found["settings"] == {
        "train.steps": {"a": 12, "b": 14},
        "train.learning_rate": {"a": 0.01, "b": 0.02},
    }
    assert found["plan"]["steps"] == {"a": 12, "b": 14}
    assert {"a", "b"} == set(found["figures"]["valid_perplexity"])
    assert not {"model", "shapes", "corpora", "tokenizer", "versions"} & found.keys()
    shown = run("diff", bots / "a.bot", bots / "b.bot", code=5).stdout
    assert "train.learning_rate" in shown
    assert "valid_perplexity" in shown
    assert "model.dropout" not in shown


def test_diff_counts_tensors_and_finds_the_largest_difference(run, bots, tmp_path):
    shutil.copytree(bots / "a.bot", tmp_path / "c.bot")
    description = read_description(tmp_path / "c.bot")
    tensors = load_file(tmp_path / "c.bot" / description.weights)
    name, other = sorted(tensors)[:2]
    tensors[name].view(-1)[0] += 0.5
    tensors[other].view(-1)[-1] -= 0.25
    import dataclasses

    weights = save_weights(tmp_path / "c.bot", tensors)
    write_description(tmp_path / "c.bot", dataclasses.replace(description, weights=weights))
    found = json.loads(run("diff", bots / "a.bot", "c.bot", "--json", code=5).stdout)["weights"]
    assert (found["differing"], found["comparable"], found["in"]) == (2, len(tensors), name)
    assert found["largest"] == pytest.approx(0.5)
    assert "2 of" in run("diff", bots / "a.bot", "c.bot", code=5).stdout


def test_diff_of_other_shapes_tokenizers_and_corpora(run, bots, tmp_path):
    corpus = write_pairs(tmp_path / "pairs.tsv", times=5)
    settings = {**tables(), "data": {"tokenizer": "characters", "valid_share": 0.2}}
    settings["model"] = {**settings["model"], "hidden_size": 16}
    with s2sbot.training(corpus, bot=tmp_path / "d.bot", settings=settings) as training:
        list(training)
    found = json.loads(run("diff", bots / "a.bot", "d.bot", "--json", code=5).stdout)
    assert found["tokenizer"]["tokenizer"] == {"a": "words", "b": "characters"}
    assert found["tokenizer"]["files"]["a"] != found["tokenizer"]["files"]["b"]
    assert found["corpora"]["pairs.tsv"]["b"].endswith("30 exchanges")
    assert found["model"]["numbers"]["a"] > found["model"]["numbers"]["b"] or found["model"]["target_vocab"]
    assert found["shapes"]
    assert found["weights"]["comparable"] < found["weights"]["tensors"][0]


@pytest.mark.parametrize("gone", ["training", "card.json"])
def test_diff_of_a_bot_of_which_something_is_gone(run, bots, tmp_path, gone):
    shutil.copytree(bots / "a.bot", tmp_path / "e.bot", ignore=shutil.ignore_patterns(gone))
    assert json.loads(run("diff", bots / "a.bot", "e.bot", "--json").stdout) == {
        "same": True,
        "weights": {
            "identical": True,
            **dict.fromkeys("ab", read_description(bots / "a.bot").weights),
        },
    }


def test_diff_loads_torch_only_where_weights_differ(bots):
    code = (
        "import sys\nfrom s2sbot.cli import main\n"
        f"try: main(['diff', {str(bots / 'a.bot')!r}, {str(bots / 'a.bot')!r}])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr


def test_what_a_card_says_cannot_steer_the_terminal(run, bots, tmp_path):
    shutil.copytree(bots / "a.bot", tmp_path / "f.bot")
    settings = json.loads((tmp_path / "f.bot" / "card.json").read_text("utf-8"))["settings"]
    settings["train"]["\x1b]0;title\x07"] = "\x1b[31mred [bold]"
    edited(tmp_path / "f.bot", settings=settings)
    shown = run("diff", bots / "a.bot", "f.bot", code=5).stdout
    assert "red [bold]" in shown
    assert "\x1b" not in shown

"""What asks for more than there is, or for what cannot be meant, gets one clear error before any work is done."""

import dataclasses
import subprocess
import sys

import pytest
from small import tables, write_pairs

import s2sbot
from s2sbot import BotError, SettingsError, TrainingError
from s2sbot.plugins import Plugins
from s2sbot.record import read_record
from s2sbot.settings import DataSettings, TrainSettings, build
from s2sbot.text.corpus import open_corpus
from s2sbot.text.packed import Packed
from s2sbot.trainer import building, sizing
from s2sbot.trainer.building import bytes_to_learn, count_parameters
from s2sbot.trainer.handful import handful
from s2sbot.trainer.plan import Plan, Trial
from s2sbot.trainer.repeat import Rerun

TRIAL = Trial(parameters=1_000, largest=2**20, seconds=0.5, tokens_per_second=100.0, parts=1)


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """Return the bot of a run of six steps, its corpus and what it told."""
    folder = tmp_path_factory.mktemp("six")
    pairs = write_pairs(folder / "pairs.tsv")
    with s2sbot.training(pairs, bot=folder / "a.bot", settings=tables(steps=6)) as run:
        events = list(run)
        return folder / "a.bot", pairs, events, run._loop


def entered(*corpora, **options):
    with s2sbot.training(*corpora, **options) as run:
        return list(run)


class TestModels:
    @pytest.mark.parametrize("size", [10**8, 10**12])
    def test_one_that_is_too_large_says_what_it_needs(self, tmp_path, size):
        settings = {**tables(), "model": {"hidden_size": size}}
        with pytest.raises(TrainingError, match=r"GiB, and there are [\d,.]+ free|no memory can hold") as caught:
            entered(write_pairs(tmp_path / "pairs.tsv"), bot=tmp_path / "a.bot", settings=settings)
        assert "--size" in caught.value.hint
        assert not (tmp_path / "a.bot").exists()

    def test_all_copies_count(self, six, monkeypatch):
        loop = six[3]
        parameters = sum(parameter.numel() for parameter in loop.model.parameters())
        needed = 4 * 4 * parameters
        assert bytes_to_learn(parameters, loop.settings) == needed
        arguments = loop.settings, loop.prepared, Plugins(), loop.device
        monkeypatch.setattr(building, "free_memory", lambda device: needed)
        building.build_model(*arguments)
        monkeypatch.setattr(building, "free_memory", lambda device: needed - 1)
        with pytest.raises(TrainingError, match=f"{parameters:,} parameters"):
            building.build_model(*arguments)

    @pytest.mark.parametrize("name", sorted(Plugins().models()))
    def test_they_are_counted_as_they_are_made(self, six, name):
        loop, plugins = six[3], Plugins()
        config = plugins.model(name).Config(embedding_size=24, hidden_size=32)
        settings = dataclasses.replace(loop.settings, model=name, config=config)
        model = building.build_model(settings, loop.prepared, plugins, loop.device)
        made = sum(parameter.numel() for parameter in model.parameters())
        assert count_parameters(settings, loop.prepared, plugins) == made

    def test_counting_loads_no_compiler(self):
        code = (
            "import sys, torch\nfrom s2sbot.trainer.building import without_memory\n"
            "with without_memory(): table = torch.nn.Embedding(9, 8)\n"
            "print(table.weight.is_meta, 'torch._dynamo' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert done.stdout.split() == ["True", "False"], done.stderr

    @pytest.mark.parametrize(("free", "chosen"), [(1e15, "medium"), (1.0, "small")])
    def test_a_size_that_does_not_fit_is_not_chosen(self, six, monkeypatch, free, chosen):
        loop = six[3]
        monkeypatch.setattr(sizing, "LARGER", {"medium": (1, 0)})
        monkeypatch.setattr(sizing, "free_memory", lambda device: free)
        walk = sizing.choose_size(loop, Plugins(), began=0.0, sized=lambda size: loop.settings)
        assert f"size {chosen}:" in [event.message for event in walk][-1]


@pytest.mark.parametrize(
    ("kind", "values"), [(TrainSettings, {"threads": 100_000}), (DataSettings, {"vocab_size": 90_000_000})]
)
def test_numbers_that_no_machine_has_are_refused(kind, values):
    with pytest.raises(SettingsError, match="cannot be") as caught:
        build(kind, values, "table")
    assert "at most" in caught.value.hint
    assert build(TrainSettings, {"threads": 64}, "train").threads == 64


def test_of_no_fitting_exchange_no_handful_is_taken():
    assert handful(Packed.pack([([20], [20] * 25)]), 99) == []


class TestResumed:
    @pytest.mark.parametrize(
        ("length", "already"),
        [({"steps": 5}, "at step 6 already"), ({"epochs": 1}, "passes already"), ({"budget": 1e-4}, "s already")],
    )
    def test_a_length_below_what_was_done_is_refused(self, six, length, already):
        bot = six[0]
        before = {path: path.read_bytes() for path in bot.rglob("*.json*")}
        with pytest.raises(TrainingError, match=already) as caught:
            entered(bot=bot, resume=True, settings={"train": length})
        assert f"--{next(iter(length))}" in caught.value.hint
        assert {path: path.read_bytes() for path in before} == before

    def test_its_own_length_is_not(self, six):
        assert entered(bot=six[0], resume=True)[-1].step == 6


class TestBudgets:
    def test_one_that_is_used_up(self):
        plan = Plan.of(TRIAL, budget=12.0, seconds=-1.0, apart=20.0)
        assert plan.message == (
            "plan: preparing has used up the budget of 12 s: 10 steps of about 500 ms, and 20 s for validations and"
            " checkpoints, are made nevertheless"
        )
        assert plan.advice(10) == "; --set train.validations=1 leaves more of the time for steps"
        assert plan.corrected(5, 60.0, 0.5) is None, "what was said is kept to"
        assert Plan.from_json(plan.to_json()) == plan

    def test_one_that_is_too_short(self):
        plan = Plan.of(TRIAL, budget=12.0, seconds=4.0, apart=1.0)
        assert "what is left of the budget of 12 s does not suffice: 10 steps" in plan.message
        assert Plan.of(TRIAL, budget=12.0, seconds=6.0, apart=1.0).message.startswith("plan: 10 steps of about")

    def test_fewer_validations_are_advised_where_they_take_more_than_a_third(self):
        plan = Plan.of(TRIAL, budget=120.0, seconds=90.0, apart=60.0)
        assert "=5 " in plan.advice(10)
        assert plan.advice(1) == ""
        assert Plan.of(TRIAL, budget=120.0, seconds=90.0, apart=30.0).advice(10) == ""

    def test_a_run_says_so(self, tmp_path):
        settings = tables(steps=None, budget=0.01)
        events = entered(write_pairs(tmp_path / "pairs.tsv"), bot=tmp_path / "a.bot", settings=settings)
        [told] = [event.message for event in events if event.message.startswith("plan:")]
        assert "are made nevertheless" in told
        assert "-" not in told.partition("; --set")[0]
        assert events[-1].step == 10


def test_the_batch_is_told(six):
    [start] = [event for event in six[2] if event.kind == "start"]
    assert "in batches of at most 120 tokens" in start.message


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_weight_that_makes_no_sense_is_refused_at_once(tmp_path, weight):
    corpora = write_pairs(tmp_path / "zebra.tsv"), write_pairs(tmp_path / "ape.tsv")
    run = s2sbot.training(*corpora, bot=tmp_path / "a.bot", settings=tables(), weights=(1.0, weight))
    with pytest.raises(SettingsError, match=r"--weight .*ape\.tsv") as caught, run:
        pass
    assert caught.value.hint.endswith(f"{corpora[0]}, {corpora[1]}")


class TestFrom:
    def write_sides(self, folder, name, *languages):
        for language in languages:
            (folder / f"{name}.{language}").write_text("".join(f"{language} {n}\n" for n in range(12)), "utf-8")
        return folder / name

    @pytest.fixture
    def translator(self, tmp_path):
        prefix = self.write_sides(tmp_path, "train", "de", "en", "fr")
        entered(prefix, bot=tmp_path / "de-en.bot", settings=tables(steps=1), languages=("de", "en"))
        return tmp_path / "de-en.bot", prefix

    def test_a_translator_keeps_its_languages(self, translator, tmp_path):
        bot, prefix = translator
        settings = {"train": tables(steps=1)["train"]}
        for languages in (("en", "de"), ("de", "fr"), None):
            corpus = prefix if languages else write_pairs(tmp_path / "pairs.tsv")
            run = s2sbot.training(corpus, bot=tmp_path / "b.bot", start=bot, settings=settings, languages=languages)
            with pytest.raises(SettingsError, match="translates de to en, and"), run:
                pass
        entered(prefix, bot=tmp_path / "b.bot", start=bot, settings=settings, languages=("de", "en"))

    def test_a_chat_bot_does_not_learn_to_translate(self, six, tmp_path):
        prefix = self.write_sides(tmp_path, "train", "de", "en")
        run = s2sbot.training(prefix, bot=tmp_path / "b.bot", start=six[0], languages=("de", "en"))
        with pytest.raises(SettingsError, match=r"chats, and .* translates de to en"), run:
            pass


@pytest.mark.parametrize("name", ["train[1]", "what*", "a?"])
def test_a_prefix_may_have_signs_of_a_pattern(tmp_path, name):
    (tmp_path / "a folder [1]").mkdir()
    prefix = tmp_path / "a folder [1]" / name
    for language in ("de", "en"):
        prefix.with_name(f"{name}.{language}").write_text("a line\n", "utf-8")
    corpus = open_corpus(prefix, source="de", target="en")
    assert corpus.reader == "moses"
    [document] = corpus.documents({})
    assert [part.path.name for part in document.parts] == [f"{name}.de", f"{name}.en"]


def test_what_is_no_bot_has_no_record(six, tmp_path):
    for path in (six[1], tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BotError, match="is no bot"):
            read_record(path)


def test_the_card_of_a_rerun_names_the_rerun(six, tmp_path):
    bot, pairs = six[:2]
    with Rerun(read_record(bot), tmp_path / "b.bot", of=bot) as run:
        list(run)
    again = read_record(tmp_path / "b.bot")
    assert again.command == f"s2sbot rerun {bot} --bot {tmp_path / 'b.bot'}"
    with Rerun(again, tmp_path / "c.bot", corpora=[pairs], of=tmp_path / "b.bot") as run:
        list(run)
    assert read_record(tmp_path / "c.bot").command.endswith(f"--bot {tmp_path / 'c.bot'} --corpus {pairs}")


def test_who_reads_the_first_knob_alone_has_no_error():
    code = "import sys; from s2sbot.cli import main; main(['train', '--list-settings'])"
    # the pipe is closed before anything is written
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.wait(120), process.stderr.read()) == (0, b"")

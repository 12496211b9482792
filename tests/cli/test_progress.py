"""What a run shows: plain lines on a pipe, a live line on a terminal, and all samples within its width."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TextColumn

from s2sbot import Progress, Sample
from s2sbot.cli import progress as shown
from s2sbot.cli.progress import clock, describe, drawn

SAMPLES = tuple(Sample(f"line {number}?", f"answer {number}.", "truth") for number in range(5))


def validation(step, value, best, **values):
    figures = {"perplexity": value, "bleu": 12.3456}
    return Progress(
        kind="validation", step=step, perplexity=value, figures=figures, best=best, samples=SAMPLES, **values
    )


@pytest.fixture
def plain(capsys):
    """Return a function that shows events where nobody watches a terminal, and returns the lines."""

    def show(*events):
        with drawn() as draw:
            for event in events:
                draw(event)
        return capsys.readouterr().err.splitlines()

    return show


@pytest.fixture
def live(monkeypatch):
    """Return a function that shows events on a terminal so many cells wide; it returns the lines and the live line."""

    def show(*events, width=60):
        console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, soft_wrap=True)
        bar = Bar(TextColumn("{task.description}"), console=console)
        draw = shown._Live(bar, bar.add_task("preparing", total=None))
        for event in events:
            draw(event)
        return console.file.getvalue().splitlines(), bar.tasks[0]

    return show


def test_the_figures_of_a_step():
    event = Progress(
        kind="step", step=1200, epoch=1.5, loss=3.25, tokens_per_second=9876.4, remaining=75.0, skipped=2,
        gpu_memory=3 * 2**30,
    )  # fmt: skip
    assert describe(event) == (
        "step 1,200 · epoch 1.50 · loss 3.250 · 9,876 tokens/s · 3.0 GiB of the GPU · 2 updates skipped · 1:15 left"
    )
    assert "skipped" not in describe(Progress(kind="step", step=1))
    assert "GPU" not in describe(Progress(kind="step", step=1))


def test_the_figures_of_a_validation():
    assert describe(validation(5, 7.5, 7.5), best=True) == (
        "step 5 · epoch 0.00 · validation perplexity 7.50 · bleu 12.35 · best so far"
    )


def test_hours_minutes_and_seconds():
    assert (clock(59.6), clock(61), clock(3661)) == ("1:00", "1:01", "1:01:01")


def test_a_pipe_gets_every_sample_and_every_notice(plain):
    lines = plain(
        Progress(kind="prepare", message="reading"),
        Progress(kind="start", message="attention: 1M"),
        validation(5, 7.5, 7.5),
        Progress(kind="notice", message="the plan has changed"),
        Progress(kind="checkpoint"),
        Progress(kind="end"),
    )
    assert lines[:2] == ["reading", "attention: 1M"]
    assert lines[2].endswith("best so far")
    assert lines[3:13] == [text for n in range(5) for text in (f"  > line {n}?", f"  < answer {n}.")]
    assert lines[13:] == ["the plan has changed"]


def test_a_pipe_gets_a_line_of_progress_now_and_then(plain, monkeypatch):
    now = iter([0.0, 5.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr(shown.time, "monotonic", lambda: next(now))
    lines = plain(*(Progress(kind="step", step=number) for number in (1, 2, 3)))
    assert lines == ["step 2 · epoch 0.00"]


def test_only_a_better_validation_is_the_best_so_far(plain):
    lines = plain(
        Progress(kind="start", message="on it", best=8.0),
        validation(1, 8.0, 8.0),
        validation(2, 7.0, 7.0),
        validation(3, 7.0, 7.0),
        validation(4, 9.0, 7.0),
    )
    assert [line.endswith("best so far") for line in lines if "perplexity" in line] == [False, True, False, False]


def test_a_terminal_shows_all_within_its_width(live):
    long = Sample("How\nso?", "word " * 40, "truth")
    wide = Sample("日本語のテキスト" * 8, "", "truth")
    event = Progress(kind="validation", step=1, perplexity=2.0, samples=(long, wide))
    lines, _ = live(event, width=40)
    assert "  > How so?" in lines
    [cut] = [line for line in lines if line.startswith("  < word")]
    assert len(cut) == 40 and cut.endswith("…")
    [cut] = [line for line in lines if line.startswith("  > 日")]
    assert len(cut) < 40 / 2 + 4 and cut.endswith("…")
    assert "  < (nothing)" in lines


def test_a_terminal_shows_notices_and_keeps_the_line_of_figures(live):
    lines, task = live(
        Progress(kind="step", step=10, loss=1.0, elapsed=30.0, remaining=10.0),
        validation(10, 7.5, 7.5),
        Progress(kind="step", step=11, loss=0.5, transient=True, elapsed=30.0, remaining=10.0),
        Progress(kind="notice", message="3 updates [were] skipped"),
        Progress(kind="checkpoint"),
        width=90,
    )
    assert "3 updates [were] skipped" in lines
    assert task.description == "step 11 · epoch 0.00 · loss 0.500 · 0:10 left · validation 7.50"
    assert (task.completed, task.total) == (0.75, 1.0)


@pytest.mark.parametrize(
    ("width", "figures"),
    [
        (
            130,
            "step 1,200 · epoch 1.50 · loss 3.250 · 9,876 tokens/s · 2 updates skipped · 1:15 left · validation 7.50",
        ),
        (110, "step 1,200 · epoch 1.50 · loss 3.250 · 2 updates skipped · 1:15 left · validation 7.50"),
        (80, "step 1,200 · loss 3.250 · 2 updates skipped · 1:15 left"),
        (60, "step 1,200 · loss 3.250 · 1:15 left"),
        (40, "step 1,200 · 1:15 left"),
    ],
)
def test_the_time_left_is_seen_on_a_narrow_terminal(live, width, figures):
    step = Progress(
        kind="step", step=1200, epoch=1.5, loss=3.25, tokens_per_second=9876.4, skipped=2, elapsed=5.0, remaining=75.0
    )
    _, task = live(validation(10, 7.5, 7.5), step, width=width)
    assert task.description == figures


def test_a_live_line_is_not_cut(monkeypatch):
    console = Console(file=io.StringIO(), width=60, force_terminal=True, color_system=None, soft_wrap=True)
    monkeypatch.setattr(shown, "Console", lambda **_: console)
    with drawn() as draw:
        draw(Progress(kind="step", step=1200, epoch=1.5, loss=3.25, tokens_per_second=9e3, elapsed=5.0, remaining=7e4))
    assert "loss 3.250 · 19:26:40 left" in console.file.getvalue()


def test_what_a_bot_says_cannot_steer_the_terminal(live, plain):
    hostile = Sample("\x1b]0;title\x07hi", "\x1b[31mred [bold]x[/bold] :smile:\x9b2J", "truth")
    event = Progress(kind="validation", step=1, perplexity=2.0, samples=(hostile,))
    for lines in (live(event)[0], plain(event, Progress(kind="notice", message="\x1b[31mred"))):
        assert "  > hi" in lines
        assert "  < red [bold]x[/bold] :smile:" in lines
        assert not any("\x1b" in line.replace("\x1b[?25l", "") for line in lines)

"""Whole runs of `s2sbot train`, started as a user starts them: how well, how soon, and how steadily they learn."""

from __future__ import annotations

import gzip
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2sbot.text.documents import is_prepared

QUALITY: dict[str, dict[str, Any]] = {
    "model": {"hidden_size": 384, "dropout": 0.15},
    "train": {"sampled_softmax": 1_000, "final_rate": 0.02, "validations": 5},
}
"""Settings of the run that is scored, table by table, chosen on the validation set; where it is empty, the defaults."""
TEST = "test_2016_flickr"
STARTS = 3
LOOKS = 0.02
"""Seconds between two looks at a file that is waited for."""
SETTLED = 0.2
"""Share of a soak after which what is left is judged: until then arenas and caches still fill."""
FIRST_STEP = """
import os
from s2sbot.cli import main
from s2sbot.trainer.loop import Loop

def first(loop, step=Loop._train_step):
    step(loop)
    os._exit(0)

Loop._train_step = first
main()
"""
"""The command line, but that it leaves after the first step."""
S2SBOT = (sys.executable, "-m", "s2sbot")


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended: its wall clock in seconds, and its highest resident memory in MB of 10^6 bytes."""

    seconds: float
    peak_mb: float


def watched(command: Sequence[str]) -> Ended:
    """Run a command to its end, and look at its memory meanwhile; only where there is a /proc.

    What the system says of a child at its end will not do: that is at least what its parent had when it was started.

    Raises:
        subprocess.CalledProcessError: where it fails; what it said is shown.
    """
    began, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, memory_mb(process.pid, "VmHWM"))
            time.sleep(LOOKS)
        if process.returncode:
            said.seek(0)
            print(said.read().decode(errors="replace"), file=sys.stderr)
            raise subprocess.CalledProcessError(process.returncode, command)
    return Ended(time.perf_counter() - began, peak)


def memory_mb(process: int, which: str) -> float:
    """Return the memory of a process, `VmRSS` now or `VmHWM` at most so far, in MB of 10^6 bytes; 0 if it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    sizes = [int(line.split()[1]) for line in status.splitlines() if line.startswith(which)]
    return sizes[0] * 1024 / 1e6 if sizes else 0.0


def machine() -> str:
    """Return what the processor calls itself, and how many cores there are."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = (line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line)
        name = next(names, name)
    return f"{name}, {os.cpu_count()} cores"


def prepared_folder(data: Path, work: Path) -> Path:
    """Return `data` itself where it is prepared; otherwise prepare it in `work`, unless that was done before."""
    if is_prepared(data):
        return data
    out = work / "prepared"
    if is_prepared(out):
        return out
    texts = work / "text"
    texts.mkdir(parents=True, exist_ok=True)
    for name in ("train", "val"):
        for language in ("en", "de"):
            (texts / f"{name}.{language}").write_bytes(text_of(data, f"{name}.{language}"))
    command = [*S2SBOT, "corpus", "prepare", str(texts / "train"), "--valid", str(texts / "val")]
    command += ["--source", "en", "--target", "de", "--vocab-size", "8000", "--out", str(out)]
    print(f"prepared in {watched(command).seconds:.1f} s", flush=True)
    return out


def text_of(folder: Path, name: str) -> bytes:
    """Read a file that may be gzipped."""
    plain = folder / name
    return plain.read_bytes() if plain.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())


def quality(data: Path, prepared: Path, work: Path, budget: str, *, threads: int, seed: int) -> None:
    """Train a translator for so long, and say how well it translates the test set."""
    if is_prepared(data):
        raise SystemExit("--quality needs the folder of Multi30k, for its test set")
    import sacrebleu

    bot, source = work / "quality.bot", work / f"{TEST}.en"
    shutil.rmtree(bot, ignore_errors=True)
    source.write_bytes(text_of(data, f"{TEST}.en"))
    truth = text_of(data, f"{TEST}.de").decode().splitlines()
    settings = [
        word
        for table, values in QUALITY.items()
        for key, value in values.items()
        for word in ("--set", f"{table}.{key}={json.dumps(value)}")
    ]
    command = [*S2SBOT, "train", str(prepared), "--bot", str(bot), "--budget", budget, *settings]
    command += ["--set", f"train.seed={seed}"]
    ended = watched([*command, "--set", f"train.threads={threads}"])
    print(f"\n{' '.join(command[2:])}")
    print(
        f"trained in {ended.seconds:.0f} s ({ended.seconds / 60:.2f} min) from the command on, {ended.peak_mb:,.0f} MB"
    )
    for event in events(bot):
        if event["kind"] == "validation":
            print(f"  {event['elapsed']:6.0f} s  step {event['step']:6,}  perplexity {event.get('perplexity')}")
    for method in ("greedy", "beam"):
        translate = [*S2SBOT, "translate", str(bot), str(source), "--method", method, "--beam-size", "5"]
        found = subprocess.run(translate, check=True, stdout=subprocess.PIPE).stdout.decode().split("\n")[:-1]
        bleu = sacrebleu.BLEU(tokenize="13a")
        print(f"BLEU {method:<7} {bleu.corpus_score(found, [truth]).score:5.1f}   {bleu.get_signature()}")
    print("best peer, measured elsewhere: OpenNMT-py after 874 s, perplexity 7.58, BLEU greedy 33.9, beam 5 35.3")


def events(bot: Path) -> list[dict[str, Any]]:
    """Return the events of a run that its hook has written so far."""
    file = bot / "training" / "metrics.jsonl"
    whole = file.read_text("utf-8").split("\n")[:-1] if file.exists() else []
    return [json.loads(line) for line in whole]


def start(prepared: Path, work: Path, *, threads: int) -> None:
    """Print the seconds from the command to the end of the first step, beside those of importing torch.

    By a budget a run tries first how fast the machine is, and that is part of it.
    """
    lengths = {"a number of steps": ["--steps", "1000"], "a budget": ["--budget", "15m"]}
    taken: dict[str, list[float]] = {"import torch": [], **{name: [] for name in lengths}}
    for number in range(STARTS):
        taken["import torch"].append(watched([sys.executable, "-c", "import torch"]).seconds)
        for name, length in lengths.items():
            bot = work / f"start-{number}.bot"
            command = ["train", str(prepared), "--bot", str(bot), *length, "--set", f"train.threads={threads}"]
            taken[name].append(watched([sys.executable, "-c", FIRST_STEP, *command]).seconds)
            shutil.rmtree(bot)
    print(f"\nfrom `s2sbot train` with a prepared corpus to the end of the first step, medians of {STARTS}")
    base = statistics.median(taken["import torch"])
    for name, times in taken.items():
        middle = statistics.median(times)
        print(f"  {name:<40} {middle:9.2f} s {f'x {middle / base:.2f}':>8}")


def training(prepared: Path, bot: Path, length: list[str], threads: int) -> subprocess.Popen[bytes]:
    """Start a run."""
    command = [*S2SBOT, "train", str(prepared), "--bot", str(bot), *length, "--set", f"train.threads={threads}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def soak(prepared: Path, work: Path, seconds: float, *, threads: int, minute: float = 60.0) -> None:
    """Train for so long, print speed and memory every minute, and how both change at the end."""
    bot = work / "soak.bot"
    shutil.rmtree(bot, ignore_errors=True)
    print("minute  tokens/s  resident MB")
    rates, sizes, seen = [], [], 0
    with training(prepared, bot, ["--budget", f"{seconds:.0f}s"], threads) as process:
        while process.poll() is None:
            time.sleep(minute)
            steps = [event for event in events(bot) if event["kind"] == "step"]
            fresh = [event["tokens_per_second"] for event in steps[seen:] if event.get("tokens_per_second")]
            seen = len(steps)
            resident = memory_mb(process.pid, "VmRSS")
            if fresh and resident and process.poll() is None:
                rates.append(statistics.median(fresh))
                sizes.append(resident)
                print(f"{len(rates) * minute / 60:6.1f}  {rates[-1]:8,.0f}  {sizes[-1]:11,.1f}", flush=True)
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}")
    minutes = minute / 60
    skipped = int(SETTLED * len(sizes))
    if len(sizes) - skipped < 2:
        raise SystemExit("too short to say how speed and memory change")
    growth, slowing = slope(sizes[skipped:]) / minutes, slope(rates[skipped:]) / minutes
    middle = statistics.median(rates[skipped:])
    print(f"memory grows by {60 * growth:+.1f} MB an hour, the first {skipped * minutes:.0f} minutes left out")
    print(f"speed changes by {60 * slowing / middle:+.1%} an hour")


def slope(values: Sequence[float]) -> float:
    """Return by how much values change from one to the next, by least squares."""
    return float(np.polyfit(np.arange(len(values)), values, 1)[0])

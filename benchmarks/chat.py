"""How long a user waits: from the command to the prompt, and for each reply, beside what merely importing torch takes.

python benchmarks/chat.py onepace.bot
"""

from __future__ import annotations

import argparse
import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINES = (
    "Hello.", "Who are you?", "Where are we going?", "I'm hungry.", "What do you want?",
    "Are you afraid?", "Let's go!", "Who is your captain?", "Thank you.", "Goodbye.",
)  # fmt: skip
RUNS = 5


def seconds_to_prompt(bot: Path) -> float:
    """Start the chat on a terminal and wait for its prompt."""
    outer, inner = pty.openpty()
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "s2sbot", "chat", str(bot)],
            env={**os.environ, "S2SBOT_HOME": home, "TERM": "xterm"},
            stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
        )  # fmt: skip
        shown = ""
        while ">" not in shown.partition("to leave")[2]:
            select.select([outer], [], [])
            shown += os.read(outer, 65536).decode(errors="replace")
        took = time.perf_counter() - began
        process.kill()
        process.wait()
    os.close(outer)
    os.close(inner)
    return took


def seconds_of(command: list[str]) -> float:
    """Run a command to its end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Print medians, and their ratio to importing torch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bot", type=Path)
    bot = parser.parse_args().bot
    rows = {
        "python -c 'import torch'": [seconds_of([sys.executable, "-c", "import torch"]) for _ in range(RUNS)],
        "s2sbot --help": [seconds_of([sys.executable, "-m", "s2sbot", "--help"]) for _ in range(RUNS)],
        "s2sbot chat, to the prompt": [seconds_to_prompt(bot) for _ in range(RUNS)],
        "s2sbot chat, to the first reply": [
            seconds_of([sys.executable, "-m", "s2sbot", "chat", str(bot), "--no-store", "--ask", "Hello."])
            for _ in range(RUNS)
        ],
    }
    base = statistics.median(rows["python -c 'import torch'"])
    for name, times in rows.items():
        print(f"{name:<34} {statistics.median(times):6.2f} s   x {statistics.median(times) / base:.2f}")
    import s2sbot

    loaded = s2sbot.load(bot)
    for method in ("greedy", "sample", "beam"):
        took, tokens = [], 0
        for line in (*LINES, *LINES):
            began = time.perf_counter()
            tokens += loaded.reply(line, method=method).tokens + 1
            took.append(time.perf_counter() - began)
        middle, slow = statistics.median(took), sorted(took)[int(0.95 * len(took))]
        a_token = sum(took) / tokens
        print(f"a reply, {method:<25} {1e3 * middle:6.1f} ms  p95 {1e3 * slow:.1f} ms  {1e3 * a_token:.2f} ms a token")
    for line in LINES:
        print(f"> {line}\n{loaded.reply(line).text}")


if __name__ == "__main__":
    main()

"""A corpus and settings so small that a bot of them is trained in a second."""

from pathlib import Path

LINES = [
    ("Hello.", "Good evening."),
    ("Who are you?", "I am the engine."),
    ("Where are we going?", "Across the water."),
    ("Do you like tea?", "Yes, with milk."),
    ("Thank you.", "You are welcome."),
    ("Good night.", "Sleep well."),
]
MODEL = {"embedding_size": 24, "hidden_size": 32, "dropout": 0.0}
SETTINGS = {
    "model": MODEL,
    "train": {
        "steps": 12,
        "batch_tokens": 120,
        "learning_rate": 0.01,
        "warmup_steps": 2,
        "validations": 2,
        "threads": 1,
    },
    "data": {"tokenizer": "words", "valid_share": 0.2},
}


def write_pairs(path: Path, times: int = 4) -> Path:
    """Write the lines as a TSV, each several times with a number behind it."""
    rows = [f"{source} {number}\t{target}" for number in range(times) for source, target in LINES]
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


def write_subtitles(path: Path, scenes: int = 6, first: int = 0) -> Path:
    """Write the lines as SubRip, a scene for each pair, before which stands the number of the round, from `first`."""
    cues, clock = [], 0
    for scene in range(first, first + scenes):
        for source, target in LINES:
            for line in (f"{scene} {source}", target):
                begin, end = _time(clock), _time(clock + 1)
                cues.append(f"{len(cues) + 1}\n{begin} --> {end}\n{line}\n")
                clock += 2
            clock += 30
    path.write_text("\n".join(cues), "utf-8")
    return path


def _time(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},000"


def tables(**changes):
    """Return SETTINGS with keys of the table `train` changed; None takes one out."""
    train = {**SETTINGS["train"], **changes}
    return {**SETTINGS, "train": {key: value for key, value in train.items() if value is not None}}

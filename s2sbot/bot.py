"""A bot folder goes in, its checked description, tokenizers and model come out; and the way back."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from .bot_files import (
    DTYPES,
    TensorPlace,
    check_files,
    check_folder,
    open_regular,
    parse_json,
    read_header,
    read_regular,
)
from .errors import BotError, NewerFormatError, SettingsError, TokenizerError, shell_command
from .files import full_disk_explained, sync_file, sync_folder, write_atomically, write_json
from .plugins import Plugins
from .settings import DataSettings, DecodeSettings, build
from .text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from .nn.encoder_decoder import EncoderDecoder

__all__ = [
    "FORMAT",
    "BotDescription",
    "load_model",
    "load_tokenizers",
    "read_description",
    "save_tokenizers",
    "save_weights",
    "write_description",
]

FORMAT: Final = 2
"""The version of the folder's layout; a reader refuses a higher one."""
_WEIGHTS: Final = re.compile(r"weights-[0-9a-f]{16}\.safetensors")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_UUID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
LARGEST_DESCRIPTION: Final = 2**20
LONGEST_LANGUAGE: Final = 100
LONGEST_CAUSE: Final = 300
SPARE_NUMBERS: Final = 2**20
"""Numbers that a model may ask for while it is built, besides twice those of its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BotDescription:
    """What `bot.json` says.

    uuid        names the bot wherever its messages are kept
    kind        `chat` or `translate`
    mind        True where the model learnt dialogues, so that what it has in mind goes from turn to turn
    model       name of the model; `config` holds its knobs, `source_vocab` and `target_vocab` its vocabularies' sizes
    tokenizer   name of the tokenizer; `shared` where source and target have the same one
    data        how sources are made: turns of context, seconds between scenes, tokens at most
    languages   none, one, or the source's and the target's
    decode      the decoding defaults
    corpora     name, kind of reader, SHA-256 and number of files of every corpus
    metrics     what the validation said of the weights
    weights     name of the weights file
    versions    of s2sbot, torch and the plugins that made it
    """

    uuid: str
    kind: str
    model: str
    config: dict[str, Any]
    source_vocab: int
    target_vocab: int
    mind: bool
    tokenizer: str
    shared: bool
    data: dict[str, Any]
    languages: tuple[str, ...]
    decode: dict[str, Any]
    weights: str
    corpora: tuple[dict[str, Any], ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def data_settings(self) -> DataSettings:
        """Return how sources are made."""
        return build(DataSettings, self.data, "data")


def write_description(folder: Path, description: BotDescription) -> None:
    """Write `bot.json`; the bot changes in this one rename."""
    write_json(folder / "bot.json", dataclasses.asdict(description))


def read_description(folder: Path) -> BotDescription:
    """Read and check a bot folder without opening its tensors and without torch.

    Raises:
        NewerFormatError: where a newer s2sbot wrote it.
        BotError: where it is no bot, or its description or its weights file are damaged.
    """
    path = folder / "bot.json"
    if not _is_there(path):
        if (folder / "training").is_dir():
            go_on = shell_command("s2sbot", "train", "--bot", folder, "--resume")
            raise BotError(f"{folder} holds no bot yet", f"its training has not come to a validation: {go_on}")
        raise BotError(
            f"{folder} is no bot: there is no bot.json in it", "make one with `s2sbot train CORPUS --bot DIR`"
        )
    try:
        data = parse_json(read_regular(path, LARGEST_DESCRIPTION))
        if not isinstance(data, dict) or type(data.get("format")) is not int:
            raise ValueError("it has no format number")
        if data["format"] > FORMAT:
            raise NewerFormatError(
                f"{folder} has bot format {data['format']}, this s2sbot knows up to {FORMAT}", "upgrade s2sbot"
            )
        if data["format"] < FORMAT:
            raise BotError(f"{folder} was made by an s2sbot before its first release", "train it again")
        description = _checked(data)
    except BotError:
        raise
    except (OSError, ValueError, TypeError, SettingsError) as error:
        raise BotError(
            f"{path} is damaged: {_cause(error)}", "copy the whole bot folder again, or train it again"
        ) from error
    with _opened_weights(folder / description.weights):
        return description


def _cause(error: Exception) -> str:
    """Return what an error says, on a line and cut short, as a stranger's words may be in it."""
    said = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    line = " ".join(said.split())
    return line if len(line) <= LONGEST_CAUSE else f"{line[:LONGEST_CAUSE]}..."


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise BotError(f"cannot look into {path.parent}: {error.strerror}", "check its name and permissions") from error


def _checked(data: Mapping[str, Any]) -> BotDescription:
    kinds: dict[str, type | tuple[type, ...]] = {
        "uuid": str, "kind": str, "model": str, "config": dict, "source_vocab": int, "target_vocab": int,
        "mind": bool, "tokenizer": str, "shared": bool, "data": dict, "languages": list, "decode": dict, "weights": str,
        "corpora": list, "metrics": dict, "versions": dict, "format": int,
    }  # fmt: skip
    unknown = sorted(set(data) - set(kinds))
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
    for key, kind in kinds.items():
        value = data.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f"{key!r} is missing or of the wrong type")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    description = BotDescription(**values)
    if not _UUID.fullmatch(description.uuid):
        raise ValueError("its uuid is none")
    if description.kind not in ("chat", "translate"):
        raise ValueError(f"kind {description.kind!r} is neither chat nor translate")
    if not _WEIGHTS.fullmatch(description.weights):
        raise ValueError(f"{description.weights!r} is no name of a weights file")
    for name in (description.model, description.tokenizer):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a plugin's")
    if not all(16 < size <= 10_000_000 for size in (description.source_vocab, description.target_vocab)):
        raise ValueError("no such vocabulary size")
    if not all(_is_word(language) for language in description.languages):
        raise ValueError("languages must be words")
    if not all(isinstance(version, str) for version in description.versions.values()):
        raise ValueError("versions must be texts")
    if description.kind == "translate" and len(description.languages) != 2:
        raise ValueError("a translator has two languages")
    if not all(isinstance(corpus, dict) and _is_number(corpus.get("exchanges", 0)) for corpus in description.corpora):
        raise ValueError("corpora must be objects with a number of exchanges")
    if not _is_number(description.metrics.get("valid_perplexity") or 0):
        raise ValueError("its perplexity is no number")
    build(DecodeSettings, description.decode, "decode")
    build(DataSettings, description.data, "data")
    return description


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_LANGUAGE and value.isprintable()


@contextmanager
def _opened_weights(path: Path) -> Iterator[tuple[BinaryIO, dict[str, TensorPlace]]]:
    """Open a weights file whose header is right; what is read from it is what was checked, whatever takes its name."""
    hint = "copy the whole bot folder again"
    try:
        stream = open_regular(path)
    except (OSError, ValueError) as error:
        raise BotError(f"cannot read {path}: {_cause(error)}", hint) from error
    with stream:
        try:
            places = read_header(stream)
        except (OSError, ValueError) as error:
            raise BotError(f"{path} {_cause(error)}", hint) from error
        yield stream, places


def save_tokenizers(folder: Path, source: Tokenizer, target: Tokenizer) -> None:
    """Write the tokenizer into `tokenizer/`, or both into `tokenizer/source/` and `tokenizer/target/`."""
    root = folder / "tokenizer"
    pairs = ((root, source),) if source is target else ((root / "source", source), (root / "target", target))
    with full_disk_explained(root):
        for place, tokenizer in pairs:
            place.mkdir(parents=True, exist_ok=True)
            tokenizer.save(place)
            for file in place.iterdir():
                sync_file(file)
            sync_folder(place)
        sync_folder(root)


def load_tokenizers(folder: Path, name: str, plugins: Plugins, *, shared: bool) -> tuple[Tokenizer, Tokenizer]:
    """Read the source's and the target's tokenizer; the same one twice where they share it.

    Raises:
        TokenizerError: where one is missing or damaged.
        PluginError: where no plugin offers the tokenizer.
    """
    kind = plugins.tokenizer(name)
    root = folder / "tokenizer"
    places = (root,) if shared else (root / "source", root / "target")
    place = root
    try:
        check_folder(root)
        for place in places:
            check_files(place)
    except (OSError, ValueError) as error:
        raise TokenizerError(f"cannot read {place}: {_cause(error)}", "copy the whole bot folder again") from error
    tokenizers = [kind.load(place) for place in places]
    return tokenizers[0], tokenizers[-1]


def save_weights(folder: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write weights as safetensors and return the file's name, which holds a hash of its content."""
    from safetensors.torch import save

    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    name = f"weights-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    write_atomically(folder / name, data)
    return name


def load_model(folder: Path, description: BotDescription, plugins: Plugins, device: str) -> EncoderDecoder:
    """Build the model and give it its weights, in evaluation mode.

    Raises:
        BotError: where weights and configuration do not fit each other.
        PluginError: where no plugin offers the model.
        DeviceError: where the device is not there.
    """
    kind = plugins.model(description.model)
    from .nn.budget import Budget
    from .nn.device import choose_device
    from .nn.encoder_decoder import load_model_tensors, model_tensors

    place = choose_device(device)
    try:
        config: Any = build(kind.Config, description.config, "model")
        with _opened_weights(folder / description.weights) as (stream, places):
            numbers = sum(tensor.numbers for tensor in places.values())
            with Budget(2 * numbers + SPARE_NUMBERS):
                model = kind(config, description.source_vocab, description.target_vocab)
            _check_places(places, model_tensors(model))
            load_model_tensors(model, _read_tensors(stream, places))
    except (SettingsError, RuntimeError, OSError, TypeError, ValueError, OverflowError, MemoryError) as error:
        first = str(error).strip().splitlines()
        raise BotError(
            f"the weights in {folder} do not fit: {' '.join(line.strip() for line in first[:2])}"[:1_000],
            "copy the whole bot folder again, or install the plugin's version that made it: see versions in bot.json",
        ) from error
    return model.to(place).eval()


def _check_places(places: Mapping[str, TensorPlace], wanted: Mapping[str, Tensor]) -> None:
    """Compare names, shapes and kinds of numbers with those of the model, before any number is read.

    Raises:
        ValueError: where they are others.
    """
    for name in sorted(places.keys() ^ wanted.keys()):
        raise ValueError(f"{name!r} is {'missing' if name in wanted else 'nothing that the model has'}")
    for name, place in places.items():
        tensor, floats = wanted[name], "F" in place.dtype
        if place.shape != tuple(tensor.shape) or floats != tensor.is_floating_point():
            kind, shape = DTYPES[place.dtype][0], list(place.shape)
            raise ValueError(f"{name!r} is {shape} of {kind}, where {list(tensor.shape)} of {tensor.dtype} belongs")


def _read_tensors(stream: BinaryIO, places: Mapping[str, TensorPlace]) -> dict[str, Tensor]:
    """Read the tensors behind the header; into memory of our own, as what is mapped may change or be cut off later."""
    import torch

    data = bytearray(max(place.end for place in places.values()))
    if stream.readinto(data) != len(data):  # type: ignore[attr-defined]
        raise ValueError("the file is cut short")
    tensors = {}
    for name, place in places.items():
        dtype = getattr(torch, DTYPES[place.dtype][0])
        flat = torch.empty(0, dtype=dtype)
        if place.numbers:
            flat = torch.frombuffer(data, dtype=dtype, count=place.numbers, offset=place.begin)
        # both ends are nan where one number is; looking at every number would take twenty times as long
        if dtype.is_floating_point and place.numbers and not all(map(torch.isfinite, flat.aminmax())):
            raise ValueError(f"{name} has numbers that are infinite or none")
        tensors[name] = flat.view(place.shape)
    return tensors


def check_vocabulary(description: BotDescription, source: Tokenizer, target: Tokenizer) -> None:
    """Refuse tokenizers that are not those the model was trained with.

    Raises:
        TokenizerError: where their sizes differ from the model's.
    """
    if (len(source), len(target)) != (description.source_vocab, description.target_vocab):
        raise TokenizerError(
            f"the tokenizer has {len(source)} and {len(target)} ids, the model"
            f" {description.source_vocab} and {description.target_vocab}",
            "copy the whole bot folder again",
        )

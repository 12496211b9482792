"""Exchanges go in; by which rule one is not fit to learn from, and the keys that tell it from others, come out."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from ..errors import SettingsError
from .cleaning import composed
from .rules import Rules

__all__ = ["SIGNATURE", "exchange_keys", "hash_of", "in_language", "plain", "signature", "unfit"]

SHORT = 20
"""Characters up to which the lengths of two translations may differ by any ratio."""
SURE_FROM = 40
"""Letters from which the language of a text can be told."""
SURE = 0.95
"""Probability of another language from which a text is taken to be in it."""

UNREADABLE = "\ufffd"
"""What stands for bytes that are no letter in the encoding of their file."""

_LETTERS = re.compile(r"[^\W\d_]")


def unfit(source: str, target: str, rules: Rules, *, translated: bool) -> str | None:
    """Return the rule that drops an exchange, or None where it is fit to learn from.

    `translated` pairs are held to the ratio of lengths too.
    """
    if "length" in rules:
        longest = max(len(source), len(target))
        if longest > rules.max_characters or not (_has_letter(source) and _has_letter(target)):
            return "length"
    if translated and "ratio" in rules:
        short, long = sorted((len(source), len(target)))
        if long > SHORT and long > rules.max_ratio * short:
            return "ratio"
    if "letters" in rules and not (_mostly_letters(source) and _mostly_letters(target)):
        return "letters"
    if "echo" in rules and len(source) == len(target) and source.casefold() == target.casefold():
        return "echo"
    return None


def _has_letter(text: str) -> bool:
    return text[:1].isalpha() or _LETTERS.search(text) is not None


_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_STOPS = frozenset(".,!?…'’‘\"“”-–—:;¿¡«»()。、，！？「」『』 ")


def _mostly_letters(text: str) -> bool:
    """Tell whether at least half of what is no stop in a text are letters, where a digit counts as half a sign.

    A letter that could not be read makes any text unfit.
    """
    if UNREADABLE in text:
        return False
    if text.isascii() and 2 * len(text.encode().translate(None, _NO_LETTERS)) >= len(text):
        return True
    letters = digits = others = 0
    for sign in text:
        kind = unicodedata.category(sign)[0]
        letters += kind in "LM"  # vowel signs are no letters to Unicode, but part of words
        digits += kind == "N"
        others += kind not in "LMN" and sign not in _STOPS
    return 2 * letters >= letters + 0.5 * digits + others


def hash_of(text: str) -> int:
    """Return 64 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


_PUNCTUATION = re.compile(r"[\W_]+")
_PLAIN_ASCII = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}


def plain(text: str) -> str:
    """Return text in small letters with single spaces in place of punctuation."""
    if text.isascii():
        return " ".join(text.translate(_PLAIN_ASCII).split())
    return _PUNCTUATION.sub(_without_punctuation, composed(text, "NFKC").casefold()).strip()


def _without_punctuation(found: re.Match[str]) -> str:
    """Return a space for punctuation, and the vowel signs of the letter before it as they are."""
    run = found[0]
    signs = 0
    while found.start() and signs < len(run) and unicodedata.category(run[signs]).startswith("M"):
        signs += 1
    return run[:signs] + (" " if signs < len(run) else "")


def exchange_keys(source: str, target: str) -> tuple[int, int]:
    """Return a key of a whole exchange, and one of its target; both sides are `plain`."""
    return hash_of(f"{source}\0{target}"), hash_of(target)


SIGNATURE = 64
"""Numbers in a MinHash signature."""
GRAM = 5


def signature(source: str, target: str) -> list[int]:
    """Return a MinHash signature of the runs of 5 characters in an exchange whose sides are `plain` (Broder 1997).

    Raises:
        SettingsError: where the library rensa is not installed.
    """
    try:
        from rensa import RMinHash  # type: ignore[import-untyped]
    except ImportError as error:
        raise SettingsError(
            "near duplicates need the library rensa", "install it with: pip install 's2sbot[near-duplicates]'"
        ) from error
    text = f"{source}\n{target}"
    minhash = RMinHash(num_perm=SIGNATURE, seed=1)
    minhash.update([text[start : start + GRAM] for start in range(max(1, len(text) - GRAM + 1))])
    numbers: list[int] = minhash.digest()
    return numbers


def in_language(text: str, language: str) -> bool:
    """Tell whether a text may be in a language; a short one always may.

    Raises:
        SettingsError: where the library py3langid is not installed, or does not know the language.
    """
    if len(_LETTERS.findall(text)) < SURE_FROM:
        return True
    found, probability = _identifier(language)(text)
    return bool(found == language or probability < SURE)


@lru_cache(maxsize=4)
def _identifier(language: str) -> Callable[[str], tuple[str, float]]:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]
    except ImportError as error:
        raise SettingsError(
            "data.language needs the library py3langid", "install it with: pip install 's2sbot[languages]'"
        ) from error
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if language not in identifier.nb_classes:
        raise SettingsError(f"data.language: {language!r} is not known", "give a code as en, de or fr")
    classify: Callable[[str], tuple[str, float]] = identifier.classify
    return classify

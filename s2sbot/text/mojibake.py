"""Text whose letters were read in a wrong encoding goes in, the text that was meant comes out."""

from __future__ import annotations

import re
from contextlib import suppress

__all__ = ["repair"]

_SUSPICIOUS = re.compile("[^\x00-\x7f]{2}|[ÃÂ] |Ã\\b")
_ENDS_IN_CAPITAL = re.compile(r"Ã[”’»…–](?!\w)")
"""The end of a word and a quotation in Portuguese capitals; read anew, the two would be another letter."""
_BARE = re.compile(r"(?<=[a-z])Ã(?=[ \t\n.,!?;:\"')]|$)|(?<=[a-z,] )Ã(?=\n|$)")
"""What is left of an à where the no-break space in it was taken for a blank; in no language a word ends so."""
_BARE_FOR_SURE = re.compile(r"(?:(?<=[a-z])|(?<=[a-z,] )|(?<=\b[A-Z]))Ã(?=[ \t\n.,!?;:\"')]|$)")
"""The same where more of the text was read in a wrong encoding: else it may be a word in capitals, as `LÃ`."""


def repair(text: str) -> str:
    """Return `text` with UTF-8 that was read as something else undone, where that is certain; else the same text."""
    if text.isascii() or not _SUSPICIOUS.search(_ENDS_IN_CAPITAL.sub("", text) if text.isupper() else text):
        return text
    import ftfy

    whole = text
    for _ in range(8):
        before, text = text, ftfy.fix_encoding(text)
        text = _reread(text) if text == before else text
        if text == before:
            break
    if "Ã" not in text or not any(map(str.islower, text)):  # capitals may be Portuguese
        return text
    return (_BARE if text == whole else _BARE_FOR_SURE).sub("à", text)


def _reread(text: str) -> str:
    """Read as UTF-8 what can be nothing else: all that is not ASCII makes letters, of one script in each word."""
    for encoding in ("latin-1", "sloppy-windows-1252"):
        with suppress(UnicodeError):
            found = text.encode(encoding).decode("utf-8")
            letters = [char for char in found if char > "\x7f"]
            likely = len(letters) > 1 and all(char.isalpha() and not "\u0180" <= char < "\u0370" for char in letters)
            if likely and all(len({char < "\u0370" for char in word if char.isalpha()}) < 2 for word in found.split()):
                return found
    return text

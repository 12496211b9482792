"""Text from anywhere goes in; text that can only be read, and cannot steer the terminal, comes out."""

from __future__ import annotations

import re

__all__ = ["sanitize"]

# ECMA-48, fifth edition: control sequences in 5.4, control strings in 5.6; other escapes are of ISO 2022.
# Every repeat is possessive and stops at the next control, so that hostile text takes linear time. A string
# that nothing ends loses only its opening: a terminal would wait for the end and hide all that follows.
_STEERING = re.compile(
    r"""
      (?: \x1b\[ | \x9b ) [0-?]*+ [ -/]*+ [@-~]?                  # CSI: colours, cursor, modes
    | (?: \x1b[\]PX^_] | [\x9d\x90\x98\x9e\x9f] )                 # OSC, DCS, SOS, PM, APC: titles, files ...
      (?: [\x08-\x0d\x20-\x7e\xa0-\U0010ffff]*+ (?: \x07 | \x1b\\ | \x9c ) )?    # ... up to BEL or ST
    | \x1b [ -/]*+ [0-~]?                                         # charsets, resets, forms of two bytes
    | [\x00-\x08\x0b-\x1f\x7f-\x9f]                               # C0 but \t and \n, DEL, C1
    | [\u2028-\u202e\u2066-\u2069]                                # separators, bidi overrides
    """,
    re.VERBOSE,
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def sanitize(text: str) -> str:
    r"""Return `text` without what a terminal obeys instead of showing it.

    Dropped: C0 but `\n` and `\t`, DEL, C1, whole ECMA-48 sequences of 7 and 8 bits, bidi embeddings, overrides
    and isolates, line and paragraph separators. Half a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD.
    """
    return _SURROGATES.sub("\ufffd", _STEERING.sub("", text))

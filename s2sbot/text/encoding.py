"""Bytes of any encoding go in, text comes out."""

from __future__ import annotations

import codecs

__all__ = ["decode_text"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins the same way
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(data: bytes, *, cut: bool = False) -> tuple[str, str]:
    """Return the text of `data` and the name of its encoding, line ends as `\\n`.

    A byte order mark counts first, then strict UTF-8, then UTF-16 by its zero bytes, then detection. `cut` data, as
    the head of a file is, may end inside a character.

    Raises:
        ValueError: where it is no text.
    """
    text, encoding = _decode(data, cut)
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def _decode(data: bytes, cut: bool) -> tuple[str, str]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _strictly(data, encoding, cut), encoding
    if not data.count(0):
        try:
            return _strictly(data, "utf-8", cut), "utf-8"
        except UnicodeDecodeError:
            return _detect(data)
    for encoding, zeros in (("utf-16-le", data[1::2]), ("utf-16-be", data[0::2])):
        if zeros.count(0) > 0.3 * len(zeros) and data.count(0) <= 0.55 * len(data):
            try:
                return _strictly(data, encoding, cut), encoding
            except UnicodeDecodeError:
                continue
    raise ValueError("binary data, not text")


def _strictly(data: bytes, encoding: str, cut: bool) -> str:
    return codecs.getincrementaldecoder(encoding)().decode(data, final=not cut)


_WESTERN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÖØŒÙÚÛÜßàáâãäåæçèéêëìíîïñòóôöøœùúûüÿ¿¡«»·°‘’“”„–—…€²×±\xa0")


def _detect(data: bytes) -> tuple[str, str]:
    import charset_normalizer

    best = charset_normalizer.from_bytes(data[:200_000], explain=False).best()
    if best is None:
        raise ValueError("text in no known encoding")
    if best.encoding == "cp1250":
        # it is often taken for what is Spanish or French, whose letters its bytes are too: ñ for ń, ¿ for ż
        western = data.decode("cp1252", errors="replace")
        if {char for char in western if char >= "\x80"} <= _WESTERN:
            return western, "cp1252"
    return data.decode(best.encoding, errors="replace"), best.encoding

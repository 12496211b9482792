"""Bytes of any encoding go in, text comes out, whole or line by line."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache, lru_cache
from math import log
from typing import BinaryIO, Final

from .dialogue import Lost

__all__ = ["LONGEST_LINE", "decode_text", "text_lines"]

LONGEST_LINE: Final = 2**20  # bytes
CHUNK: Final = 2**18
SAMPLE: Final = 16_000  # bytes that an old encoding is found by
# UTF-32 before UTF-16, whose mark begins the same way
_MARKS = {codecs.BOM_UTF8: "utf-8-sig"} | dict.fromkeys((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-32")
_MARKS |= dict.fromkeys((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-16")
_HIGH = re.compile(rb"[\x80-\xff]+")
_UTF_8 = re.compile(rb"(?:[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})+")
_SURROGATES = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
_TOO_LONG = Lost(f"longer than {LONGEST_LINE} bytes")
_CONTROLS = bytes({*range(32), 127} - {*b"\t\n\x0b\x0c\r\x1a\x1b"})


def decode_text(data: bytes, *, cut: bool = False) -> tuple[str, str]:
    """Return the text of `data` and the name of its encoding, line ends as `\\n`.

    A byte order mark counts first, then UTF-8, then UTF-16 and UTF-32 by their zero bytes, then the old encoding whose
    letters make the likeliest words. Broken bytes of UTF-8 become U+FFFD. `cut` data may end inside a character.

    Raises:
        ValueError: where it is no text.
    """
    text, encoding = _decode(data, cut)
    return text.replace("\0", "").replace("\r\r\n", "\r\n").replace("\r\n", "\n").replace("\r", "\n"), encoding


def _decode(data: bytes, cut: bool) -> tuple[str, str]:
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return _marked(data, encoding, cut), encoding
    if zeros := data.count(0):
        if wide := _wide(data, zeros, cut):
            return wide
        if _is_binary(data):
            raise ValueError("binary data, not text")
        data = data.replace(b"\0", b"")
    for encoding in ("iso2022_jp_ext", "iso2022_kr", "utf-8") if b"\x1b$" in data else ("utf-8",):
        with suppress(UnicodeDecodeError):
            return _strictly(data, encoding, cut), encoding
    if _is_binary(data):
        raise ValueError("binary data, not text")
    if _is_broken_utf_8(data):
        return _mended(data, cut), "utf-8"
    encoding = _detect(_sample(data))
    if not encoding:
        raise ValueError("text in no known encoding")
    return _composed(codecs.getincrementaldecoder(encoding)("replace").decode(data, final=not cut), encoding), encoding


def _is_binary(data: bytes) -> bool:
    return len(data) - len(data.translate(None, _CONTROLS)) > max(1, 0.02 * len(data))


def _strictly(data: bytes, encoding: str, cut: bool) -> str:
    return codecs.getincrementaldecoder(encoding)().decode(data, final=not cut)


def _composed(text: str, encoding: str) -> str:
    # Vietnamese tone marks stand behind the letters in cp1258, where other encodings have one letter for both
    return unicodedata.normalize("NFC", text) if encoding == "cp1258" else text


def _marked(data: bytes, encoding: str, cut: bool) -> str:
    try:
        return _strictly(data, encoding, cut)
    except UnicodeDecodeError as error:
        text = _mended(data[3:], cut) if encoding == "utf-8-sig" else data.decode(encoding, "replace")
        if text.count("\ufffd") > 0.1 * len(text):
            raise ValueError(f"marked as {encoding.upper().removesuffix('-SIG')}, which it is not") from error
        return text


def _wide(data: bytes, zeros: int, cut: bool) -> tuple[str, str] | None:
    """Return what UTF-32 or UTF-16 says, where the zero bytes are in their places."""
    low, high = data[0::2].count(0), data[1::2].count(0)
    tries = ["utf-32-le", "utf-32-be"] if zeros > 0.45 * len(data) else []
    # in Latin text every second byte is zero, elsewhere those of blanks, digits and line ends are
    if max(low, high) > 0.02 * len(data) and max(low, high) > 10 * min(low, high):
        tries.append("utf-16-le" if high > low else "utf-16-be")
    for encoding in tries:
        with suppress(UnicodeDecodeError):
            text = _strictly(data, encoding, cut)
            part = text[:SAMPLE]
            kinds = Counter(unicodedata.category(char) for char in part if char not in "\t\n\x0b\x0c\r\x85")
            if part and sum(kinds[kind] for kind in ("Cc", "Cn", "Co", "Cs")) <= 0.02 * len(part):
                return text, encoding
    return None


def _is_broken_utf_8(data: bytes) -> bool:
    # old encodings come to 0.45 where they are Japanese or Cyrillic, and else stay far below
    return sum(map(len, _UTF_8.findall(data))) > 0.55 * sum(map(len, _HIGH.findall(data)))


def _mended(data: bytes, cut: bool) -> str:
    whole = _SURROGATES.sub(
        lambda two: two[0].decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16").encode(),
        data.replace(b"\xc0\x80", b""),
    )
    return codecs.getincrementaldecoder("utf-8")("replace").decode(whole, final=not cut)


# fmt: off
_LATIN: Final = {
    "en": ("’|éï|èêñçöüàáâôëîæœ“”‘…", "the you to and of is that it what we this for have not me my be with are on"),
    "fr": ("éèàê’|çùâôîœ«»\xa0|ûëïæ", "je de est pas le vous la tu que un il et les en on une ce ne pour des qui dans"),
    "de": ("üäöß||éàè", "ich sie das ist du nicht die und es der wir was zu er ein in mit mir den wie ja auf mich"),
    "es": ("áéíóñ¿¡|ú|üç", "que de no la el es en lo un por me una te los se con para mi eso las su yo del tu al como"),
    "pt": ("ãéçáó|íêõú|àâôü", "que de no um uma com para se eu isso mas os ele bem do da em por na sim vai me ela"),
    "it": ("èàòù’é|ì|î", "che di non la il un mi ho per una sono ma ti lo si ha cosa con no le io del da qui bene"),
    "nl": ("éë|ïèö|üêáóçà", "ik je het de is dat een niet en van we wat in ze op te hij zijn er maar me die heb voor"),
    "sv": ("äåö|é|àüá", "jag det du inte att en och har vi han som vad den mig med till om ett kan ska hon dig var nu"),
    "da": ("øåæ|é|öüòôèêóâä", "jeg det er du ikke at en og har vi til han hvad med som den mig kan der for dig skal"),
    "fi": ("äö|å|éšž", "on ei se en ja ole mutta minun niin hei olen nyt sinun mene kun oli jos joka siis sen ovat"),
    "is": ("íáðóéú|öþæý", "er og ekki en hann vi hvar til var um sem hvernig ekkert eru af svo hefur eins minn og mig"),
    "ca": ("àéèóí|çòúï·|ü", "que de no la el en un per una els amb les es ho jo molt del ha al com aquest tot dels"),
    "pl": ("łęóąż|śćńź|éü", "nie to jest na co do mnie jak ale tak mi o za tego ci po dla czy ty od ma mam go tu z w"),
    "cs": ("áíěéšž|ýčřů|úťďňóö", "je to se na co ne jsem jsi do jak ale si tak mi za ho jo tady pro jsme by jen kde"),
    "sk": ("áíéýšž|čľúťň|ôäďóĺŕě", "je to sa na nie som si do ako ale tak mi za ho pre by len kde ty ta v ten sme bol"),
    "hu": ("áéöőóü|íúű|ä", "a az nem hogy is ez egy meg van csak mi igen de ha jól itt el kell ezt most mit nem vagy"),
    "ro": ("ăîâşţșț||é", "nu de ce la un este cu pe am mai o sunt din te asta ai fi bine da pentru au lui sau se si"),
    "hr": ("čšž|ćđ|é", "je da se ne to na sam u mi i za ti si ali kako ja li sve samo me ovo su od te ako bi smo on"),
    "tr": ("ıüş|öğçİ|âîû", "bir bu ne ve de mi da ben sen var bana evet ama o seni beni sana gibi daha biliyorum iyi"),
    "lt": ("ėšųž|įąčūę|", "ir kad ne tai kaip yra bet man su tu ar ji mes jis iki labai buvo jie manau ko"),
    "lv": ("āšēīž|ūņļčķģ|ŗō", "un ir ka ne es tu kas par bet man vai tas ar mums viss tikai kur vi"),
    "et": ("äõüö||šž", "on ja ei see ma et sa mis kui oma ta seda siis mind aga nii oli sind mul kas siin me olen"),
    "vi": ("đôàưêáơâ\u0300\u0301\u0323|\u0309\u0303ăúìóíùéãòè|ýõ", "anh em con ta cho sao ra hai khi xin ba trong"),
    "sq": ("ë|ç|é", "dhe ne nuk se do me nga por ka ky"), "eo": ("ĉĝŭ|ĵŝĥ", "la mi estas ne kaj de vi al ni en kun"),
}
"""Letters that ASCII lacks, the frequent ones, the less frequent and the rare, and words that have no such letters."""
_GROUPS: Final = (1.8, 3.2, 5.0)
_SCRIPTS: Final = {
    "ru": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфёъ", "uk": "оанивітеркслдупмзябьгйчхцжєїшюфщґ",
    "bg": "аоеитнрсвлдпкмзяъбугчжйцшхщюфь", "sr": "аоиејнтсрдвукмлпгзбшжчхцњћљђфџ",
    "mk": "аоеитнрсвдлкпмзујгчбшцжќѓфхљњџ", "be": "аніерсотклудымпяцвзгбйшчьжхыюэўёіф",
    "el": "αοιετσνηυρκπμλςάίδθγόέήχύώφβωξζψϊΐϋ", "he": "יולאהתמרבשנעםכדחקפטגןסצזךףץ",
    "ar": "اليمونرتبعدهسفكةحقجأشصىطخضذثءزغظإئآؤ", "fa": "ايرندهومتسبشكلزخفگقحپعچجآصطغضذئثظءژأؤ",
    "th": "านรอกเงมย่ลวดท้สตะปบคหัแจพชขใไีโผิืุ็ูซถำศญธณษภฟฉ์ฐฮๆฝ",
}
"""The letters of other scripts, the most frequent first."""
_COSTS: Final = {
    **dict.fromkeys("“”’…–—«»„‘‚‹›″", 4.0), **dict.fromkeys("\xa0°№´·", 5.0), **dict.fromkeys("ŧŦŋŊðÐþÞ", 8.5),
    **dict.fromkeys("¿¡©®™€£§½º²ª×•\xad\u200e\u200f\u200c♪", 6.5),
}
_CODE_PAGES: Final = {name: cost for cost, names in {
    0.0: "cp1252", 0.5: "cp1250 cp1251 cp1253 cp1255 cp1256 cp874", 0.7: "cp1254 cp1257",
    1.0: "cp1258 iso8859_2 koi8_r", 2.0: "iso8859_5 iso8859_6 iso8859_13 cp850 cp852 cp437",
    1.5: "koi8_u iso8859_7 iso8859_8 iso8859_9 cp866", 5.0: "iso8859_16 mac_croatian mac_romanian cp860 cp861 cp863",
    3.0: "iso8859_4 iso8859_10 mac_cyrillic mac_roman cp857 cp775 cp737 cp862 cp1125",
    4.0: "iso8859_15 iso8859_3 iso8859_14 cp855 mac_latin2 mac_turkish mac_greek mac_iceland cp869 cp720 cp865",
}.items() for name in names.split()}
"""How much rarer than cp1252 each is, in nats."""
_RULES: Final = {
    5.0: (b"LN", b"NL", b"MN", b"NM"), 4.0: (b"LqL", b"MqL", b"LqM", b"MqM", b"NqN", b" oN"), 1.2: (b"MM",),
    2.5: (b" M ", b"Ls", b"sL", b"Ms", b"sM", b"Ns", b"sN"),
}
"""What neighbours cost: Latin letters of ASCII and beyond, other letters, quotation marks, apostrophes, symbols."""
_COMMON: Final = {
    "zh": "的是不我一了在你有这他们来到说大个上也子人时得就那要下以会可出生能着过看没好什么想吗吧她知道去为很都和起还里"
    "天家自己让现真呢啊给把太只后样多谁怎回见做开点快从些這們來說個時會著過沒麼嗎為還裡讓現，。？！：“”…、「」",
    "ja": "、。？！…「」ー人何私今日本大事言見行来知思時気者分生出手前中自会間話上先子俺君待僕彼女好一二三",
    "ko": "이다는가을에지고나의하어그로도한아사리자기대시해서은니내거있를수만너게면인들제일보여말안정러마야당우라것"
    "았었오무데원바스겠습까네요님줘알좀왜뭐없했됐잖저든생각같세부전주모두돼려와신때문람못할건선돌",
}
_MULTIBYTE: Final = {
    "gb18030": ("zh", "gb2312", 0xD8, 0.5), "cp950": ("zh", "big5", 0xC7, 0.5),
    "big5hkscs": ("zh", "big5", 0xC7, 2.0), "johab": ("ko", "euc_kr", 0xC9, 5.0), "cp932": ("ja", "euc_jp", 0xD0, 0.5),
    "euc_jp": ("ja", "euc_jp", 0xD0, 1.0), "cp949": ("ko", "euc_kr", 0xC9, 0.5),
}
"""The language of each, the encoding whose first level holds the frequent characters, the byte it ends before, nats."""
# fmt: on


@lru_cache(maxsize=1)  # every reader that sniffs asks for the same file
def _detect(sample: bytes) -> str:
    """Return the encoding in which the high bytes of `sample` are likeliest; nothing where none is likely."""
    high = Counter(b"".join(_HIGH.findall(sample)))
    priors = _priors(sample, high.total())
    costs = {name: _double_cost(name, sample) for name in _MULTIBYTE}
    for name in _CODE_PAGES:
        costs[name] = _single_cost(name, sample, high, priors, min(costs.values()))
    best = min(costs, key=costs.__getitem__)
    return best if costs[best] <= 7 * high.total() + 6 else ""  # real text comes to 5.5


def _sample(data: bytes) -> bytes:
    """Return the first lines that have high bytes."""
    pieces, size, place = [b""], 0, 0  # a line end before each
    while size < SAMPLE and (found := _HIGH.search(data, place)):
        start = max(data.rfind(b"\n", place, found.start()) + 1, place, found.start() - 500)
        end = data.find(b"\n", found.end(), start + 4000)
        place = end if end >= 0 else start + 4000
        pieces.append(data[start:place])
        size += place - start
    return b"\n".join(pieces)


def _priors(sample: bytes, size: int) -> dict[str, float]:
    """Return what each language costs, by the words around the high bytes."""
    words = Counter(re.findall(rb"(?<![\x80-\xffa-z])[a-z]{1,12}(?![\x80-\xffa-z])", sample.lower()))
    hits = {name: sum(words[word.encode()] for word in set(listed.split())) for name, (_, listed) in _LATIN.items()}
    most = max(hits.values())
    few = 1 + 0.05 * most
    return {name: 0.7 * (size + 3) * log((most + few) / (count + few)) for name, count in hits.items()}


@cache
def _letter_costs() -> dict[str, dict[str, float]]:
    """Return by language what each of its letters costs: minus the logarithm of its share, roughly."""
    found = {}
    for name, (alphabet, _) in _LATIN.items():
        found[name] = {char: cost for cost, group in zip(_GROUPS, alphabet.split("|"), strict=False) for char in group}
    for name, letters in _SCRIPTS.items():
        found[name] = {char: 2.2 + 3.8 * rank / len(letters) for rank, char in enumerate(letters)}
    for name, costs in [*found.items()]:
        capitals = {char.upper(): cost for char, cost in costs.items()}
        found[name] = {char: cost + 2.5 for char, cost in capitals.items()} | costs
        found[name.upper()] = {char: cost + 2.5 for char, cost in costs.items()} | capitals  # where all is shouted
    return found


def _traits(char: str) -> tuple[str, str, float]:
    """Return letters for a character's case and for its kind among neighbours, and its cost where it is foreign."""
    kind = unicodedata.category(char)
    if kind[0] == "L" and char not in "ªºƒµ":
        case = "A" if char.isupper() else "a" if char.islower() else "h"
        place = "L" if char < "\x80" else "M" if char < "\u0250" else "N"
        return case, place, _COSTS.get(char, 9.0 if place == "N" else 7.5)
    if kind == "Mn":
        return "h", " " if char < "\u0370" else "N", 9.5
    cost = _COSTS.get(char, 14.0 if kind[0] == "C" or char == "\ufffd" else 9.5)
    place = " " if char < "\x80" else "o" if char in "’´\u200c\xad·" else "q" if kind[0] in "PZ" else "s"
    return " ", place, cost


@cache
def _page(name: str) -> tuple[str, bytes, bytes, dict[str, float]]:
    """Return the characters of a code page, its two tables of traits, and what its characters cost anywhere."""
    chars = bytes(range(256)).decode(name, "replace")
    cases, places, costs = zip(*map(_traits, chars), strict=True)
    return chars, "".join(cases).encode(), "".join(places).encode(), dict(zip(chars[128:], costs[128:], strict=True))


def _single_cost(name: str, sample: bytes, high: Counter[int], priors: dict[str, float], most: float) -> float:
    chars, cases, places, anywhere = _page(name)
    counts = {chars[byte]: count for byte, count in high.items()}
    base = _CODE_PAGES[name] + sum(anywhere[chars[byte]] * count for byte, count in high.items())
    lowest = base + max(priors.values())
    for language, costs in _letter_costs().items():
        gain = sum((costs[char] - anywhere[char]) * count for char, count in counts.items() if char in costs)
        lowest = min(lowest, base + gain + priors.get(language.lower(), 0.0) + 6.0 * language.isupper())
    if lowest > most:  # neighbours only add to it
        return lowest
    shape = sample.translate(cases)
    lowest += 4 * shape.count(b"aA") + 2 * shape.count(b"AAa")
    shape = sample.translate(places)
    return lowest + sum(cost * sum(map(shape.count, patterns)) for cost, patterns in _RULES.items())


def _double_cost(name: str, sample: bytes) -> float:
    language, codec, end, cost = _MULTIBYTE[name]
    counts = Counter(char for char in sample.decode(name, "replace") if char >= "\x80")
    return cost + sum(count * _character_cost(char, language, codec, end) for char, count in counts.items())


def _character_cost(char: str, language: str, codec: str, end: int) -> float:
    if char in _COMMON[language]:
        return 5.0
    if "\u3041" <= char <= "\u30ff":
        return 4.2 if language == "ja" else 20.0
    if char in "　．・～『』《》〈〉—（）；０１２３４５６７８９♪":
        return 7.5
    kind = unicodedata.category(char)
    try:
        return 14.0 if kind != "Lo" else 8.2 if char.encode(codec)[0] < end else 12.0
    except UnicodeEncodeError:
        return 20.0 if kind[0] == "C" or char == "\ufffd" else 16.0


def text_lines(stream: BinaryIO) -> Iterator[str | Lost]:
    """Yield the lines of a file of any encoding and size, without their ends: `\\n`, `\\r\\n` and `\\r` alone.

    The encoding is that of the first part that is not ASCII. A line that is in another one, or too long, is a `Lost`.

    Raises:
        ValueError: where it is no text.
    """
    for number, line in enumerate(_lines(stream), 1):
        yield Lost(line.cause, number) if isinstance(line, Lost) else line


def _lines(stream: BinaryIO) -> Iterator[str | Lost]:
    head = stream.read(CHUNK)
    found = _decode(head, True)[1] if head.startswith(tuple(_MARKS)) or 0 in head else ""
    wide, encoding = (found, "utf-8") if found.startswith(("utf-16", "utf-32")) else ("", "")
    for block in _blocks(_chunks(head, stream, wide)):
        if isinstance(block, Lost):
            yield block
            continue
        if not encoding and (not block.isascii() or b"\x1b$" in block):
            encoding = _decode(block, False)[1]
        yield from _decoded_lines(block.removesuffix(b"\n"), encoding or "ascii")


def _chunks(head: bytes, stream: BinaryIO, wide: str) -> Iterator[bytes]:
    """Yield what the file holds, UTF-16 and UTF-32 as UTF-8; what is broken in them is broken in that too."""
    decoder = codecs.getincrementaldecoder(wide)("surrogatepass") if wide else None
    chunk = head if wide else head.removeprefix(codecs.BOM_UTF8)
    try:
        while chunk:
            chunk = decoder.decode(chunk).encode("utf-8", "surrogatepass") if decoder else chunk
            yield chunk.replace(b"\0", b"")
            chunk = stream.read(CHUNK)
        yield decoder.decode(b"", True).encode() if decoder else b""
    except UnicodeDecodeError:
        yield b"\xff"


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes | Lost]:
    """Yield whole lines, many at a time, `\\n` behind each but perhaps the last; `Lost` for one too long."""
    rest, skipping = b"", False
    for chunk in chunks:
        rest += chunk
        held = 2 if rest.endswith(b"\r\r") else int(rest.endswith(b"\r"))  # what comes next may belong to it
        stop = 1 + max(rest.rfind(end, 0, len(rest) - held) for end in (b"\n", b"\r"))
        block, rest = _with_unix_ends(rest[:stop]), rest[stop:]
        if skipping and block:
            block, skipping = block.partition(b"\n")[2], False
        if block:
            yield block
        if len(rest) > LONGEST_LINE:
            if not skipping:
                yield _TOO_LONG
            rest, skipping = rest[len(rest) - held :], True
    rest = _with_unix_ends(rest)
    if last := rest.partition(b"\n")[2] if skipping else rest:
        yield last


def _with_unix_ends(data: bytes) -> bytes:
    return data.replace(b"\r\r\n", b"\r\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _decoded_lines(block: bytes, encoding: str) -> Iterator[str | Lost]:
    if len(block) <= LONGEST_LINE and encoding not in _CODE_PAGES:
        with suppress(UnicodeDecodeError):
            yield from _composed(block.decode(encoding), encoding).split("\n")
            return
    for line in block.split(b"\n"):
        # a file put together from others may hold both; letters that single bytes stand for never look like UTF-8
        kind = "utf-8" if encoding in _CODE_PAGES and _is_broken_utf_8(line) else encoding
        try:
            yield _TOO_LONG if len(line) > LONGEST_LINE else _composed(line.decode(kind), kind)
        except UnicodeDecodeError:
            yield Lost("not UTF-8" if encoding == "utf-8" else f"not {encoding}")

"""The readers `whatsapp` and `discord`: exported chats become dialogues, cut at silence and at what has no text."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, islice, pairwise
from typing import Any, BinaryIO

from s2sbot import Dialogue, Lost, Origin, Turn, decode_text, first_character, hookimpl, json_elements, text_lines

WHATSAPP_SILENCE, DISCORD_SILENCE = 6 * 3600.0, 30 * 60.0
"""Seconds without a message after which the next one answers nothing."""
SNIFFED, MOST_HELD = 8 * 2**10, 20_000
"""Bytes that say what a file is, and messages whose dates tell the order of day and month."""
MOST_MESSAGES, LARGEST_DIALOGUE, LARGEST_MESSAGE = 10_000, 4 * 2**20, 64 * 2**10
"""Messages and characters of a dialogue, which goes on in another; characters of a message, or before the first."""


def _head(head: bytes) -> str:
    """Return the beginning of a file; no letter of an old encoding is needed to know it."""
    try:
        text = decode_text(head[:SNIFFED], cut=True)[0] if 0 in head else head[:SNIFFED].decode("utf-8", "ignore")
    except ValueError:
        return ""
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


_SPACE = "[ \\t\\xa0\\u2009\\u202f]"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MOMENT = (
    rf"(?P<first>\d{{1,4}})(?P<separator>[./-]){_SPACE}?(?P<second>\d{{1,2}}|(?i:{'|'.join(_MONTHS)}))(?P=separator)"
    rf"{_SPACE}?(?P<third>\d{{1,4}})\.?[,،]?{_SPACE}{{1,3}}(?:(?P<before>[^\W\d_]{{1,6}}\.?){_SPACE}{{0,3}}){{0,2}}"
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<of>\d{2}))?"
    rf"(?:{_SPACE}?(?P<after>[^\W\d_]{{1,4}}(?:\.{_SPACE}?[^\W\d_]{{1,2}})?\.?))?"
)
_MORNING = frozenset({"am", "πμ", "ص", "قظ", "오전", "上午", "午前", "凌晨", "早上"})
_EVENING = frozenset({"pm", "μμ", "م", "بظ", "오후", "下午", "午後", "晚上"})
_Order = tuple[int, int, int]
YEAR_FIRST, DAY_FIRST, MONTH_FIRST = (0, 1, 2), (2, 1, 0), (2, 0, 1)
"""Where year, month and day stand among the three numbers of a date."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """A date as three numbers in the order they are written in, and the seconds of a day, perhaps of two `halves`."""

    numbers: _Order
    seconds: float
    separator: str = "-"
    halves: bool = False

    def since(self, order: _Order) -> float | None:
        """Return the seconds since the year 0, or None where there is no such day."""
        year, month, day = (self.numbers[place] for place in (YEAR_FIRST if self.numbers[0] > 31 else order))
        try:
            return datetime(year + 2000 if year < 100 else year, month, day).toordinal() * 86400.0 + self.seconds
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class _Message:
    """A message as it stands in a file; without a speaker nobody sent it, without a text it has nothing to learn."""

    line: int
    when: _Moment
    speaker: str | None
    text: str


_Found = _Message | Lost


def _moment(match: re.Match[str]) -> _Moment:
    """Return the moment that the groups of `_MOMENT` tell."""
    group = match.groupdict()
    month = group["second"].lower()
    named = month in _MONTHS
    words = {re.sub(r"[\W_]+", "", group[name].lower()) for name in ("before", "after") if group[name]}
    hour, minute, second = int(group["hour"]), int(group["minute"]), int(group["of"] or 0)
    halves = bool(words & (_MORNING | _EVENING))
    hour = hour % 12 + 12 * bool(words & _EVENING) if halves and hour <= 12 else hour
    numbers = (int(group["first"]), _MONTHS.index(month) + 1 if named else int(month), int(group["third"]))
    return _Moment(numbers, hour * 3600.0 + minute * 60 + second, "" if named else group["separator"], halves)


def _when(text: str) -> _Moment | None:
    """Return the moment that a text is, in one of those ways or in that of ISO 8601."""
    if match := re.fullmatch(_MOMENT, text):
        return _moment(match)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    since = timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second, microseconds=moment.microsecond)
    return _Moment(moment.timetuple()[:3], (since - (moment.utcoffset() or timedelta(0))).total_seconds())


def date_order(moments: Sequence[_Moment]) -> _Order:
    """Return the order of the numbers in the dates of a file; where a year comes first it needs no order.

    A month's name decides; or else which order has fewer months above 12, steps back in time and days from first to
    last; or else how dates are written.
    """
    moments = [moment for moment in moments if moment.numbers[0] <= 31]
    if not moments or not moments[0].separator:
        return DAY_FIRST
    costs = []
    for order in (DAY_FIRST, MONTH_FIRST):
        dates = [[one.numbers[place] for place in order] for one in moments]
        days = [372 * year + 31 * month + day for year, month, day in dates]
        steps = [later - earlier for earlier, later in pairwise(days)]
        costs.append((sum(month > 12 for _, month, _ in dates), sum(step < 0 for step in steps), sum(map(abs, steps))))
    if costs[0] != costs[1]:
        return DAY_FIRST if costs[0] < costs[1] else MONTH_FIRST
    return MONTH_FIRST if moments[0].separator == "/" and any(moment.halves for moment in moments) else DAY_FIRST


def _dialogues(messages: Iterator[_Found], name: str, silence: float) -> Iterator[Dialogue | Lost]:
    """Yield dialogues, each turn what one person writes before another; what is lost or has no text ends one."""
    held = list(_first(messages))
    order = date_order([message.when for message in held if isinstance(message, _Message)])
    turns: list[tuple[float, list[_Message]]] = []
    first: float | None = None
    last, count, size = 0.0, 0, 0

    def ended() -> Iterator[Dialogue]:
        if turns:
            said = (Turn("\n".join(one.text for one in part), part[0].speaker, start) for start, part in turns)
            yield Dialogue(tuple(said), Origin(name, line=turns[0][1][0].line))
            turns.clear()

    for message in chain(held, messages):
        seconds = message.when.since(order) if isinstance(message, _Message) else None
        if isinstance(message, Lost) or seconds is None:
            yield from ended()
            yield message if isinstance(message, Lost) else Lost("there is no such date", message.line)
            continue
        first = seconds if first is None else first
        if message.speaker is None:
            continue
        said = message.speaker and message.text
        if not said or abs(seconds - last) > silence or count == MOST_MESSAGES or size > LARGEST_DIALOGUE:
            yield from ended()
            count, size = 0, 0
        if said:
            last, count, size = seconds, count + 1, size + len(message.text)
            if not turns or turns[-1][1][0].speaker != message.speaker:
                turns.append((seconds - first, []))
            turns[-1][1].append(message)
    if first is None:
        raise ValueError("no message in it")
    yield from ended()


def _first(messages: Iterator[_Found]) -> Iterator[_Found]:
    """Yield so many messages that their dates tell enough, and no more than can be held."""
    size = 0
    for message in islice(messages, MOST_HELD):
        yield message
        if (size := size + (len(message.text) if isinstance(message, _Message) else 0)) > LARGEST_DIALOGUE:
            return


def _gathered(lines: Iterable[_Found | str], written: Callable[[_Message], _Message]) -> Iterator[_Found]:
    """Yield the messages that begin in some lines, each what `written` makes of it with the lines that follow."""
    entry: _Message | None = None
    texts: list[str] = []
    size = 0
    for number, line in enumerate(lines, 1):
        if entry and not isinstance(line, str):
            yield written(replace(entry, text="\n".join(texts)))
        if isinstance(line, Lost):
            yield line
            # what follows may belong to a message that began in the lost line
            entry, texts = entry and replace(entry, speaker=None), []
        elif isinstance(line, _Message):
            entry, texts, size = line, [line.text], len(line.text)
        elif (size := size + len(line) + 1) <= LARGEST_MESSAGE:
            if entry is None and line.strip() and not texts:
                yield Lost("text before the first message", number)
            texts += [line] * bool(entry or line.strip())
        elif entry is None:
            return
        elif entry.speaker:
            yield Lost(f"a message of more than {LARGEST_MESSAGE} characters", entry.line)
            entry, texts = replace(entry, speaker=None), []
    if entry:
        yield written(replace(entry, text="\n".join(texts)))


_LINKS = re.compile(r"(?i)\s*(?:(?:https?://|www\.)\S*(?:\s+|$))*")
_MARKS = re.compile("[\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ufeff]")
_MENTION = re.compile("@\\u2068[^\\u2069\\n]{0,100}\\u2069|(?<!\\w)@\\d{6,20}(?!\\w)")
_STAMP = re.compile(rf"(?P<bracket>\[)?{_MOMENT}(?(bracket)\]{_SPACE}?|{_SPACE}[-–—]{_SPACE})")
_ENDING = r"\.(?:jpe?g|png|webp|gif|heic|mp4|mov|3gp|opus|ogg|m4a|mp3|aac|pdf|vcf|docx?|xlsx?|pptx?|csv|txt|zip|apk)"
_ADDED = re.compile(
    rf"(?i)(?:(?:\u200e<[^<>]{{1,200}}>|<[^\W\d][^<>:]{{1,30}}: [^<>/]{{1,200}}{_ENDING}>|<(?:this message was edited|"
    r"diese nachricht wurde bearbeitet|se editó este mensaje|ce message a été modifié|questo messaggio è stato "
    r"modificato|(?:esta )?mensagem (?:foi )?editada|dit bericht (?:is|werd) bewerkt|bu mesaj düzenlendi|"
    r"(?:(?:данное|это) )?сообщение (?:было )?изменено)\.?>)\s{0,3}){1,4}$"
)
"""What the program puts behind a message, below the left-to-right mark in any language: a file, that it was edited."""
_NOTICE = re.compile(
    r"(?i)(?:(?:.{1,255}•.{0,40} )?(?:image|video|photo|audio|gif|sticker|document|contact card|bild|dokument|"
    r"kontaktkarte|imagen|vídeo|documento|vidéo|immagine|imagem|áudio|afbeelding|изображение|видео) (?:omitted|"
    r"weggelassen|ausgelassen|omitid[oa]|ocultad[oa]|omise?|absente?|omess[oa]|esclus[oa]|weggelaten|отсутствует)|"
    rf"[^\s/:<>|]{{1,255}}{_ENDING} \([^()]{{1,40}}\)|[^/:<>|\n]{{1,255}}{_ENDING} \((?:file attached|datei angehängt|"
    r"archivo adjunto|fichier joint|file allegato|(?:arquivo|ficheiro) anexado|bestand bijgevoegd|файл добавлен|dosya "
    r"ekli)\)|<(?:media omitted|medien ausgeschlossen|multimedia omitido|médias omis|(?:arquivo de )?mídia ocult[ao]|"
    r"ficheiro não revelado|media omessi|media weggelaten|без медиафайлов|medya dahil edilmedi|pominięto multimedia|"
    r"media tidak disertakan|メディア(?:なし|は含まれていません)|(?:省略|忽略)(?:多媒體檔案|多媒体文件))>|"
    r"this message was deleted(?: by admin .*)?|you deleted this message|(?:du hast )?(?:diese )?nachricht (?:wurde )?"
    r"gelöscht|(?:se eliminó|eliminaste) este mensaje|este mensaje fue eliminado|(?:ce )?message (?:a été )?supprimé|"
    r"(?:vous avez|tu as) supprimé ce message|questo messaggio è stato eliminato|hai eliminato questo messaggio|"
    r"(?:esta )?mensagem (?:foi )?apagada|(?:você )?apagou esta mensagem|dit bericht is verwijderd|"
    r"(?:данное|это) сообщение удалено|вы удалили (?:данное|это) сообщение|missed (?:voice|video) call|"
    r"waiting for this message\. this may take a while|live location shared|"
    r"(?:live )?(?:location|standort|ubicación|position|posizione): https?://maps\.google\.\S+)\.?"
)
"""What the program writes in a person's name and no person would: media left out, files, deletions, calls, places."""
_CAPITALS = r"[A-ZÀ-ÞА-Я]{2,15}\s?:\s"
_POLL = re.compile(rf"{_CAPITALS}(?s:.*)(?<=\s){_CAPITALS}.{{1,200}} \(\d{{1,5}} \w{{1,20}}\)")
"""A poll in any language: `POLL:`, the question, and options, as `OPTION: Mon (0 votes)`."""


class WhatsApp:
    """Reads the text exports of WhatsApp on Android and iOS, in the date formats of most languages.

    Notices that nobody sent, mentions, and that a message was edited go. Media, deletions, calls, polls and messages of
    links alone end a dialogue. One order of dates is found for the whole file.
    """

    def sniff(self, head: bytes, name: str) -> float:
        """Look for lines that begin with a moment and a name."""
        lines = [line for line in _head(head).split("\n")[:300] if line.strip()]
        stamped = [entry for entry in (_stamped(number, line) for number, line in enumerate(lines)) if entry]
        named = sum(1 for entry in stamped if entry.speaker)
        if not named or 2 * named < len(stamped) or 10 * len(stamped) < len(lines):
            return 0.0
        return 0.95 if named > 2 else 0.3 * named

    def read(self, stream: BinaryIO, name: str) -> Iterator[Dialogue | Lost]:
        """Yield dialogues, cut also where nobody writes for more than six hours; their lines are those of the file."""
        lines = enumerate(text_lines(stream), 1)
        begun = (line if isinstance(line, Lost) else _stamped(number, line) or line for number, line in lines)
        yield from _dialogues(_gathered(begun, _written), name, WHATSAPP_SILENCE)


def _stamped(number: int, line: str) -> _Message | None:
    """Return the message or notice that begins with `line`, its text still as it stands."""
    # Arabic dates have marks between their numbers, which mean nothing elsewhere either
    bare = line.replace("\u200f", "").replace("\u061c", "").lstrip("\u200e\u202a\u202b\u202c\u202d\u202e\ufeff ")
    if (match := _STAMP.match(bare)) is None:
        return None
    speaker, colon, text = bare[match.end() :].partition(":")
    speaker = _MARKS.sub("", speaker).strip().lstrip("~").strip()
    # a colon inside a quotation, or a web address, belongs to a notice
    notice = not colon or len(speaker) > 60 or re.search('["“”„«»]', speaker) or (text and not text[0].isspace())
    return _Message(number, _moment(match), None if notice else speaker, "" if notice else text[1:])


def _written(message: _Message) -> _Message:
    """Return what a person wrote; a line that begins with a left-to-right mark is the program's own."""
    bare = _MARKS.sub("", message.text).strip()
    if _POLL.fullmatch(bare) or _NOTICE.fullmatch(bare):
        return replace(message, text="")
    if message.text.startswith("\u200e") and bare.lstrip("~\u202f ").startswith(f"{message.speaker} "):
        return replace(message, speaker=None)  # on iOS those who join have their names there, but nobody sent it
    own = (line for line in message.text.split("\n") if not line.startswith("\u200e"))
    lines = (_MARKS.sub("", _ADDED.sub("", _MENTION.sub("", line))).strip() for line in own)
    kept = [line for line in lines if line and not _NOTICE.fullmatch(line)]
    return replace(message, text="" if _LINKS.fullmatch(" ".join(kept)) else "\n".join(kept))


_HEADER = re.compile(r"\[([^\[\]]{6,40})\] (\S.{0,120})$")
_BLOCK = re.compile(r"\{(?:Attachments|Embed|Stickers|Reactions|Poll|Forwarded Message|Inline Emoji)\}")
_GUILD = re.compile(r"\s*={20,}\n(?:Guild|Server): .*\nChannel: ")
_CSV = re.compile(r"\"?AuthorID\"?,\"?Author\"?,\"?Date\"?,\"?Content\b")
_JSON = re.compile(r'"(guild|channel|messages)"\s*:')
_CODE = re.compile(r"<(?:a?:\w{1,64}:|@[!&]?|#|t:-?|/[^<>:]{1,64}:)\d{1,25}(?::\w)?>")
_EMOJI = re.compile(r"(?<![\w:]):[A-Za-z0-9_~+-]{2,40}:(?![\w:])")
_AT = re.compile(r"(?<![\w@])@[\w.#-]{2,40}")
_DONE = re.compile(
    r"(?:Joined the server|Pinned a message|Started a thread.*|Added .* to the group|Left the group|"
    r"Removed .* from the group|Changed the channel (?:name|icon).*|Boosted the server.*)\.?"
)
_CALL = re.compile(r"Started a call(?: that lasted .*)?\.?")


class Discord:
    """Reads what DiscordChatExporter writes: plain text, CSV, and JSON, which is streamed.

    Notices that nobody sent, mentions and codes of emoji go. Calls, messages of attachments or links alone, and those
    of bots where the file tells them apart, end a dialogue. In JSON the line of a dialogue is its message's number.
    """

    def sniff(self, head: bytes, name: str) -> float:
        """Look for the beginning of each of the three formats, or for lines with a moment and a name alone."""
        text = _head(head)
        keys = set(_JSON.findall(text)) if text.lstrip().startswith("{") else set()
        if _GUILD.match(text) or _CSV.match(text) or len(keys) == 3:
            return 0.95
        headers = sum(_header(1, line) is not None for line in text.split("\n")[:300])
        return 0.8 if headers > 2 else 0.2 * headers

    def read(self, stream: BinaryIO, name: str) -> Iterator[Dialogue | Lost]:
        """Yield dialogues, cut also where nobody writes for more than half an hour."""
        first, stream = first_character(stream)
        lines = text_lines(stream)
        if first == "{":
            messages = _discord_json(stream)
        elif isinstance(begin := next(lines, ""), str) and _CSV.match(begin):
            messages = _discord_csv(lines)
        else:
            messages = _gathered(_discord_text(chain([begin], lines)), _plain)
        yield from _dialogues(messages, name, DISCORD_SILENCE)


def _header(number: int, line: str) -> _Message | None:
    """Return the message that begins with `line`, still without its text."""
    match = _HEADER.match(line)
    when = _when(match[1]) if match else None
    return _Message(number, when, match[2].removesuffix(" (pinned)").strip(), "") if match and when else None


def _discord_text(lines: Iterable[str | Lost]) -> Iterator[_Found | str]:
    """Yield the messages that begin in a line below a blank one, and all other lines, those of attachments as empty."""
    blank, attached = True, False
    for number, line in enumerate(lines, 1):
        if isinstance(line, Lost):
            yield line
            continue
        begun = _header(number, line) if blank else None
        ruled = line.startswith("=" * 20)
        attached = not begun and (attached or ruled or (blank and _BLOCK.fullmatch(line) is not None))
        yield begun or ("" if attached else line)
        blank = not line.strip() or ruled


def _discord_csv(lines: Iterable[str | Lost]) -> Iterator[_Found]:
    """Yield the messages below the first line; one of which a line is lost, which a zero byte marks, is lost."""
    rows = csv.reader((f"\0{line.cause}\n" if isinstance(line, Lost) else f"{line}\n" for line in lines), strict=True)
    line = 2
    try:
        for row in rows:
            lost = "".join(row).partition("\0")[2].partition("\n")[0]
            when = _when(row[2]) if len(row) > 3 else None
            if when and not lost:
                yield _plain(_Message(line, when, row[1].strip(), row[3]))
            elif row:
                yield Lost(lost or "no message", line)
            line = rows.line_num + 2
    except csv.Error as error:
        yield Lost(f"breaks off: {error}", line)


def _discord_json(stream: BinaryIO) -> Iterator[_Found]:
    """Yield the messages, as they come."""
    number = 0
    try:
        for number, (_, item) in enumerate(json_elements(stream, under="messages"), 1):
            yield _message(item, number)
    except ValueError as error:
        if not number:
            raise
        yield Lost(f"breaks off: {error}", number + 1)


def _message(item: Any, number: int) -> _Found:
    """Return a message of the JSON export, without a speaker where nobody sent it, without a text where a bot did."""
    try:
        author, text, when = item["author"], item["content"], _when(item["timestamp"])
        if when is None:
            return Lost("a message without a time", number)
        bot, sent = author.get("isBot"), item.get("type", "Default") in ("Default", "Reply", "Call")
        names = [f"@{one.get('nickname') or one.get('name')}" for one in islice(item.get("mentions") or (), 100)]
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, "")
        return _plain(_Message(number, when, author["name"].strip() if sent or bot else None, "" if bot else text))
    except (AttributeError, KeyError, TypeError):
        return Lost("a message without time, author or content", number)


def _plain(message: _Message) -> _Message:
    """Return a message without codes and mentions, without a speaker where nobody sent it."""
    text = _AT.sub("", _EMOJI.sub("", _CODE.sub("", message.text)))
    text = "\n".join(line for line in (" ".join(line.split()) for line in text.split("\n")) if line)
    speaker = None if _DONE.fullmatch(text) else message.speaker
    return replace(message, speaker=speaker, text="" if _CALL.fullmatch(text) or _LINKS.fullmatch(text) else text)


@hookimpl
def register_readers() -> Mapping[str, type[WhatsApp] | type[Discord]]:
    """Offer `whatsapp` and `discord`."""
    return {"whatsapp": WhatsApp, "discord": Discord}

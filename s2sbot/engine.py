"""What somebody says goes in, the bot's reply comes out: `Bot`, and `Conversation` which remembers."""

from __future__ import annotations

import dataclasses
import logging
import secrets
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .bot import BotDescription, check_vocabulary, load_model, load_tokenizers, read_description
from .errors import BotError, SettingsError, shell_command
from .plugins import Plugins
from .settings import DecodeSettings, build, nearest
from .text.tokenizer import LONGEST_SOURCE, Tokenizer, encode_source

if TYPE_CHECKING:
    from .nn.decoding import Hypothesis
    from .nn.encoder_decoder import EncoderDecoder, State
    from .store import Message, Store

__all__ = ["Bot", "Conversation", "Reply"]

TRANSLATED_TOGETHER = 64
_log = logging.getLogger("s2sbot.engine")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a bot said.

    score    summed log-probability in nats
    seed     what repeats it; None where the search has no chance in it
    stopped  True where the user cut it short
    tokens   how many it has
    """

    text: str
    score: float
    seed: int | None = None
    stopped: bool = False
    tokens: int = 0


class Bot:
    """A trained bot, ready to talk or to translate; made by `s2sbot.load`."""

    def __init__(
        self, folder: Path, description: BotDescription, model: EncoderDecoder, tokenizers: tuple[Tokenizer, Tokenizer]
    ) -> None:
        self.folder = folder
        self.description = description
        self.model = model
        self.source_tokenizer, self.target_tokenizer = tokenizers

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto", plugins: Plugins | None = None) -> Bot:
        """Open a bot folder.

        Raises:
            BotError: where the folder is no bot, or is damaged.
            PluginError: where its model or tokenizer is not installed.
            DeviceError: where the device is not there.
        """
        plugins = plugins or Plugins()
        description = read_description(folder)
        try:
            return cls._open(folder, description, device, plugins)
        except BotError:
            # a bot that is still learning may have got new weights since its description was read
            now = read_description(folder)
            if now.weights == description.weights:
                raise
            return cls._open(folder, now, device, plugins)

    @classmethod
    def _open(cls, folder: Path, description: BotDescription, device: str, plugins: Plugins) -> Bot:
        tokenizers = load_tokenizers(folder, description.tokenizer, plugins, shared=description.shared)
        check_vocabulary(description, *tokenizers)
        return cls(folder, description, load_model(folder, description, plugins, device), tokenizers)

    @property
    def name(self) -> str:
        """Return the folder's name without `.bot`."""
        return self.folder.resolve().name.removesuffix(".bot")

    def decode_settings(self, **options: Any) -> DecodeSettings:
        """Return the bot's decoding defaults with some of them changed.

        Raises:
            SettingsError: for an unknown option or a value out of its limits.
        """
        return build(DecodeSettings, {**self.description.decode, **options}, "decode")

    def reply(self, text: str, **options: Any) -> Reply:
        """Answer one line, without any memory of others; `options` are those of the table `decode`.

        Raises:
            SettingsError: for an unknown option or a value out of its limits.
        """
        return self.conversation(**options).reply(text)

    def conversation(self, *, store: Store | None = None, resume: str | None = None, **options: Any) -> Conversation:
        """Begin a conversation, or go on with the stored one whose id `resume` is.

        With a `store` every turn is kept: the user's before the reply is generated, the reply when it ends.

        Raises:
            SettingsError: for an unknown option or a value out of its limits.
            StoreError: where the store has no such conversation.
        """
        return Conversation(self, self.decode_settings(**options), store, resume)

    def translate(self, lines: Iterable[str], **options: Any) -> list[str]:
        """Translate lines to as many lines; an empty one stays empty.

        Raises:
            SettingsError: for an unknown option or a value out of its limits.
            BotError: where the bot is no translator.
        """
        return list(self.translate_stream(lines, **options))

    def translate_stream(self, lines: Iterable[str], **options: Any) -> Iterator[str]:
        """Translate lines as they come, a batch at a time; raises as `translate` does."""
        from .nn.decoding import generate

        if self.description.kind != "translate":
            chat = shell_command("s2sbot", "chat", self.folder)
            raise BotError(f"{self.folder} talks, it does not translate", f"use `{chat}`")
        settings = self.decode_settings(**options)
        lines = iter(lines)
        while chunk := list(islice(lines, TRANSLATED_TOGETHER)):
            said = [line for line in chunk if line.strip()]
            sources = [encode_source(self.source_tokenizer, line.strip()) for line in said]
            for line, source in zip(said, sources, strict=True):
                if len(source) == LONGEST_SOURCE:
                    _log.warning("only the first %d tokens are read of the line %.40s...", LONGEST_SOURCE, line.strip())
            found = iter(generate(self.model, sources, settings))
            for line in chunk:
                yield self.target_tokenizer.decode(next(found).tokens).strip() if line.strip() else ""


class Conversation:
    """A dialogue with one bot: it keeps what was said, and hands it to the model as that was trained to take it."""

    def __init__(self, bot: Bot, settings: DecodeSettings, store: Store | None, resume: str | None) -> None:
        self.bot = bot
        self.settings = settings
        self.turns: list[str] = []
        self._store = store
        self._id: str | None = None
        self._carry: State = ()
        if resume is not None:
            if store is None:
                raise SettingsError("a conversation can only be resumed from a store", "pass store=Store.open()")
            self._resume(store, resume)

    @property
    def id(self) -> str | None:
        """Return the stored conversation's id; None before the first turn, and without a store."""
        return self._id

    def set(self, **options: Any) -> None:
        """Change decoding options from the next reply on.

        Raises:
            SettingsError: for an unknown option or a value out of its limits.
        """
        known = [option.name for option in dataclasses.fields(DecodeSettings)]
        for name in options:
            if name not in known:
                raise SettingsError(f"unknown option {name!r}", nearest(name, known))
        self.settings = build(DecodeSettings, {**dataclasses.asdict(self.settings), **options}, "decode")

    def restart(self) -> None:
        """Forget what was said; with a store, the next turn begins a conversation of its own."""
        self.turns.clear()
        self._id, self._carry = None, ()

    def reply(self, text: str) -> Reply:
        """Answer a line, and remember both."""
        answer = self.stream(text)
        while True:
            try:
                next(answer)
            except StopIteration as end:
                return cast(Reply, end.value)

    def stream(self, text: str) -> Generator[str, None, Reply]:
        """Yield the reply to a line piece by piece; the generator's return value is the `Reply`.

        Closing it early (as a KeyboardInterrupt in the loop over it does, when the caller closes it) stops the reply;
        what was said until then is kept and marked as stopped.
        """
        from .nn import decoding

        user = self._keep_user(text)
        settings, seed = self._seeded()
        data = self.bot.description.data_settings
        context = self.turns[-data.context_turns :] if data.context_turns else []
        source = encode_source(self.bot.source_tokenizer, text, context, most=data.max_length)
        shown, latest = "", None
        try:
            for latest in decoding.stream(self.bot.model, source, settings, carry=self._carry):
                whole = self.bot.target_tokenizer.decode(latest.tokens)
                # a piece may end inside a character; it is shown when it is whole
                if whole.startswith(shown) and not whole.endswith("\ufffd") and len(whole) > len(shown):
                    piece, shown = whole[len(shown) :], whole
                    yield piece
        except (GeneratorExit, KeyboardInterrupt):
            self._think(source, latest)
            self._keep_reply(user, self._finish(text, latest, seed, complete=False), settings)
            raise
        self._think(source, latest)
        reply = self._finish(text, latest, seed, complete=True)
        self._keep_reply(user, reply, settings)
        if reply.text[len(shown) :].strip() and reply.text.startswith(shown):
            yield reply.text[len(shown) :]
        return reply

    def _think(self, source: list[int], latest: Hypothesis | None) -> None:
        """Keep in mind what was said, up to its last word also where the reply was cut short."""
        from .nn import decoding

        if latest is None or not self.bot.description.mind:
            return
        if latest.complete:
            self._carry = latest.carry
        else:
            self._carry = decoding.carry_after(self.bot.model, source, latest, self._carry)

    def _seeded(self) -> tuple[DecodeSettings, int | None]:
        """Return the settings with a seed that can be written down, and that seed where chance has a part."""
        if self.settings.method != "sample":
            return self.settings, None
        base = (
            secrets.randbelow(2**31) if self.settings.seed is None else (self.settings.seed + len(self.turns)) % 2**31
        )
        return dataclasses.replace(self.settings, seed=base), base

    def _finish(self, text: str, latest: Hypothesis | None, seed: int | None, *, complete: bool) -> Reply:
        said = self.bot.target_tokenizer.decode(latest.tokens).strip() if latest else ""
        reply = Reply(
            said,
            latest.score if latest else 0.0,
            seed,
            stopped=not complete,
            tokens=len(latest.tokens) if latest else 0,
        )
        self.turns += [text, said]
        return reply

    def _keep_user(self, text: str) -> Message | None:
        if self._store is None:
            return None
        if self._id is None:
            description = self.bot.description
            self._id = self._store.start(description.uuid, self.bot.name, title=text[:60]).id
        return self._store.append(self._id, "user", text)

    def _keep_reply(self, user: Message | None, reply: Reply, settings: DecodeSettings) -> None:
        if self._store is None or self._id is None or user is None:
            return
        from .nn.encoder_decoder import state_to_bytes

        self._store.append(
            self._id,
            "bot",
            reply.text,
            parent_id=user.id,
            bot_uuid=self.bot.description.uuid,
            seed=reply.seed,
            options={key: value for key, value in dataclasses.asdict(settings).items() if key != "seed"},
            score=reply.score,
            state=state_to_bytes(self._carry),
            stopped=reply.stopped,
        )

    def _resume(self, store: Store, conversation_id: str) -> None:
        from .nn.encoder_decoder import state_from_bytes

        path = store.path(conversation_id)
        self._id = conversation_id
        self.turns = [message.text for message in path]
        # a line that was never answered, as after a crash, leaves the mind as it was
        last = next((message for message in reversed(path) if message.role == "bot"), None)
        if last is not None and last.bot_uuid == self.bot.description.uuid:
            self._carry = state_from_bytes(last.state, next(self.bot.model.parameters()).device)

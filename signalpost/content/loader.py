"""Reading a templates folder: the brand, and each message folder with its files and locales."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalpost.content.compile import Compiler, Slots, Source
from signalpost.content.errors import ContentError, Problem
from signalpost.content.sms import is_gsm, to_gsm
from signalpost.content.spec import MessageSpec, SpecReader, read_toml
from signalpost.content.variant import Variant
from signalpost.domain.text import Slot
from signalpost.domain.vocabulary import Channel

LINKS = frozenset(
    {"agent", "unsubscribe", "preferences", "order", "inbox", "home", "answer", "confirm"}
)
BRAND = frozenset({"name", "postal_address", "support_phone", "support_email", "website"})
CUSTOMER = frozenset({"first_name", "last_name", "tier", "locale", "agent_name"})
_BRAND_KEYS = BRAND | {"domains", "default_locale"}
_TEXT_FILES = {c: f"{c}.txt" for c in (Channel.SMS, Channel.WHATSAPP, Channel.MESSENGER)}
_EMAIL_FILES = {"subject": "subject.txt", "html": "body.mjml", "text": "body.txt"}
_EMAIL_KINDS = {"subject": "line", "html": "html", "text": "text"}
_IN_APP = {"title": "line", "body": "text", "action_label": "line", "action_url": "line"}
_TAG = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?")
Key = tuple[str, Channel, str]


@dataclass(frozen=True)
class Found:
    """A file of a message folder: which channel, locale and part it is."""

    path: Path
    channel: Channel
    locale: str
    part: str


@dataclass(frozen=True)
class Loaded:
    """What a templates folder holds, and what is wrong with it."""

    brand: Mapping[str, str]
    domains: frozenset[str]
    default_locale: str
    problems: tuple[Problem, ...]
    specs: Mapping[str, MessageSpec]
    variants: Mapping[Key, Variant]
    files: Mapping[Key, Mapping[str, Path]]


class Loader:
    """Reads a templates folder, message by message, collecting problems."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compiler = Compiler(folder, "en")
        self.problems: list[Problem] = []
        self.specs: dict[str, MessageSpec] = {}
        self.variants: dict[Key, Variant] = {}
        self.files: dict[Key, dict[str, Path]] = {}
        self.brand: dict[str, Any] = {}
        self.domains: frozenset[str] = frozenset()

    def load(self) -> Loaded:
        """Read everything; raises ``ContentError`` when there is no such folder."""
        if not self.folder.is_dir():
            raise ContentError(
                f"There is no templates folder at {self.folder}; set the path to one that holds "
                "a folder for each message."
            )
        self._load_brand()
        for path in sorted(self.folder.iterdir()):
            if path.is_dir() and not path.name.startswith(("_", ".")):
                self._load_message(path)
        return Loaded(
            brand={k: v for k, v in self.brand.items() if k in BRAND and isinstance(v, str)},
            domains=self.domains,
            default_locale=self.compiler.default_locale,
            problems=tuple(sorted(self.problems)),
            specs=self.specs,
            variants=self.variants,
            files=self.files,
        )

    def _load_brand(self) -> None:
        path = self.folder / "brand.toml"
        source = self.compiler.read(path)
        self.brand = (read_toml(self.compiler, source) or {}) if source else {}
        name = self.compiler.name(path)
        for key in ("name", "postal_address", "website"):
            if source and not isinstance(self.brand.get(key), str):
                self.compiler.report(name, 1, "brand", f"{key!r} is missing", f'add {key} = "..."')
        for key in self.brand.keys() - _BRAND_KEYS:
            remedy = f"use one of: {', '.join(sorted(_BRAND_KEYS))}"
            self.compiler.report(name, 1, "brand", f"{key!r} is not a key of brand.toml", remedy)
        domains = self.brand.get("domains", [])
        if isinstance(domains, list):
            self.domains = frozenset(str(d).lower() for d in domains)
        self.compiler.default_locale = str(self.brand.get("default_locale", "en"))
        self._settle()

    def _settle(self) -> bool:
        """Move what the compiler found to the list; say whether there was anything."""
        found, self.compiler.problems = self.compiler.problems, []
        self.problems += [p for p in found if p not in self.problems]
        return bool(found)

    def _load_message(self, path: Path) -> None:
        source = self.compiler.read(path / "message.toml")
        fields = SpecReader(self.compiler, source, self.domains).read() if source else None
        files = self._files(path) if fields else []
        if fields is None or self._settle():
            self._settle()
            return
        spec = MessageSpec(
            name=path.name,
            channels=frozenset(f.channel for f in files),
            locales=_locales(files),
            version=_version(self.folder, path),
            **fields,
        )
        self._check_files(spec, path, files)
        made = self._variants_of(spec, files)
        if not self._settle():
            self.specs[spec.name] = spec
            self.variants.update(made)
            for f in files:
                self.files.setdefault((spec.name, f.channel, f.locale), {})[f.part] = f.path

    def _files(self, path: Path) -> list[Found]:
        default = self.compiler.default_locale
        found = []
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            name = file.relative_to(path).as_posix()
            if name == "message.toml" or file.name.startswith("."):
                continue
            match = _which(name)
            if match is None or (match[2] is not None and not _TAG.fullmatch(match[2])):
                says = "this file has no place in a message folder"
                remedy = "name it sms.txt, in_app.toml, email/subject.txt, email/body.mjml or "
                remedy += "email/body.txt, with .<locale> before the ending for a translation"
                self.compiler.report(self.compiler.name(file), 1, "file", says, remedy)
                continue
            channel, part, tag = match
            found.append(Found(file, channel, tag or default, part))
        return found

    def _check_files(self, spec: MessageSpec, path: Path, files: list[Found]) -> None:
        where = self.compiler.name(path / "message.toml")
        if not files:
            says = "the message has no text on any channel"
            self.compiler.report(where, 1, "file", says, "add sms.txt, in_app.toml or email/")
        for channel, tags in spec.locales.items():
            if spec.default_locale not in tags:
                says = f"{channel} is not written in {spec.default_locale}, the default locale"
                self.compiler.report(where, 1, "locale", says, "write it in the default locale")
        have = {(f.locale, f.part) for f in files if f.channel is Channel.EMAIL}
        for tag in spec.locales.get(Channel.EMAIL, frozenset()):
            for part, file in _EMAIL_FILES.items():
                if (tag, part) not in have:
                    says = f"email in {tag} has no {file}"
                    remedy = "write subject.txt, body.mjml and body.txt for each locale"
                    self.compiler.report(where, 1, "locale", says, remedy)

    def _variants_of(self, spec: MessageSpec, files: list[Found]) -> dict[Key, Variant]:
        grouped: dict[tuple[Channel, str], list[Found]] = {}
        for file in files:
            grouped.setdefault((file.channel, file.locale), []).append(file)
        return {
            (spec.name, channel, tag): self._variant(spec, channel, tag, group)
            for (channel, tag), group in grouped.items()
        }

    def _variant(
        self, spec: MessageSpec, channel: Channel, tag: str, files: list[Found]
    ) -> Variant:
        slots = Slots()
        known = {
            **dict.fromkeys(spec.facts),
            "customer": CUSTOMER,
            "brand": BRAND,
            "links": LINKS,
            "locale": None,
        }
        parts: dict[str, tuple[str | Slot, ...]] = {}
        for part, source, kind in self._sources(channel, files):
            if kind == "sms" and is_gsm(to_gsm(source.text)):
                kind = "gsm"
            made = self.compiler.part(source, kind, slots, locale=tag, known=known)
            gsm = kind == "gsm"
            parts[part] = tuple(to_gsm(p) if gsm and isinstance(p, str) else p for p in made)
        return Variant.build(spec.name, channel, tag, parts, slots)

    def _sources(self, channel: Channel, files: list[Found]) -> list[tuple[str, Source, str]]:
        read = [(f.part, source) for f in files if (source := self.compiler.read(f.path))]
        if channel is Channel.EMAIL:
            order = list(_EMAIL_FILES)
            found = sorted(read, key=lambda item: order.index(item[0]))
            return [(part, source, _EMAIL_KINDS[part]) for part, source in found]
        if channel is Channel.IN_APP:
            return [item for _, source in read for item in self._in_app(source)]
        return [("text", source, "sms") for _, source in read]

    def _in_app(self, source: Source) -> list[tuple[str, Source, str]]:
        table = read_toml(self.compiler, source) or {}
        for key in table.keys() - _IN_APP.keys():
            remedy = f"use one of: {', '.join(_IN_APP)}"
            says = f"{key!r} is not a part of an in-app message"
            self.compiler.report(source.file, _line(source, key), "file", says, remedy)
        found = []
        for part, kind in _IN_APP.items():
            value = table.get(part, "")
            if not isinstance(value, str) or (not value.strip() and part in ("title", "body")):
                says = f"{part!r} is missing or no text"
                self.compiler.report(source.file, _line(source, part), "file", says, "write it")
                continue
            line = _line(source, part)
            if f'{part} = """\n' in source.text or f"{part} = '''\n" in source.text:
                line += 1
            found.append((part, Source(source.file, value, line), kind))
        if bool(table.get("action_label")) != bool(table.get("action_url")):
            says = "an action needs both action_label and action_url"
            self.compiler.report(source.file, 1, "file", says, "write both or neither")
        return found


def _line(source: Source, key: str) -> int:
    lines = source.text.splitlines()
    return next((n for n, line in enumerate(lines, 1) if line.lstrip().startswith(key)), 1)


def _which(name: str) -> tuple[Channel, str, str | None] | None:
    """Return channel, part and locale tag of a file in a message folder."""
    folder, _, file = name.rpartition("/")
    stem, _, rest = file.partition(".")
    tag, _, ending = rest.rpartition(".")
    plain = f"{stem}.{ending}"
    if folder == "email":
        part = next((p for p, f in _EMAIL_FILES.items() if f == plain), None)
        return (Channel.EMAIL, part, tag or None) if part else None
    if folder:
        return None
    if plain == "in_app.toml":
        return Channel.IN_APP, "body", tag or None
    channel = next((c for c, f in _TEXT_FILES.items() if f == plain), None)
    return (channel, "text", tag or None) if channel else None


def _locales(files: list[Found]) -> dict[Channel, frozenset[str]]:
    found: dict[Channel, set[str]] = {}
    for file in files:
        found.setdefault(file.channel, set()).add(file.locale)
    return {channel: frozenset(tags) for channel, tags in found.items()}


def _version(root: Path, folder: Path) -> str:
    """Return the hash of everything a message is made of: its folder, the layouts, the brand."""
    digest = hashlib.sha256()
    shared = [root / "brand.toml", *(root / "_layout").rglob("*")]
    for path in sorted(p for p in [*folder.rglob("*"), *shared] if p.is_file()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]

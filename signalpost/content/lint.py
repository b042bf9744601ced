"""The checks of ``signalpost lint``: what would embarrass us, found before anybody is written to."""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalpost.content import words
from signalpost.content.catalogue import Catalogue
from signalpost.content.errors import MissingFact, Problem, RenderFailed
from signalpost.content.facts import Fact, FactType, hosted
from signalpost.content.formats import Day, Moment, Money, Row, as_day, long, short
from signalpost.content.sms import sms_segments
from signalpost.content.spec import MessageSpec
from signalpost.domain.vocabulary import Channel, Purpose

_TEXTS = (Channel.SMS, Channel.WHATSAPP, Channel.MESSENGER)
_LINK_ATTRIBUTE = re.compile(r"\b(?:href|src|action_url)\s*=\s*[\"']\s*\{\{-?\s*([\w.]+)")
_OPEN_HOST = re.compile(r"https?://[^\s/\"'<>]*\{\{")
_SAFE_LINKS = ("links.", "brand.website")

Found = Iterator[Problem]


@dataclass(frozen=True)
class Page:
    """One variant as its readers see it: rendered with sample facts, and its files."""

    spec: MessageSpec
    channel: Channel
    locale: str
    rendered: Mapping[str, str]
    files: Mapping[str, Path]

    @property
    def readings(self) -> dict[str, str]:
        """Return what is read as one: email's html and its text each have to hold every fact."""
        r = self.rendered
        if self.channel is Channel.EMAIL:
            return {"html": html.unescape(r["html"]), "text": r["text"]}
        if self.channel is Channel.IN_APP:
            return {"body": f"{r['title']}\n{r['body']}"}
        return {"text": r["text"]}


def lint(catalogue: Catalogue) -> list[Problem]:
    """Return everything that is wrong with the messages, sorted by file and line."""
    return sorted({*catalogue.problems, *_Linter(catalogue).run()})


def lint_message(catalogue: Catalogue, name: str) -> list[Problem]:
    """Return everything that is wrong with one message, as ``lint`` does of all."""
    start = f"{catalogue.folder.name}/{name}/"
    found = {*catalogue.problems, *_Linter(catalogue).of_message(catalogue[name])}
    return sorted(problem for problem in found if problem.file.startswith(start))


class _Linter:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._root = catalogue.folder

    def run(self) -> Found:
        for path in sorted((self._root / "_layout").rglob("*.*")):
            yield from self._words(path, _read(path))
        for name in self._catalogue.names():
            yield from self.of_message(self._catalogue[name])

    def _name(self, path: Path) -> str:
        return f"{self._root.name}/{path.relative_to(self._root).as_posix()}"

    def _at(self, path: Path, line: int, rule: str, says: str, remedy: str) -> Problem:
        return Problem(self._name(path), line, rule, says, remedy)

    def of_message(self, spec: MessageSpec) -> Found:
        yield from self._locales(spec)
        pages = []
        for (name, channel, locale), files in self._catalogue.files.items():
            if name != spec.name:
                continue
            for path in sorted(set(files.values())):
                yield from self._file(spec, channel, path)
            try:
                page = self._render(spec, channel, locale, files)
            except (MissingFact, RenderFailed) as error:
                yield self._unrenderable(files, error)
                continue
            pages.append(page)
            yield from self._page(page)
        yield from self._same_facts(spec, pages)

    def _render(
        self, spec: MessageSpec, channel: Channel, locale: str, files: Mapping[str, Path]
    ) -> Page:
        rendered = self._catalogue.preview(spec.name, channel, locale)
        self._bare(spec, channel, locale)
        return Page(spec, channel, locale, rendered, files)

    def _bare(self, spec: MessageSpec, channel: Channel, locale: str) -> None:
        """Render for somebody of whom only what is required is known."""
        facts = {n: f.sample if f.required else None for n, f in spec.facts.items()}
        self._catalogue.preview(spec.name, channel, locale, facts=facts, customer={})

    def _unrenderable(
        self, files: Mapping[str, Path], error: MissingFact | RenderFailed
    ) -> Problem:
        if isinstance(error, RenderFailed):
            path = next(iter(files.values()))
            return self._at(path, 1, "render", str(error).rstrip("."), "correct the template there")
        for path in files.values():
            for number, line in enumerate(_read(path).splitlines(), 1):
                if re.search(rf"\b{error.fact}\b", line):
                    return self._no_fallback(path, number, error.fact)
        return self._no_fallback(next(iter(files.values())), 1, error.fact)

    def _no_fallback(self, path: Path, line: int, fact: str) -> Problem:
        says = f"{fact!r} may be missing and has no fallback here"
        remedy = 'write {% if … %} around it, or {{ …|default("…") }}'
        return self._at(path, line, "fallback", says, remedy)

    # -- rules on one message ------------------------------------------------

    def _locales(self, spec: MessageSpec) -> Found:
        written = frozenset().union(*spec.locales.values())
        path = self._root / spec.name / "message.toml"
        for channel, has in sorted(spec.locales.items()):
            for tag in sorted(written - has):
                says = f"{channel} is not written in {tag}, but another channel is"
                yield self._at(path, 1, "locale", says, f"write the {tag} text for {channel} too")

    def _same_facts(self, spec: MessageSpec, pages: list[Page]) -> Found:
        """Amounts, dates and order numbers are the same on every channel (R-01)."""
        for locale in sorted({p.locale for p in pages}):
            here = [p for p in pages if p.locale == locale]
            yield from self._literals(here)
            for fact in spec.facts.values():
                yield from self._optional(fact, here)

    def _literals(self, pages: list[Page]) -> Found:
        found = {
            (page.channel, part): (path, words.literals(words.fixed(_read(path))))
            for page in pages
            for part, path in page.files.items()
            if part != "subject"
        }
        everywhere = set.intersection(*(set(has) for _, has in found.values())) if found else set()
        for (channel, part), (path, literals) in found.items():
            for what in literals.keys() - everywhere:
                says = f"{channel} {part} says {what!r}, which is not on every channel"
                remedy = "make it a fact and show it on every channel"
                yield self._at(path, literals[what], "facts-differ", says, remedy)

    def _optional(self, fact: Fact, pages: list[Page]) -> Found:
        if fact.required:
            return
        shown = {
            (page.channel, part): (page, self._shows(page, fact, text))
            for page in pages
            for part, text in page.readings.items()
        }
        if not any(yes for _, yes in shown.values()):
            return
        for (channel, part), (page, yes) in shown.items():
            if not yes:
                says = f"{channel} {part} leaves out {fact.name!r}, which another channel shows"
                remedy = "show it on every channel, or on none"
                yield self._at(page.files[part], 1, "facts-differ", says, remedy)

    # -- rules on one variant ------------------------------------------------

    def _page(self, page: Page) -> Found:
        for part, text in page.readings.items():
            for fact in page.spec.facts.values():
                if fact.required and fact.shown and not self._shows(page, fact, text):
                    says = f"the required fact {fact.name!r} is not shown in {page.channel} {part}"
                    remedy = f"show {{{{ {fact.name} }}}}"
                    yield self._at(page.files[part], 1, "facts", says, remedy)
        if page.channel in _TEXTS:
            yield from self._length(page)
        if page.spec.question and page.spec.question.kind == "confirm":
            yield from self._answers(page)
        yield from self._answer_link(page)
        if page.spec.purpose is Purpose.MARKETING:
            yield from self._way_out(page)
        if page.spec.purpose is Purpose.SECURITY and page.channel is not Channel.IN_APP:
            yield from self._no_links(page)

    def _shows(self, page: Page, fact: Fact, text: str) -> bool:
        context = self._catalogue.context(
            page.spec.name,
            facts={n: f.sample for n, f in page.spec.facts.items()},
            customer={},
            brand={},
            links={},
            locale=page.locale,
            zone=None,
        )
        flat = " ".join(text.split())
        value = context[fact.name]
        if fact.type is FactType.LIST:
            return all(any(form in flat for form in _forms(leaf)) for leaf in _leaves(value))
        return any(form in flat for form in _forms(value))

    def _length(self, page: Page) -> Found:
        path = page.files["text"]
        encoding, length, segments = sms_segments(page.rendered["text"])
        if segments > page.spec.sms_segments:
            says = f"{segments} segments ({length} in {encoding}), {page.spec.sms_segments} allowed"
            yield self._at(path, 1, "sms-length", says, "shorten it, or raise sms_segments")
        strict = page.spec.purpose is Purpose.SECURITY and page.locale.startswith("en")
        if strict and page.channel is Channel.SMS and (encoding != "GSM-7" or length > 160):
            says = f"a security SMS in English is at most 160 GSM-7 characters, not {length} {encoding}"
            yield self._at(path, 1, "sms-length", says, "shorten it")

    def _answers(self, page: Page) -> Found:
        for part, text in page.readings.items():
            for answer in ("OK", "NO"):
                if not re.search(rf"(?<![A-Za-z]){answer}(?![A-Za-z])", text):
                    says = f"{page.channel} {part} does not say when to answer {answer}"
                    remedy = f"name the answer {answer} in Latin letters, in every language"
                    yield self._at(page.files[part], 1, "answer", says, remedy)

    def _answer_link(self, page: Page) -> Found:
        """A score is given by link in an email, since none reads replies; nothing else is."""
        scale = page.spec.question is not None and page.spec.question.kind == "scale"
        wanted = scale and page.channel is Channel.EMAIL
        for part, text in page.readings.items():
            linked = self._catalogue.sample_links()["answer"] in text
            if wanted and not linked:
                says = f"an email asks for a number, and its {part} has no link to give it by"
                yield self._at(page.files[part], 1, "answer", says, "link to {{ links.answer }}")
            if linked and not scale:
                line = _line_with(page.files[part], r"links\.answer")
                says = "a link to answer by stands where no number is asked for"
                remedy = "a confirmation is answered in the app or by text message, never by link"
                yield self._at(page.files[part], line, "answer", says, remedy)

    def _way_out(self, page: Page) -> Found:
        if page.channel in _TEXTS:
            if not re.search(r"\bSTOP\b", page.rendered["text"]):
                says = "a marketing text does not say how to stop it"
                yield self._at(page.files["text"], 1, "opt-out", says, 'add "Reply STOP to end"')
            return
        if page.channel is not Channel.EMAIL:
            return
        for part, text in page.readings.items():
            if self._catalogue.brand.get("postal_address", "\0") not in text:
                says = f"a marketing email has no postal address in its {part}"
                remedy = "use the marketing layout, or show {{ brand.postal_address }}"
                yield self._at(page.files[part], 1, "opt-out", says, remedy)
            if self._catalogue.sample_links()["unsubscribe"] not in text:
                says = f"a marketing email has no unsubscribe link in its {part}"
                remedy = "use the marketing layout, or link to {{ links.unsubscribe }}"
                yield self._at(page.files[part], 1, "opt-out", says, remedy)

    def _no_links(self, page: Page) -> Found:
        for part, text in page.readings.items():
            path = page.files[part]
            linked = re.search(r"<a\b|\bhref=", text) if part == "html" else None
            bare = _visible(text) if part == "html" else text
            if linked or next(words.urls(bare), None):
                line = _line_with(path, r"links\.|href|https?:|www\.|brand\.website")
                says = f"a security message holds a link in its {page.channel} {part}"
                remedy = "ask to open the app instead: genuine and forged must differ"
                yield self._at(path, line, "security", says, remedy)

    # -- rules on the words of one file --------------------------------------

    def _file(self, spec: MessageSpec, channel: Channel, path: Path) -> Found:
        source = _read(path)
        yield from self._words(path, source)
        yield from self._targets(spec, path, source)
        if spec.purpose is not Purpose.SECURITY or channel not in _TEXTS:
            return
        text = words.fixed(source)
        checks = [
            (words.urgent, "presses for time", "say what happened and what to do, calmly"),
            (words.selling, "sells something", "leave advertising out of security messages"),
            (words.call_back, "gives a number to call", "ask to open the app instead"),
            (words.colliding, "uses an opt-in word as an answer", "ask for OK or NO with the code"),
        ]
        for check, what, remedy in checks:
            for line, word in check(text):
                yield self._at(path, line, "security", f"a security SMS {what}: {word!r}", remedy)
        for number, line in enumerate(source.splitlines(), 1):
            if re.search(r"\{\{[^}]*(links\.|support_phone)", line):
                says = "a security SMS holds a link or a number to call"
                yield self._at(path, number, "security", says, "ask to open the app instead")

    def _words(self, path: Path, source: str) -> Found:
        for line, word in words.asks_for_secrets(words.fixed(source)):
            says = f"this asks for {word!r}"
            remedy = "never ask for card data, a PIN, a password or a one-time code by message"
            yield self._at(path, line, "secrets", says, remedy)
        for line, host, text in words.urls(words.fixed(source, markup=True)):
            yield from self._host(path, line, host, text)
        for found in _OPEN_HOST.finditer(source):
            line = source.count("\n", 0, found.start()) + 1
            yield self._at(path, line, "links", "a link's host is not fixed", "use {{ links.… }}")

    def _host(self, path: Path, line: int, host: str, text: str) -> Found:
        if words.is_shortener(host):
            says = f"{host!r} is a public link shortener, which carriers block"
            yield self._at(path, line, "links", says, "use {{ links.… }}")
        elif host and not hosted(host, self._catalogue.domains):
            says = f"{host!r} is not a domain of the brand"
            yield self._at(path, line, "links", says, "use {{ links.… }}, or add it to brand.toml")
        elif text.lower().startswith("http://"):
            yield self._at(path, line, "links", f"{text!r} is not https", "write https://")

    def _targets(self, spec: MessageSpec, path: Path, source: str) -> Found:
        safe = tuple(n for n, f in spec.facts.items() if f.type is FactType.URL)
        for found in _LINK_ATTRIBUTE.finditer(source):
            if not found[1].startswith(_SAFE_LINKS) and found[1] not in safe:
                line = source.count("\n", 0, found.start()) + 1
                says = f"a link leads to {found[1]!r}, which is no link"
                yield self._at(path, line, "links", says, "use {{ links.… }} or a fact of type url")


def _forms(value: Any) -> set[str]:
    """Return every way in which a template may write a value."""
    forms = {" ".join(str(value).split())}
    if isinstance(value, Money):
        forms.add(short(value))
    if isinstance(value, Moment | Day):
        forms |= {str(as_day(value)), long(value)}
    return forms


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, Row):
        for key in value:
            yield from _leaves(value[key])
    else:
        yield value


def _visible(page: str) -> str:
    body = page[page.find("<body") :]
    return re.sub(r"<!--.*?-->|<style.*?</style>|<[^<>]*>", " ", body, flags=re.DOTALL)


def _line_with(path: Path, pattern: str) -> int:
    lines = _read(path).splitlines()
    return next((n for n, line in enumerate(lines, 1) if re.search(pattern, line)), 1)


def _read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")

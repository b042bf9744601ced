"""From template files to static text and slots."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from jinja2 import TemplateSyntaxError, nodes

from signalpost.content import bounds, engine, mail
from signalpost.content.errors import Problem
from signalpost.content.locales import fallbacks
from signalpost.domain.text import Slot

_FILE_NAME = re.compile(r"[A-Za-z0-9_./-]{1,200}")

Known = Mapping[str, frozenset[str] | None]


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one template, and where it stands in which file."""

    file: str
    text: str
    line: int = 1


@dataclass(frozen=True, slots=True)
class Dynamic:
    """An expression or control block: what each person gets their own value for."""

    node: nodes.Node
    block: bool
    file: str
    line: int


@dataclass(slots=True)
class Slots:
    """The slots of one variant; the same expression in the same kind of part shares one."""

    by_kind: dict[str, dict[str, nodes.Node]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)

    def named(self, kind: str, dynamic: Dynamic) -> Slot:
        """Return the slot of an expression in a kind of part.

        A link has one slot for all of them: no letter of it is written otherwise in HTML.
        """
        if kind in ("html", "text") and _is_link(dynamic.node):
            kind = "link"
        key = (kind, repr(dynamic.node))
        if key not in self._names:
            name = self._names[key] = f"s{len(self._names)}"
            self.by_kind.setdefault(kind, {})[name] = dynamic.node
            self.places[name] = f"{dynamic.file}:{dynamic.line}"
        return Slot(self._names[key])

    @property
    def sources(self) -> list[tuple[str, str, str]]:
        """Each slot's kind, expression and name, in order."""
        return [(kind, source, name) for (kind, source), name in self._names.items()]


def _is_link(node: nodes.Node) -> bool:
    return (
        isinstance(node, nodes.Getattr)
        and isinstance(node.node, nodes.Name)
        and node.node.name == "links"
    )


@dataclass(slots=True)
class Compiler:
    """Reads templates below one folder and collects every problem it meets."""

    root: Path
    default_locale: str
    problems: list[Problem] = field(default_factory=list)

    def report(self, file: str, line: int, rule: str, says: str, remedy: str) -> None:
        """Note one problem."""
        problem = Problem(file, line, rule, says, remedy)
        if problem not in self.problems:
            self.problems.append(problem)

    def part(
        self, source: Source, kind: str, slots: Slots, *, locale: str, known: Known
    ) -> tuple[str | Slot, ...]:
        """Compile one part to static text and slots; ``kind`` is html, text, line or sms."""
        pieces = list(self._pieces(source, locale, known))
        if kind == "html":
            pieces = self._html(pieces, source, locale)
        made = [p if isinstance(p, str) else slots.named(kind, p) for p in _stripped(pieces)]
        if kind == "line" and any(isinstance(p, str) and "\n" in p for p in made):
            says = "a subject, title or label runs over more than one line"
            self.report(source.file, source.line, "template", says, "write it on one line")
        return tuple(made)

    def read(self, path: Path) -> Source | None:
        """Return a template file, or note what is wrong with it."""
        name = self.name(path)
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            self.report(name, 1, "file", "the file is not UTF-8", "save it as UTF-8")
            return None
        except OSError:
            self.report(name, 1, "file", "the file cannot be read", "check that it is there")
            return None
        if len(text) > bounds.LARGEST_SOURCE:
            says = f"the file is longer than {bounds.LARGEST_SOURCE} characters"
            self.report(name, 1, "file", says, "shorten it")
            return None
        return Source(name, text.removeprefix("\ufeff"))

    def name(self, path: Path) -> str:
        """Return a path as problems name it: from the templates folder on."""
        return (PurePosixPath(self.root.name) / path.relative_to(self.root).as_posix()).as_posix()

    def _parse(self, source: Source, known: Known) -> nodes.Template | None:
        try:
            tree = engine.TEXT.parse(source.text)
        except TemplateSyntaxError as error:
            line, says = source.line + error.lineno - 1, f"{error.message}".rstrip(".")
            self.report(source.file, line, "syntax", says, "correct the template there")
            return None
        except RecursionError:
            says = "the template is nested too deep"
            self.report(source.file, source.line, "syntax", says, "flatten it")
            return None
        except ValueError:  # Python's own limit, on the digits of a number
            says = "a number in the template is too long"
            self.report(source.file, source.line, "syntax", says, "shorten it")
            return None
        if (found := bounds.too_much(tree)) is not None:
            line, says, remedy = found
            self.report(source.file, source.line + line - 1, "syntax", says, remedy)
            return None
        for line, *rest in engine.findings(tree, known):
            self.report(source.file, source.line + line - 1, *rest)
        return tree

    def _pieces(self, source: Source, locale: str, known: Known) -> Iterator[str | Dynamic]:
        tree = self._parse(source, known)
        if tree is not None:
            yield from self._expand(tree, source, _Scope(locale, known))

    def _expand(
        self, tree: nodes.Template, source: Source, scope: "_Scope"
    ) -> Iterator[str | Dynamic]:
        parent = next((n for n in tree.body if isinstance(n, nodes.Extends)), None)
        if parent is None:
            yield from self._body(tree.body, source, scope)
            return
        blocks = {n.name: (n, source) for n in tree.body if isinstance(n, nodes.Block)}
        inner = scope.with_blocks({**blocks, **scope.blocks})
        yield from self._other(parent, parent.template, source, inner)

    def _body(
        self, body: list[nodes.Node], source: Source, scope: "_Scope"
    ) -> Iterator[str | Dynamic]:
        for node in body:
            if isinstance(node, nodes.Output):
                for child in node.nodes:
                    yield (
                        child.data
                        if isinstance(child, nodes.TemplateData)
                        else _dynamic(child, source, block=False)
                    )
            elif isinstance(node, nodes.Include):
                yield from self._other(node, node.template, source, scope)
            elif isinstance(node, nodes.Block):
                block, where = scope.blocks.get(node.name, (node, source))
                yield from self._body(block.body, where, scope)
            elif isinstance(node, nodes.If | nodes.For):
                self._judge_block(node, source)
                yield _dynamic(node, source, block=True)

    def _other(
        self, node: nodes.Node, name: nodes.Node, source: Source, scope: "_Scope"
    ) -> Iterator[str | Dynamic]:
        line = source.line + node.lineno - 1
        if not isinstance(name, nodes.Const) or not isinstance(name.value, str):
            says = "include and extends need a fixed file name"
            self.report(source.file, line, "template", says, "name the file in quotes")
            return
        path = self._find(name.value, scope.locale)
        if path is None or scope.depth > 8:
            says = f"{name.value!r} is not a file of the templates folder"
            remedy = f"name a file below {self.root.name}/, such as _layout/footer.txt"
            self.report(source.file, line, "template", says, remedy)
            return
        found = self.read(path)
        tree = self._parse(found, scope.known) if found else None
        if found and tree:
            yield from self._expand(tree, found, scope.deeper())

    def _find(self, name: str, locale: str) -> Path | None:
        if not _FILE_NAME.fullmatch(name):
            return None
        root = self.root.resolve()
        stem, _, suffix = name.rpartition(".")
        for tag in fallbacks(locale, self.default_locale):
            for candidate in (f"{stem}.{tag}.{suffix}", name):
                path = (root / candidate).resolve()
                ours = path.is_relative_to(root) and path.is_file()
                if ours and (candidate != name or tag == self.default_locale):
                    return self.root / path.relative_to(root)
        return None

    def _judge_block(self, node: nodes.Node, source: Source) -> None:
        for inner in node.find_all((nodes.Include, nodes.Block)):
            says = "include and block cannot stand inside if or for"
            line = source.line + inner.lineno - 1
            self.report(source.file, line, "template", says, "put the condition into that file")
        for data in node.find_all(nodes.TemplateData):
            if source.file.endswith(".mjml") and "<mj-" in data.data:
                says = "a control block holds MJML elements, which are compiled for all at once"
                remedy = "use plain HTML inside it, within <mj-text> or <mj-raw>"
                self.report(source.file, source.line + node.lineno - 1, "mjml", says, remedy)

    def _html(
        self, pieces: list[str | Dynamic], source: Source, locale: str
    ) -> list[str | Dynamic]:
        if any(isinstance(p, str) and mail.has_token(p) for p in pieces):
            says = "the text holds a word like qz00000zq, which stands for slots while compiling"
            self.report(source.file, 1, "mjml", says, "write it differently")
            return []
        dynamic = [p for p in pieces if isinstance(p, Dynamic)]
        numbers = iter(range(len(dynamic)))
        text = "".join(
            p if isinstance(p, str) else mail.token(next(numbers), block=p.block) for p in pieces
        )
        wrong = list(mail.misplaced(text))
        for number, says, remedy in wrong:
            where = (
                dynamic[number]
                if number is not None
                else Dynamic(nodes.Const(0), False, source.file, _line_of(source, says))
            )
            self.report(where.file, where.line, "mjml", says, remedy)
        if wrong or any(p.file == source.file for p in self.problems):
            return []
        try:
            html = mail.to_html(text, locale)
        except ValueError as error:
            says = f"the MJML does not parse ({error})"
            self.report(source.file, 1, "mjml", says, "close every tag, also <br/>")
            return []
        return self._untoken(html, dynamic)

    def _untoken(self, html: str, dynamic: list[Dynamic]) -> list[str | Dynamic]:
        pieces = [p if isinstance(p, str) else dynamic[p] for p in mail.split(html)]
        for lost in dynamic:
            if lost not in pieces:
                says = "MJML drops this expression"
                self.report(lost.file, lost.line, "mjml", says, "put it inside <mj-text>")
        return pieces


@dataclass(frozen=True, slots=True)
class _Scope:
    locale: str
    known: Known
    blocks: Mapping[str, tuple[nodes.Block, Source]] = field(default_factory=dict)
    depth: int = 0

    def with_blocks(self, blocks: Mapping[str, tuple[nodes.Block, Source]]) -> "_Scope":
        return _Scope(self.locale, self.known, blocks, self.depth)

    def deeper(self) -> "_Scope":
        return _Scope(self.locale, self.known, self.blocks, self.depth + 1)


def _dynamic(node: nodes.Node, source: Source, *, block: bool) -> Dynamic:
    return Dynamic(node, block, source.file, source.line + node.lineno - 1)


def _line_of(source: Source, says: str) -> int:
    tag = says.split(">")[0]
    return next((n for n, line in enumerate(source.text.splitlines(), 1) if tag in line), 1)


def _stripped(pieces: list[str | Dynamic]) -> list[str | Dynamic]:
    """Return the pieces joined where static, without white space around the whole."""
    joined: list[str | Dynamic] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    if joined and isinstance(joined[0], str):
        joined[0] = joined[0].lstrip()
    if joined and isinstance(joined[-1], str):
        joined[-1] = joined[-1].rstrip()
    return [p for p in joined if p != ""]

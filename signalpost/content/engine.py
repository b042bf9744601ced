"""The template language: Jinja2, sandboxed, strict, and small enough that nothing can run away.

Templates are files of ours and never come from an event (providers.md C17); the limits are for
mistakes: no calls except ``range``, no arithmetic that grows, a short list of filters, loops two
deep over lists that facts bound.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2 import filters as jinja_filters
from jinja2.exceptions import UndefinedError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from signalpost.content import bounds, formats
from signalpost.content.errors import MissingFact

Block = Callable[[Context], Iterator[str]]


class Absent(StrictUndefined):
    """A value that is not there: false in a condition, ``MissingFact`` as soon as it is shown."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[Exception] = UndefinedError,
    ) -> None:
        super().__init__(hint, obj, name, exc)  # type: ignore[arg-type]
        self._undefined_exception = self._missing  # type: ignore[assignment]

    def _missing(self, _message: str | None) -> MissingFact:
        return MissingFact(str(self._undefined_name))

    def __bool__(self) -> bool:
        return False


def _clip(value: str, length: int) -> str:
    """Template filter ``clip``: at most so many characters, with ``...`` where it was cut."""
    text = str(value)
    return text if len(text) <= length else text[: max(0, length - 3)].rstrip() + "..."


_FILTERS: dict[str, Callable[..., Any]] = {
    "date": formats.as_day,
    "time": formats.as_clock,
    "short": formats.short,
    "long": formats.long,
    "default": jinja_filters.do_default,
    "d": jinja_filters.do_default,
    "e": jinja_filters.FILTERS["e"],
    "escape": jinja_filters.FILTERS["escape"],
    "upper": jinja_filters.do_upper,
    "lower": jinja_filters.do_lower,
    "capitalize": jinja_filters.do_capitalize,
    "title": jinja_filters.do_title,
    "trim": jinja_filters.do_trim,
    "first": jinja_filters.FILTERS["first"],
    "last": jinja_filters.do_last,
    "length": jinja_filters.FILTERS["length"],
    "count": jinja_filters.FILTERS["count"],
    "join": bounds.join,
    "clip": _clip,
}
_TESTS = ("defined", "undefined", "none", "number", "string", "odd", "even", "divisibleby")
_COMPARES = ("eq", "equalto", "==", "ne", "!=", "lt", "<", "le", "<=", "gt", ">", "ge", ">=", "in")

_STATEMENTS = (
    nodes.Output,
    nodes.If,
    nodes.For,
    nodes.Block,
    nodes.Include,
    nodes.Extends,
    nodes.EvalContextModifier,
    nodes.Scope,
)
_GROWING = (nodes.Mul, nodes.Pow, nodes.Mod)


def environment(*, html: bool) -> ImmutableSandboxedEnvironment:
    """Return a new environment; only HTML parts are escaped."""
    env = ImmutableSandboxedEnvironment(
        undefined=Absent,
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=0,
    )
    env.globals = {"range": bounds.limited_range}
    env.filters = {**_FILTERS, bounds.EACH: bounds.each}
    env.tests = {name: env.tests[name] for name in (*_TESTS, *_COMPARES)}
    return env


TEXT, HTML = environment(html=False), environment(html=True)


def compile_blocks(
    env: ImmutableSandboxedEnvironment, bodies: Mapping[str, nodes.Node], name: str
) -> dict[str, Block]:
    """Compile each named expression or control block to a function of its own, in one module."""
    blocks: list[nodes.Node] = []
    for slot, node in bodies.items():
        bounds.guard_loops(node)
        body = node if isinstance(node, nodes.Stmt) else nodes.Output([node], lineno=node.lineno)  # type: ignore[list-item]
        blocks.append(nodes.Block(slot, [body], False, False, lineno=node.lineno))
    tree = nodes.Template(blocks, lineno=1)
    tree.set_environment(env)
    code = env.compile(tree, name=name, filename=f"<{name}>")
    template = env.template_class.from_code(env, code, env.make_globals(None))
    return dict(template.blocks)


def reads(node: nodes.Node) -> frozenset[str]:
    """Return the variables that an expression or control block reads."""
    named = [node] if isinstance(node, nodes.Name) else []
    return frozenset(name.name for name in [*named, *node.find_all(nodes.Name)])


def getter(node: nodes.Node) -> Callable[[Mapping[str, Any]], Any] | None:
    """Return a plain look-up for ``fact``, ``customer.tier`` or either with a fixed default.

    It is ten times as fast as a block, and most slots are one.
    """
    if isinstance(node, nodes.Name):
        return _fact_getter(node.name)
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return _row_getter(node.node.name, node.attr)
    if isinstance(node, nodes.Filter) and node.name == "default" and len(node.args) == 1:
        inner = getter(node.node) if node.node else None
        return _default_getter(inner, node.args[0]) if inner and not node.kwargs else None
    return None


def _default_getter(
    inner: Callable[[Mapping[str, Any]], Any], fallback: nodes.Node
) -> Callable[[Mapping[str, Any]], Any] | None:
    if isinstance(fallback, nodes.Const):
        value = fallback.value
        other = lambda _context: value  # noqa: E731
    else:
        other = getter(fallback)
    if other is None:
        return None

    def get(context: Mapping[str, Any]) -> Any:
        try:
            return inner(context)
        except MissingFact:
            return other(context)

    return get


def _fact_getter(name: str) -> Callable[[Mapping[str, Any]], Any]:
    def get(context: Mapping[str, Any]) -> Any:
        try:
            return context[name]
        except KeyError:
            raise MissingFact(name) from None

    return get


def _row_getter(name: str, key: str) -> Callable[[Mapping[str, Any]], Any] | None:
    if name not in ("customer", "brand", "links"):
        return None

    def get(context: Mapping[str, Any]) -> Any:
        try:
            return context[name][key]
        except KeyError:
            raise MissingFact(key) from None

    return get


def run(block: Block, scope: bounds.Scope) -> str:
    """Return what a compiled block writes; raises ``OverflowError`` when it writes too much."""
    chunks = list(bounds.counted(block(scope)))
    return chunks[0] if len(chunks) == 1 else "".join(chunks)


Finding = tuple[int, str, str, str]  # line, rule, what is wrong, what to do


def findings(tree: nodes.Template, known: Mapping[str, frozenset[str] | None]) -> Iterator[Finding]:
    """Yield what a template may not do. ``known`` maps variables to their attributes, if fixed."""
    yield from _walk(tree, known, frozenset(), 0)


def _walk(
    node: nodes.Node, known: Mapping[str, frozenset[str] | None], local: frozenset[str], loops: int
) -> Iterator[Finding]:
    yield from _judge(node, known, local)
    if isinstance(node, nodes.For):
        loops += 1
        local |= {"loop", *(n.name for n in node.target.find_all(nodes.Name))}
        local |= {node.target.name} if isinstance(node.target, nodes.Name) else set()
        if loops > 2:
            yield node.lineno, "template", "loops are nested more than two deep", "flatten them"
    for child in node.iter_child_nodes():
        yield from _walk(child, known, local, loops)


def _judge(
    node: nodes.Node, known: Mapping[str, frozenset[str] | None], local: frozenset[str]
) -> Iterator[Finding]:
    line = node.lineno
    if isinstance(node, nodes.Name):
        yield from _judge_name(node, known, local)
    elif isinstance(node, nodes.Getattr):
        yield from _judge_attribute(node, known, local)
    elif isinstance(node, nodes.Filter):
        yield from _judge_filter(node)
    elif isinstance(node, nodes.Test) and node.name not in (*_TESTS, *_COMPARES):
        usable = ", ".join(_TESTS)
        yield line, "template", f"there is no test {node.name!r}", f"use one of: {usable}"
    elif isinstance(node, nodes.Call):
        if not (isinstance(node.node, nodes.Name) and node.node.name == "range"):
            yield line, "template", "calls are not allowed in templates", "use a filter"
    elif isinstance(node, _GROWING):
        yield line, "template", "templates do no sums", "send the result as a fact of its own"
    elif isinstance(node, nodes.Stmt) and not isinstance(node, _STATEMENTS):
        tag = type(node).__name__.lower()
        yield line, "template", f"the tag {tag!r} is not allowed", "use if, for and include"
    if isinstance(node, nodes.EvalContextModifier):
        yield line, "safe", "escaping must not be switched", "remove the autoescape tag"


def _judge_name(
    node: nodes.Name, known: Mapping[str, frozenset[str] | None], local: frozenset[str]
) -> Iterator[Finding]:
    if node.ctx == "load" and node.name not in known and node.name not in local | {"range"}:
        yield (
            node.lineno,
            "undefined",
            f"{node.name!r} is not a declared fact",
            f"declare [facts.{node.name}] in message.toml, or use one of: {', '.join(sorted(known))}",
        )


def _judge_attribute(
    node: nodes.Getattr, known: Mapping[str, frozenset[str] | None], local: frozenset[str]
) -> Iterator[Finding]:
    if node.attr.startswith("_"):
        yield node.lineno, "template", "names that start with _ are closed", "use a declared fact"
    if not isinstance(node.node, nodes.Name) or node.node.name in local:
        return
    allowed = known.get(node.node.name)
    if allowed is not None and node.attr not in allowed:
        yield (
            node.lineno,
            "undefined",
            f"{node.node.name}.{node.attr} is not known",
            f"use one of: {', '.join(sorted(allowed)) or 'none'}",
        )


def _judge_filter(node: nodes.Filter) -> Iterator[Finding]:
    if node.name == "safe":
        says = "'|safe' would send a value unescaped"
        yield node.lineno, "safe", says, "remove it; put markup into the template itself"
    elif node.name not in _FILTERS:
        usable = ", ".join(sorted(set(_FILTERS) - {"d", "e"}))
        yield node.lineno, "template", f"there is no filter {node.name!r}", f"use one of: {usable}"

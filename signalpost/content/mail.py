"""MJML and its CSS, compiled once; what differs per person is carried through as tokens."""

import re
from collections.abc import Iterator
from functools import lru_cache

import css_inline
import mjml

_TOKEN = re.compile(r"<!--qz(\d{5})zq-->|qz(\d{5})zq")
_TAG = re.compile(r"<(/?)(mj[a-z-]*)\b([^<>]*?)(/?)>", re.DOTALL)
_STYLE = re.compile(r"<(style|script|mj-style)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_BLOCKS_IN = ("mj-text", "mj-raw")
_WORDS_IN = (*_BLOCKS_IN, "mj-button", "mj-preview", "mj-title")
_KNOWN = re.compile(
    "mjml|mj-(head|body|attributes|all|class|breakpoint|font|html-attributes?|selector|preview"
    "|style|title|accordion(-element|-title|-text)?|button|carousel(-image)?|column|divider|group"
    "|hero|image|navbar(-link)?|raw|section|social(-element)?|spacer|table|text|wrapper)"
)
_INLINER = css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)


def token(number: int, *, block: bool) -> str:
    """Return the stand-in for one expression; a block's is a comment, which tables keep."""
    return f"<!--qz{number:05}zq-->" if block else f"qz{number:05}zq"


def has_token(text: str) -> bool:
    """Say whether a fixed text would be taken for a stand-in."""
    return _TOKEN.search(text) is not None


def split(text: str) -> Iterator[str | int]:
    """Yield static text and token numbers in order."""
    at = 0
    for found in _TOKEN.finditer(text):
        if found.start() > at:
            yield text[at : found.start()]
        yield int(found[1] or found[2])
        at = found.end()
    if at < len(text):
        yield text[at:]


def misplaced(source: str) -> Iterator[tuple[int | None, str, str]]:
    """Yield token number, what is wrong and what to do, for what MJML could not carry through."""
    styles = [m.span() for m in _STYLE.finditer(source)]
    inside_tag = [m.span() for m in re.finditer(r"<[^<>!]*>", source)]
    for found in _TOKEN.finditer(source):
        number, at = int(found[1] or found[2]), found.start()
        if any(a <= at < b for a, b in styles):
            yield number, "a style holds an expression", "write fixed styles"
        elif any(a < at < b for a, b in inside_tag):
            if found[1]:
                yield number, "a control block stands inside a tag", "put it around the text"
        else:
            yield from _outside(number, _enclosing(source, at), block=bool(found[1]))
    for tag in sorted({m[2] for m in _TAG.finditer(source)}):
        if not _KNOWN.fullmatch(tag):
            yield None, f"<{tag}> is no MJML element", "see the list at documentation.mjml.io"


def _outside(number: int, element: str, *, block: bool) -> Iterator[tuple[int, str, str]]:
    allowed = _BLOCKS_IN if block else _WORDS_IN
    if element not in allowed:
        what = "a control block" if block else "an expression"
        places = ", ".join(f"<{name}>" for name in allowed)
        yield number, f"{what} stands directly in <{element}>", f"put it inside one of {places}"


def _enclosing(source: str, at: int) -> str:
    stack = ["the document"]
    for tag in _TAG.finditer(source, 0, at):
        if tag[4]:
            continue
        if not tag[1]:
            stack.append(tag[2])
        elif tag[2] in stack:
            del stack[len(stack) - 1 - stack[::-1].index(tag[2]) :]
    return stack[-1]


@lru_cache(maxsize=1024)
def to_html(source: str, locale: str) -> str:
    """Return mail HTML with inlined CSS; raises ``ValueError`` when the MJML does not parse."""
    html = mjml.mjml2html(source, fonts={}, social_icon_origin="")
    html = html.replace('lang="und"', f'lang="{locale}"')
    return _INLINER.inline(html)

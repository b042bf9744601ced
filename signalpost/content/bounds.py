"""What keeps a template small: in size, in time, in depth.

A template is written by one of us and its values come from an event, so neither may make a worker hang
or swell. What can be seen in the text is refused by ``lint``; what depends on values is counted while
it runs, and ends as one person's failure. There is no clock and no thread: counting turns and letters
is cheaper, and the same template fails the same way on every machine.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NoReturn

from jinja2 import filters as jinja_filters
from jinja2 import nodes, pass_context, pass_eval_context
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, Undefined

LONGEST_RANGE = 100  #: numbers that ``range`` gives at most
LARGEST_PART = 200_000  #: characters that one slot may grow to
LARGEST_MESSAGE = 1_000_000  #: characters of all slots together
LARGEST_SOURCE = 200_000  #: characters of one template file
MOST_TURNS = 10_000  #: turns of all loops of a message together
MOST_NODES = 5_000  #: expressions, tags and texts of one template file
MOST_IN_LOOP = 500  #: of these within one loop
DEEPEST = 40  #: how deep they stand in each other

EACH = "each of"  #: the filter around what a loop goes through; no template can name it


class Scope(Context):
    """What a block reads while it runs, and how many turns its loops have taken."""

    turns = 0


def limited_range(*args: int) -> range:
    """Give ``range``, of so many numbers at most."""
    numbers = range(*args)
    if len(numbers) > LONGEST_RANGE:
        raise OverflowError(f"range is limited to {LONGEST_RANGE}")
    return numbers


@pass_context
def each(context: Context, value: Any) -> Any:
    """Let a loop go through a list, and count its turns.

    Raises:
        TypeError: it is no list: a text would be gone through letter by letter.
        OverflowError: the loops of this message have taken too many turns.
    """
    if isinstance(value, Undefined):
        return iter(value)  # it says what is missing
    if not isinstance(value, list | tuple | range):
        raise TypeError("a loop goes through a list")
    if isinstance(context, Scope):
        context.turns += len(value)
        if context.turns > MOST_TURNS:
            raise OverflowError(f"loops take more than {MOST_TURNS} turns")
    return value


@pass_eval_context
def join(given: EvalContext, value: Any, between: Any = "", attribute: Any = None) -> str:
    """Template filter ``join``, which refuses to make a text longer than a part may be."""
    parts = list(islice(value, LARGEST_PART + 1))
    length = sum(len(str(part)) for part in parts) + len(str(between)) * max(0, len(parts) - 1)
    if length > LARGEST_PART:
        too_large()
    return jinja_filters.FILTERS["join"](given, parts, between, attribute)


def counted(chunks: Iterator[str]) -> Iterator[str]:
    """Hand on what a block writes, as long as it is not too much."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LARGEST_PART:
            too_large()
        yield chunk


def too_large() -> NoReturn:
    """Refuse to go on with a part."""
    raise OverflowError(f"more than {LARGEST_PART} characters")


def guard_loops(node: nodes.Node) -> None:
    """Have every loop in a block go through ``each``; done twice it is the same."""
    loops = [node] if isinstance(node, nodes.For) else []
    for loop in [*loops, *node.find_all(nodes.For)]:
        inside = loop.iter
        if not (isinstance(inside, nodes.Filter) and inside.name == EACH):
            loop.iter = nodes.Filter(inside, EACH, [], [], None, None, lineno=loop.lineno)


def too_much(tree: nodes.Template) -> tuple[int, str, str] | None:
    """Say in which line a template is too deep or too much, and what to do; None when it is not."""
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    seen = 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if depth > DEEPEST:
            return node.lineno or 1, "the template is nested too deep", "flatten it"
        if seen > MOST_NODES:
            says = f"the template has more than {MOST_NODES} expressions, tags and texts"
            return node.lineno or 1, says, "shorten it"
        if isinstance(node, nodes.For) and _size(node) > MOST_IN_LOOP:
            says = f"the loop holds more than {MOST_IN_LOOP} expressions, tags and texts"
            return node.lineno or 1, says, "shorten it"
        waiting.extend((child, depth + 1) for child in node.iter_child_nodes())
    return None


def _size(node: nodes.Node) -> int:
    waiting, size = [node], 0
    while waiting and size <= MOST_IN_LOOP:
        size += 1
        waiting.extend(waiting.pop().iter_child_nodes())
    return size

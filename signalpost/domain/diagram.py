"""A journey drawn as a Mermaid flowchart, from the program that runs."""

from collections.abc import Callable, Mapping
from typing import Any

from signalpost.domain.program import Node, Program

_END = "done"


def mermaid(program: Program, *, counts: dict[str, int] | None = None) -> str:
    """Draw the program; ``counts`` (node id → people there now) are written on the nodes."""
    lines = [
        "flowchart TD",
        f'    start(["{" or ".join(program.starts_on)}"]) --> {_name(program.entry)}',
    ]
    for node in program.nodes.values():
        here = f"<br/><b>{counts[node.id]} here</b>" if counts and counts.get(node.id) else ""
        opening, closing = _SHAPES.get(node.kind, ("[", "]"))
        lines.append(f'    {_name(node.id)}{opening}"{_label(node)}{here}"{closing}')
        lines.extend(_arrows(node))
    lines.append(f"    {_END}([done])")
    lines.extend(
        f'    left{number}(["left: {rule["reason"]}"])'
        for number, rule in enumerate(program.exits_on)
    )
    return "\n".join(lines) + "\n"


_SHAPES = {
    "branch": ("{", "}"),
    "split": ("{", "}"),
    "wait": ("(", ")"),
    "wait_for": ("(", ")"),
    "exit": ("([", "])"),
    "hand_off": ("[/", "/]"),
}


def _name(node_id: str | None) -> str:
    return _END if node_id is None else "n" + node_id.replace(".", "_")


def _arrows(node: Node) -> list[str]:
    here = _name(node.id)
    if node.kind == "exit":
        return []
    arrows = [f"    {here} -->|{_way(node, way)}| {_name(to)}" for way, to in node.ways.items()]
    if node.kind == "wait_for":
        arrows.insert(0, f"    {here} -->|came| {_name(node.next)}")
    elif node.kind not in ("branch", "split"):
        arrows.append(f"    {here} --> {_name(node.next)}")
    return arrows


def _way(node: Node, way: str) -> str:
    if node.kind == "wait_for":
        return f"not within {_length(node.args['seconds'])}"
    if node.kind == "branch":
        return {"then": "yes", "otherwise": "no"}[way]
    return way


def _length(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = seconds / size
            return f"{number:g} {unit}{'' if number == 1 else 's'}"
    return f"{seconds:g} seconds"


def _channels(via: list[dict[str, Any]]) -> str:
    chains = [
        ("preferred, else " if chain["preferred"] else "") + " else ".join(chain["channels"])
        for chain in via
    ]
    return " + ".join(chains)


def _wait_label(args: Mapping[str, Any]) -> str:
    clock = f", at {args['at']} ({args['zone']}'s time)" if args["at"] else ""
    return f"wait {_length(args['seconds'])}{clock}"


def _hand_off_label(args: Mapping[str, Any]) -> str:
    high = ", high priority" if args["priority"] == "high" else ""
    return f"{args['case']} case to {args['team']}{high}<br/>{args['reason']}"


_LABELS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "send": lambda a: f"send {a['message']}<br/>{_channels(a['via'])}",
    "ask": lambda a: f"ask {a['message']}<br/>{_channels(a['via'])}",
    "wait": _wait_label,
    "wait_for": lambda a: f"wait for {a['wait_for'].partition(':')[2]}",
    "branch": lambda a: f"{a['subject'].partition(':')[2]} {a['op']} {a['value']}?",
    "split": lambda a: f"split {a['name']}",
    "open_case": lambda a: f"open {a['case']} case",
    "hand_off": _hand_off_label,
    "close_case": lambda a: f"close {a['case']} case: {a['outcome']}",
    "call": lambda a: f"call {a['hook']}",
    "recall": lambda a: f"recall {a['what'].replace('_', ' ')}",
    "issue": lambda a: f"issue {a['promotion']}: {a['percent']} percent, {_length(a['seconds'])}",
    "set": lambda a: f"set {a['name']}",
    "exit": lambda a: f"leave: {a['reason']}",
}


def _label(node: Node) -> str:
    return _LABELS[node.kind](node.args)

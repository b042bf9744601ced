"""A journey drawn as a Mermaid flowchart, from the program that runs."""

from typing import Any

from signalpost.domain.program import Node, Program

_END = "done"


def mermaid(program: Program, *, counts: dict[str, int] | None = None) -> str:
    """Draw the program; ``counts`` (node id → people there now) are written on the nodes."""
    lines = ["flowchart TD", f'    start(["{program.starts_on}"]) --> {_name(program.entry)}']
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


def _label(node: Node) -> str:
    args = node.args
    match node.kind:
        case "send":
            return f"send {args['message']}<br/>{_channels(args['via'])}"
        case "ask":
            return f"ask {args['message']}<br/>{_channels(args['via'])}"
        case "wait":
            clock = f", at {args['at']} ({args['zone']}'s time)" if args["at"] else ""
            return f"wait {_length(args['seconds'])}{clock}"
        case "wait_for":
            return f"wait for {args['wait_for'].partition(':')[2]}"
        case "branch":
            return f"{args['subject'].partition(':')[2]} {args['op']} {args['value']}?"
        case "split":
            return f"split {args['name']}"
        case "open_case":
            return f"open {args['case']} case"
        case "hand_off":
            high = ", high priority" if args["priority"] == "high" else ""
            return f"{args['case']} case to {args['team']}{high}<br/>{args['reason']}"
        case "close_case":
            return f"close {args['case']} case: {args['outcome']}"
        case "call":
            return f"call {args['hook']}"
        case "issue":
            return (
                f"issue {args['promotion']}: {args['percent']} percent, {_length(args['seconds'])}"
            )
        case "set":
            return f"set {args['name']}"
        case _:
            return f"leave: {args.get('reason', '')}"

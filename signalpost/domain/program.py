"""A journey as it is pinned: a graph of nodes that serialises to JSON and has a version."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from signalpost.errors import ConfigurationError


class ProgramError(ConfigurationError):
    """A journey is not sound; the message says which step and why."""


@dataclass(frozen=True)
class Node:
    """One step in the graph. ``ways``: where each named way leads; None ends the journey."""

    id: str
    kind: str
    args: Mapping[str, Any]
    next: str | None
    ways: Mapping[str, str | None]


@dataclass(frozen=True)
class Program:
    """A compiled journey; ``version`` is the hash of everything else."""

    journey: str
    lane: str
    starts_on: tuple[str, ...]
    key: str | None
    reentry: str
    exits_on: tuple[Mapping[str, Any], ...]
    entry: str
    nodes: Mapping[str, Node]
    version: str

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON values; one starting event is written as it always was."""
        first, *others = self.starts_on
        return {**asdict(self), "starts_on": [first, *others] if others else first}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Program":
        """Read what ``to_json`` wrote."""
        nodes = {key: Node(**node) for key, node in data["nodes"].items()}
        starts_on = data["starts_on"]
        return cls(
            **{
                **data,
                "nodes": nodes,
                "exits_on": tuple(data["exits_on"]),
                "starts_on": (starts_on,) if isinstance(starts_on, str) else tuple(starts_on),
            }
        )

    def messages(self) -> list[str]:
        """Name the messages this journey sends, in order, each once."""
        names = (node.args["message"] for node in self.nodes.values() if "message" in node.args)
        return list(dict.fromkeys(names))


def seal(**parts: Any) -> Program:
    """Make a program and give it its version."""
    parts["exits_on"] = tuple(parts["exits_on"])
    unversioned = Program(**parts, version="")
    text = json.dumps(unversioned.to_json(), sort_keys=True, default=str)
    version = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Program(**parts, version=version)

"""The alert rules and the dashboard ask only for figures that there are, by labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from signalpost.services.watching.figures import FIGURES
from signalpost.telemetry import meters

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deployments/prometheus/rules.yaml"
BOARD = ROOT / "deployments/grafana/signalpost.json"
_NAME = re.compile(r"\bsignalpost_[a-z_]+\b")


def known() -> dict[str, set[str]]:
    """Every series that a process gives: its name → its labels."""
    found = {name: set(labels) for name, (_, labels) in FIGURES.items()}
    for family in (meters.PROVIDER_SECONDS, meters.HANDOVERS):
        [described] = family.describe()
        labels = {"account", "channel"} | (
            {"status", "fault", "code"} if family is meters.HANDOVERS else set()
        )
        endings = ("_total",) if described.type == "counter" else ("_bucket", "_sum", "_count")
        for ending in endings:
            found[described.name + ending] = labels | ({"le"} if ending == "_bucket" else set())
    found["signalpost_refused_webhooks_total"] = {"provider"}
    return found


def questions() -> Iterator[tuple[str, str]]:
    """Give each question of the rules and of the dashboard, by its title."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "question"), list(questions()))
def test_whatever_is_asked_for_is_there(title: str, question: str) -> None:
    """Each series exists, and so does each label that it is filtered or grouped by."""
    series = known()
    names = _NAME.findall(question)
    assert names, title
    assert [name for name in names if name not in series] == []
    for name, wanted in re.findall(r"(signalpost_[a-z_]+)\{([^}]*)\}", question):
        assert set(re.findall(r"(\w+)\s*[!=]", wanted)) <= series[name]
    grouped = {
        label.strip()
        for some in re.findall(r"by \(([^)]*)\)", question)
        for label in some.split(",")
    }
    assert grouped <= {"instance"}.union(*(series[name] for name in names))


@pytest.mark.parametrize("rule", yaml.safe_load(RULES.read_text())["groups"][0]["rules"])
def test_every_alert_says_what_is_the_matter(rule: dict) -> None:
    """A summary in words, and how urgent it is; its labels are those that the question leaves."""
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in ("page", "ticket")
    used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    left = re.findall(r"by \(([^)]*)\)", rule["expr"])
    assert used <= {label.strip() for some in left for label in some.split(",")}


def test_every_figure_is_described_and_named_alike() -> None:
    """Prometheus's habits: a prefix, seconds as the unit, words that say what it is."""
    for name, (says, labels) in FIGURES.items():
        assert name.startswith("signalpost_")
        assert says.endswith("."), name
        assert not {"customer", "address", "email", "phone"} & set(labels)

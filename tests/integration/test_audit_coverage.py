"""Every command and every route that changes something is in the audit log, or says here why not.

When this fails after you added one: have it call ``signalpost.record.audit.add`` in its transaction and
do it in ``test_each_deed_leaves_an_entry``, or write down below why nobody need know who did it.
"""

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.main

from signalpost.cli.commands import app as cli
from signalpost.cli.door import actor
from signalpost.clock import set_file
from signalpost.content import Catalogue
from signalpost.content.campaigns import load
from signalpost.domain.circuit import Circuit
from signalpost.record import audit, provider_accounts
from signalpost.services.campaigns import launching, runs
from signalpost.testing import Stage
from tests.cli_harness import Result, signalpost
from tests.integration.pages_harness import open_site

#: Commands that operators and marketers do something with, and what the log calls it.
DEEDS = {
    "merge": "merge",
    "unmerge": "unmerge",
    "redrive": "redrive",
    "suppress": "suppress",
    "providers": "circuit_close",
    "campaign launch": "campaign.launched",
    "campaign approve": "campaign.approved",
    "campaign refuse": "campaign.refused",
    "campaign pause": "campaign.paused",
    "campaign resume": "campaign.resumed",
    "campaign cancel": "campaign.cancelled",
    "migrate": "migrate",
    "prune": "prune",
    "key make": "key.make",
    "key rotate": "key.rotate",
    "key revoke": "key.revoke",
    "export": "customer.exported",
    "erase": "customer.erased",
    "backup": "record.backed_up",
    "restored": "record.restored",
}
#: Deeds that need more than this test has, and the test that holds them.
ELSEWHERE = {
    "deploy": "tests/flows/test_deploying.py",
    "stuck": "tests/integration/test_cli_stuck.py",
    "resolve": "tests/integration/test_cli_stuck.py",
    "providers": "tests/integration/test_cli_providers.py",
}
#: Commands that change nothing that is kept, or nothing of the record.
NO_DEEDS = {
    "up": "starts processes",
    "demo": "starts processes, on a record of its own",
    "web": "starts a process",
    "worker": "starts a process",
    "postoffice": "starts a process",
    "doctor": "looks",
    "record": "looks",
    "why": "looks",
    "audit": "looks",
    "key list": "looks",
    "journeys": "looks",
    "lint": "looks",
    "preview": "looks",
    "event": "a signal, as any system sends it: the record keeps it as an event with its source",
    "campaign new": "writes a file of the project, which its repository keeps",
    "campaign list": "looks",
    "campaign plan": "looks",
    "campaign preview": "looks",
    "campaign simulate": "plays on a copy",
    "campaign status": "looks",
    "campaign report": "looks",
    "campaign holdout": "looks",
}

#: Routes that are no GET, and why nobody of ours acts there. The end of a path stands for the rest.
NO_DEEDS_BY_WEB = {
    "/v1/batch": "signals in",
    "/v1/identify": "signals in",
    "/v1/track": "signals in",
    "/v1/page": "signals in",
    "/v1/screen": "signals in",
    "/v1/group": "signals in",
    "/v1/alias": "signals in",
    "/v1/import": "signals in",
    "/v1/events": "signals in",
    "/v1/b": "signals in",
    "/v1/i": "signals in",
    "/v1/t": "signals in",
    "/v1/p": "signals in",
    "/v1/s": "signals in",
    "/v1/g": "signals in",
    "/v1/a": "signals in",
    "/webhooks/": "what providers tell; signed by them and kept as receipts and replies",
    "/links/": "a customer's own act; on their timeline",
    "/v1/inbox/tokens": "opens one customer's inbox for the shop's server; nothing is changed",
    "/v1/inbox/": "a customer's own act; on their timeline",
    "/v1/customers/lookup": "looks; a POST so that no address is in a URL",
    "/customers": "looks; a POST so that no address is in a URL",
    "/login": "opens a session; nothing of the record is changed",
    "/logout": "ends a session",
}
#: Routes by which operators and marketers do something, and what the log calls it.
DEEDS_BY_WEB: dict[str, str] = {}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


def test_every_command_is_in_the_log_or_says_why_not() -> None:
    known = DEEDS.keys() | ELSEWHERE.keys() | NO_DEEDS.keys()
    assert set(commands(typer.main.get_command(cli))) - known == set()


def changing(routes: Any) -> Iterator[tuple[str, str]]:
    for route in routes:
        for method in sorted(getattr(route, "methods", None) or ()):
            if method not in ("GET", "HEAD", "OPTIONS"):
                yield method, route.path


def test_every_route_that_changes_something_is_in_the_log_or_says_why_not(tmp_path: Path) -> None:
    with open_site(tmp_path) as site:
        found = set(changing(site.app.router.routes))
    assert len(found) > 20

    def is_known(path: str) -> bool:
        if path.rstrip("/") in NO_DEEDS_BY_WEB.keys() | DEEDS_BY_WEB.keys():
            return True
        return any(path.startswith(start) for start in NO_DEEDS_BY_WEB if start.endswith("/"))

    assert [path for _, path in sorted(found) if not is_known(path)] == []


def test_no_get_changes_anything_by_its_name(tmp_path: Path) -> None:
    """A handler behind a GET must not be one behind a POST as well."""
    with open_site(tmp_path) as site:
        routes = site.app.router.routes
        mixed = [
            route.path  # type: ignore[attr-defined]
            for route in routes
            if {"GET", "POST"} <= set(getattr(route, "methods", None) or ())
        ]
    assert mixed == []


# -- each deed -------------------------------------------------------------------------------------

SPRING = """\
name: spring
description: Fifteen percent in spring.
owner: shop marketing
message: purchase_offer
audience: {attribute: tier, among: [gold]}
channels: {first: [email, in_app]}
holdout: 0%
approval: always
promotion: {id: SPRING-26, code: LARK15, ends: 2027-05-31 23:59, zone: UTC, facts: {percent: 15}}
"""


class House:
    """A stage, and the command line beside it."""

    def __init__(self, folder: Path, stage: Stage, templates: Path) -> None:
        self.folder, self.stage, self.templates = folder, stage, templates

    def run(self, *words: str) -> Result:
        clock = self.folder / "clock.json"
        set_file(clock, self.stage.clock())
        done = signalpost(
            self.folder,
            *words,
            campaigns=str(self.folder / "campaigns"),
            templates=str(self.templates),
            journeys="no_journeys",
            database_url=f"sqlite:///{self.folder / 'stage.db'}",
            clock_file=str(clock),
            keep_messages_days="90",
        )
        assert done.code == 0, done
        return done

    def entries(self) -> list[Any]:
        with self.stage.database.reading() as session:
            return audit.entries(session)[::-1]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    templates = tmp_path / "templates"
    templates.mkdir()
    shutil.copy("templates/brand.toml", templates)
    for name in ("_layout", "purchase_offer"):
        shutil.copytree(Path("templates") / name, templates / name)
    (tmp_path / "no_journeys.py").write_text("JOURNEYS = ()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "campaigns" / "spring.yaml").write_text(SPRING)
    files = load(tmp_path / "campaigns", Catalogue.load(templates))
    with Stage(folder=tmp_path, journeys=(), campaigns=files, templates=templates) as stage:
        for number in range(3):
            stage.signal(
                "profile.updated",
                user_id=f"u{number}",
                email=f"u{number}@example.com",
                traits={"tier": "gold", "marketing_consent": True, "timezone": "UTC"},
            )
        yield House(tmp_path, stage, templates)


def _launched(house: House) -> str:
    words = ("campaign", "launch", "spring", "--now", "--by", "Omar", "--json")
    return json.loads(house.run(*words).out)["id"]


def parked(stage: Stage) -> str:
    """An event that broke us and is repaired now."""
    react = stage.react

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    stage.react = broken
    event = stage.signal("order.ready_for_pickup", user_id="u0", order_id="7", store="Harbour")
    stage.react = react
    assert event.status == "parked"
    return event.event_id


def test_bringing_the_record_up_to_date_leaves_an_entry(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert signalpost(tmp_path, "migrate").code == 0
    shown = json.loads(signalpost(tmp_path, "audit", "--json").out)
    assert [(one["actor"], one["action"]) for one in shown] == [(actor(), "migrate")]
    signalpost(tmp_path, "migrate")
    assert len(json.loads(signalpost(tmp_path, "audit", "--json").out)) == 1


#: Deeds about the record as a whole, or about keys: done in the test below.
APART = ("key make", "key rotate", "key revoke", "export", "erase", "backup", "restored")


def test_each_deed_about_keys_people_and_the_whole_record_leaves_an_entry(house: House) -> None:
    house.run("key", "make", "shop", "--scope", "ingest")
    house.run("key", "rotate", "shop")
    house.run("key", "revoke", "shop")
    house.run("export", "u0", "--out", str(house.folder / "u0.json"))
    house.run("erase", "u0", "--reason", "asked")
    house.run("backup", str(house.folder / "copy.db"))
    since = house.stage.clock() - timedelta(hours=1)
    house.run("restored", "--since", since.strftime("%Y-%m-%dT%H:%M:%SZ"))
    found = house.entries()
    assert {row.actor for row in found} == {actor()}
    assert {row.action for row in found} == {DEEDS[what] for what in APART}
    assert "example.com" not in "".join(f"{row.subject}{row.detail}" for row in found)
    with house.stage.database.reading() as session:
        assert audit.verify(session) is None


def test_each_deed_leaves_an_entry(house: House) -> None:
    stage = house.stage
    house.run("merge", "u0", "u1", "--reason", "same passport")
    [merge] = [row.subject for row in house.entries()]
    house.run("unmerge", merge.removeprefix("merge:"))
    house.run("suppress", "u2@example.com")
    house.run("suppress", "u2@example.com", "--lift")
    house.run("redrive", parked(stage))
    broken = Circuit(account="twilio", opened_at=stage.clock(), reason="Busy.")
    with stage.database.writing() as session:
        provider_accounts.keep(session, circuit=broken, now=stage.clock())
    house.run("providers", "--close", "twilio")
    house.run("campaign", "refuse", _launched(house), "--reason", "the code is not live")
    run = _launched(house)
    with stage.database.reading() as session:
        seen = str(runs.find(session, which=run).plan["digest"])
    house.run("campaign", "approve", run, "--yes", "--seen", seen, "--by", "Maria")
    stage.clock.now += timedelta(minutes=1)
    launching.start(stage.desk, campaign_run_id=run, now=stage.clock())
    house.run("campaign", "pause", run, "--reason", "wait")
    house.run("campaign", "resume", run)
    house.run("campaign", "cancel", run, "--yes", "--reason", "over")
    house.run("prune")
    found = house.entries()
    assert {row.actor for row in found} == {actor()}
    rest = {"migrate", *(action for what, action in DEEDS.items() if what in APART)}
    assert set(DEEDS.values()) - {row.action for row in found} == rest
    said = "".join(f"{row.subject}{row.detail}" for row in found)
    assert "example.com" not in said
    assert "passport" not in said, "free text stays on the record, where it can be erased"
    approved = next(row for row in found if row.action == "campaign.approved")
    assert json.loads(approved.detail) == {"by": "Maria", "digest": seen, "people": 3}
    assert approved.subject == f"run:{run}"
    with stage.database.reading() as session:
        assert audit.verify(session) is None

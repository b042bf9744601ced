"""The three journeys on a virtual clock: what customers got, and what stands on the record."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from flows import JOURNEYS
from signalpost.domain.delivery import Handover, HookOutcome
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass
from signalpost.record.cases import Case, CaseEntry
from signalpost.record.decisions import DecisionRow
from signalpost.record.enrolments import Enrolment
from signalpost.record.messages import InAppItem, Message
from signalpost.testing import Stage

ANN = {"user_id": "ann", "phone": "+12065550100", "email": "ann@example.com"}
FRAUD = {
    "transaction_id": "T1",
    "merchant": "XYZ store",
    "amount": {"amount": "1000.00", "currency": "USD"},
    "occurred_at": "2026-03-02T08:59:00Z",
}


@pytest.fixture
def stage(tmp_path, database_url):
    with Stage(folder=tmp_path, journeys=JOURNEYS, database_url=database_url) as opened:
        yield opened


def rows(stage, table):
    with stage.database.reading() as session:
        return list(session.exec(select(table).order_by(next(iter(table.__table__.primary_key)))))


def decisions(stage, **wanted):
    found = rows(stage, DecisionRow)
    return [d for d in found if all(getattr(d, key) == value for key, value in wanted.items())]


def code(stage) -> str:
    [answer_code] = {q.code for q in rows(stage, _question())}
    return answer_code


def _question():
    from signalpost.record.receipts import Question

    return Question


# -- pickup ------------------------------------------------------------------------------------


def test_a_pickup_of_three_weeks_with_a_restart_and_a_change_to_summer_time(tmp_path):
    """Ready, two reminders, a case; picked up at last; asked at 10:00 local; 2 opens a case."""
    start = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
    with Stage(folder=tmp_path, journeys=JOURNEYS, start=start) as stage:
        traits = {"first_name": "Ann", "timezone": "Europe/Berlin"}
        stage.signal(
            "order.ready_for_pickup", **ANN, order_id="5004", store="Harbour", traits=traits
        )
        stage.run_for(days=5)
        stage.restart()
        stage.run_for(days=8)
        [case] = rows(stage, Case)
        assert (case.kind, case.team, case.status) == ("store", "store", "open")
        stage.clock.now = datetime(2026, 3, 28, 15, 0, tzinfo=UTC)  # the night is an hour shorter
        stage.signal("order.picked_up", user_id="ann", order_id="5004")
        stage.run_for(days=2)
        assert stage.messages() == [
            ("pickup_ready", "sms"),
            ("pickup_ready", "in_app"),
            ("pickup_reminder", "sms"),
            ("pickup_last_reminder", "sms"),
            ("pickup_csat", "sms"),
        ]
        assert stage.sent[-1].at == datetime(2026, 3, 29, 8, 0, tzinfo=UTC)  # 10:00 in Berlin
        stage.reply(ANN["phone"], "2 - nobody at the counter")
        stage.run_due()
        assert stage.messages()[-1] == ("csat_sorry", "sms")
        kinds = {case.kind: case for case in rows(stage, Case)}
        assert kinds["store"].status == "closed"
        assert kinds["service"].status == "open"
        assert kinds["service"].context["event_id"]


def test_a_pickup_that_was_reported_before_the_ready_message_cancels_it(stage):
    """The events came in the wrong order; nobody is told to fetch what they have."""
    stage.signal("order.placed", **ANN, order_id="5004", total=12, currency="USD")
    stage.signal("order.picked_up", user_id="ann", order_id="5004")
    stage.signal("order.ready_for_pickup", user_id="ann", order_id="5004")
    stage.run_for(days=2)
    assert "pickup_ready" not in dict(stage.messages())
    [skipped] = decisions(stage, subject="pickup_ready")
    assert (skipped.outcome, skipped.reason) == ("skip", "already_happened")
    assert stage.messages()[-1] == ("pickup_csat", "sms")


def test_without_a_phone_the_ready_message_goes_by_email(stage):
    stage.signal("order.ready_for_pickup", user_id="bo", email="bo@example.com", order_id="1")
    stage.run_due()
    assert stage.messages() == [("pickup_ready", "email"), ("pickup_ready", "in_app")]
    [no_sms] = decisions(stage, channel="sms")
    assert no_sms.reason == "no_contact_point"


@pytest.mark.parametrize(
    ("score", "then"), [("5", "csat_thanks"), ("3", None), ("1", "csat_sorry")]
)
def test_a_score_decides_what_comes_next(stage, score, then):
    stage.signal("order.ready_for_pickup", **ANN, order_id="1")
    stage.run_due()
    stage.signal("order.picked_up", user_id="ann", order_id="1")
    stage.run_for(days=1, hours=12)
    stage.reply(ANN["phone"], score)
    stage.run_due()
    after = [message for message, _ in stage.messages()][3:]
    assert after == ([then] if then else [])
    [enrolment] = rows(stage, Enrolment)
    assert enrolment.status == "done"


def test_a_cancelled_order_ends_the_journey_at_once(stage):
    stage.signal("order.ready_for_pickup", **ANN, order_id="1")
    stage.run_due()
    stage.signal("order.cancelled", user_id="ann", order_id="1")
    stage.run_for(days=20)
    assert len(stage.sent) == 2
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.reason) == ("exited", "order.cancelled")


def test_people_in_flight_keep_the_version_they_started_with(tmp_path):
    """The journey changes in the middle; Ann goes on in the old one, Bo enters the new one."""
    from signalpost.domain.journey import SMS, Journey, Send, Wait, first
    from signalpost.domain.vocabulary import Lane

    def version(second: str) -> Journey:
        return Journey(
            name="pickup",
            lane=Lane.SERVICE,
            starts_on="order.ready_for_pickup",
            key="order_id",
            steps=[
                Send("pickup_ready", via=first(SMS)),
                Wait(hours=2),
                Send(second, via=first(SMS)),
            ],
        )

    with Stage(folder=tmp_path, journeys=[version("pickup_reminder")]) as stage:
        zone = {"timezone": "UTC"}
        stage.signal("order.ready_for_pickup", **ANN, order_id="1", traits=zone)
        stage.run_due()
        stage.restart([version("pickup_last_reminder")])
        stage.signal(
            "order.ready_for_pickup", user_id="bo", phone="+12065550101", order_id="2", traits=zone
        )
        stage.run_for(hours=3)
        second = {one.to: one.message for one in stage.sent if one.message != "pickup_ready"}
        assert second == {"+12065550100": "pickup_reminder", "+12065550101": "pickup_last_reminder"}


# -- purchase ----------------------------------------------------------------------------------


def purchase(stage, **more) -> None:
    traits = {"first_name": "Ann", "timezone": "UTC", **more}
    stage.signal(
        "order.placed",
        **ANN,
        order_id="7",
        total=64.5,
        currency="USD",
        products=[{"name": "Walnut board", "quantity": 1, "price": 64.5}],
        traits=traits,
    )


def test_a_purchase_is_confirmed_thanked_for_and_followed_by_one_offer(stage):
    """The offer has one code, one promotion and one expiry on both channels."""
    purchase(stage, marketing_consent=True)
    stage.run_for(days=4)
    assert stage.messages() == [
        ("order_confirmation", "email"),
        ("order_confirmation", "in_app"),
        ("purchase_thanks", "email"),
        ("purchase_offer", "email"),
        ("purchase_offer", "in_app"),
    ]
    offers = [m for m in rows(stage, Message) if m.message == "purchase_offer"]
    assert offers[0].facts == offers[1].facts
    code = offers[0].facts["code"]
    assert all(code in str(one.parts) for one in stage.sent if one.message == "purchase_offer")


def test_without_consent_there_is_no_offer_and_the_reason_is_on_record(stage):
    purchase(stage)
    stage.run_for(days=4)
    assert "purchase_offer" not in dict(stage.messages())
    reasons = {d.channel: d.reason for d in decisions(stage, subject="purchase_offer")}
    assert reasons == {"email": "no_consent", "in_app": "no_consent"}


def test_thanks_go_by_the_preferred_channel(stage):
    purchase(stage, preferred_channel="sms")
    stage.run_for(days=4)
    assert ("purchase_thanks", "sms") in stage.messages()


def test_a_vip_gets_early_access_by_text_with_a_personal_link(stage):
    """SC-02."""
    purchase(stage, tier="vip", marketing_consent=True)
    stage.run_for(days=4)
    early = {one.channel: one for one in stage.sent if one.message == "early_bird"}
    assert early.keys() == {"sms", "email", "in_app"}
    assert "/links/agent/" in early["sms"].text


def test_redeeming_the_offer_ends_the_journey_and_withdraws_it_from_the_inbox(stage):
    """Whatever case the till has it in."""
    purchase(stage, marketing_consent=True)
    stage.run_for(days=4)
    [offer] = [
        m for m in rows(stage, Message) if (m.message, m.channel) == ("purchase_offer", "in_app")
    ]
    stage.signal("promotion.redeemed", user_id="ann", code=f" {offer.facts['code'].swapcase()} ")
    [enrolment] = rows(stage, Enrolment)
    assert (enrolment.status, enrolment.reason) == ("exited", "redeemed")
    withdrawn = {item.message_id: item.withdrawn_at for item in rows(stage, InAppItem)}
    assert withdrawn[offer.id] is not None
    assert sum(at is not None for at in withdrawn.values()) == 1


def test_a_returned_order_is_not_thanked_for(stage):
    purchase(stage, marketing_consent=True)
    stage.run_for(days=1)
    stage.signal("order.returned", user_id="ann", order_id="7")
    stage.run_for(days=9)
    assert {message for message, _ in stage.messages()} == {"order_confirmation"}


# -- fraud -------------------------------------------------------------------------------------


def test_an_alert_has_the_facts_and_no_link_and_its_mirror_has_the_agent(stage):
    """SC-05, SC-06: a genuine text differs from a phishing one."""
    stage.signal("fraud.signalled", **ANN, **FRAUD)
    stage.run_due()
    text, mirror = stage.sent
    assert (text.channel, mirror.channel) == ("sms", "in_app")
    facts = ("XYZ store", "1,000", f"OK {code(stage)}", f"NO {code(stage)}")
    assert [fact for fact in facts if fact not in text.text] == []
    assert "http" not in text.text
    assert "/links/agent/" in mirror.parts["action_url"]


def test_ok_clears_the_case_and_says_so(stage):
    stage.signal("fraud.signalled", **ANN, **FRAUD)
    stage.run_due()
    stage.reply(ANN["phone"], f"ok {code(stage)}")
    stage.run_due()
    [case] = rows(stage, Case)
    assert (case.status, case.outcome) == ("closed", "cleared")
    assert stage.messages()[2:] == [("fraud_cleared", "sms"), ("fraud_cleared", "in_app")]
    assert stage.hooks.calls == []


def test_no_blocks_the_card_once_and_promises_a_date(stage):
    """The hook is called once, the agent has the case, the customer has the date and the advice."""
    stage.signal("fraud.signalled", **ANN, **FRAUD, traits={"assigned_agent": "Maria"})
    stage.run_due()
    stage.reply(ANN["phone"], f"NO {code(stage)}")
    stage.reply(ANN["phone"], f"NO {code(stage)}")
    stage.run_due()
    [(hook, _, body)] = stage.hooks.calls
    assert (hook, body["transaction_id"]) == ("block_card", "T1")
    assert "phone" not in str(body)
    [case] = rows(stage, Case)
    assert (case.status, case.assignee, case.outcome) == ("open", "Maria", "confirmed_fraud")
    assert case.promised_by.date().isoformat() == "2026-03-09"  # five working days after Monday
    assert stage.messages()[2:] == [("fraud_confirmed", "sms"), ("fraud_confirmed", "in_app")]
    assert "9 Mar" in stage.sent[2].text


def test_a_card_that_could_not_be_blocked_is_never_said_to_be(stage):
    stage.hooks.outcomes = [HookOutcome(status="failed")]
    stage.signal("fraud.signalled", **ANN, **FRAUD)
    stage.run_due()
    stage.reply(ANN["phone"], f"NO {code(stage)}")
    stage.run_due()
    assert "fraud_confirmed" not in dict(stage.messages())
    [case] = rows(stage, Case)
    assert "could not be blocked" in case.reason


def test_a_hook_that_was_surely_not_reached_is_called_again_under_the_same_id(stage):
    stage.hooks.outcomes = [HookOutcome(status="retry"), HookOutcome(status="retry")]
    stage.signal("fraud.signalled", **ANN, **FRAUD)
    stage.run_due()
    stage.reply(ANN["phone"], f"NO {code(stage)}")
    stage.run_for(minutes=2)
    assert len(stage.hooks.calls) == 3
    assert len({call_id for _, call_id, _ in stage.hooks.calls}) == 1
    assert ("fraud_confirmed", "sms") in stage.messages()


def test_a_hook_of_which_nobody_knows_is_called_again_too_and_the_team_is_told_in_minutes(stage):
    """Calling again is safe, the id tells; but a stolen card does not wait for a receiver for hours."""
    stage.hooks.outcomes = [HookOutcome(status="unknown")] * 50
    stage.signal("fraud.signalled", **ANN, **FRAUD)
    stage.run_due()
    stage.reply(ANN["phone"], f"NO {code(stage)}")
    stage.run_for(minutes=8)
    assert len(stage.hooks.calls) == 4  # at once, then after 5 s, 30 s and 5 min
    assert len({call_id for _, call_id, _ in stage.hooks.calls}) == 1
    assert "fraud_confirmed" not in dict(stage.messages())
    [case] = rows(stage, Case)
    assert "could not be blocked" in case.reason


def test_silence_is_answered_at_five_minutes_and_by_a_person_at_fifteen(stage):
    stage.signal("fraud.signalled", **ANN, **FRAUD)
    stage.run_for(minutes=6)
    assert stage.messages()[2:] == [("fraud_alert", "in_app"), ("fraud_alert", "email")]
    assert stage.sent[2].at - stage.sent[0].at == timedelta(minutes=5)
    stage.run_for(minutes=10)
    [case] = rows(stage, Case)
    assert (case.status, case.priority, case.assignee) == ("open", "high", "on-call")
    [assigned] = [e for e in rows(stage, CaseEntry) if e.what == "assigned"]
    assert assigned.at - stage.sent[0].at == timedelta(minutes=15)
    stage.reply(ANN["phone"], f"NO {code(stage)}")  # late, but to a case that is still open
    stage.run_due()
    assert len(stage.hooks.calls) == 1


def test_a_late_answer_to_an_old_case_never_clears_a_new_one(stage):
    stage.signal("fraud.signalled", **ANN, **FRAUD)
    stage.run_due()
    old = code(stage)
    stage.reply(ANN["phone"], f"OK {old}")
    stage.run_due()
    stage.signal("fraud.signalled", user_id="ann", **{**FRAUD, "transaction_id": "T2"})
    stage.run_due()
    stage.reply(ANN["phone"], f"OK {old}")
    stage.run_due()
    cases = {c.enrolment_id: c for c in rows(stage, Case)}
    assert sorted(c.status for c in cases.values()) == ["awaiting_customer", "closed"]


def test_a_second_signal_for_a_transaction_joins_its_case(stage):
    stage.signal("fraud.signalled", **ANN, **FRAUD)
    stage.run_due()
    stage.signal("fraud.signalled", user_id="ann", **FRAUD)
    stage.run_due()
    assert len(rows(stage, Case)) == 1
    assert len(stage.sent) == 2
    assert [e.what for e in rows(stage, CaseEntry)] == ["opened", "joined"]


def test_after_stop_an_alert_goes_to_the_next_channel(stage):
    """STOP holds for security too; the record says why the text did not go."""
    stage.signal("customer.identified", **ANN)
    stage.reply(ANN["phone"], "STOP")
    stage.signal("fraud.signalled", user_id="ann", **FRAUD)
    stage.run_due()
    assert stage.messages() == [("fraud_alert", "email"), ("fraud_alert", "in_app")]
    [skipped] = decisions(stage, channel="sms")
    assert skipped.reason == "suppressed_stop"


def test_an_opt_out_that_only_the_provider_knew_sends_the_alert_by_email_at_once(stage):
    """21610: Twilio refuses; the number is suppressed from then on."""

    def opted_out(one):
        if one.channel is not Channel.SMS:
            return None
        return Handover(
            status=DeliveryStatus.REJECTED,
            provider="outbox",
            fault=FaultClass.PERMANENT,
            code="21610",
            suppress="stop",
        )

    stage.outbox.manner = opted_out
    stage.signal("fraud.signalled", **ANN, **FRAUD)
    stage.run_due()
    assert stage.messages() == [("fraud_alert", "in_app"), ("fraud_alert", "email")]
    stage.signal("order.ready_for_pickup", user_id="ann", order_id="9")
    stage.run_due()
    reasons = {d.reason for d in decisions(stage, subject="pickup_ready", channel="sms")}
    assert reasons == {"suppressed_stop"}


def test_an_alert_ignores_the_night(tmp_path):
    night = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)  # 03:00 in Seattle
    with Stage(folder=tmp_path, journeys=JOURNEYS, start=night) as stage:
        stage.signal("fraud.signalled", **ANN, **FRAUD)
        stage.run_due()
        assert stage.messages() == [("fraud_alert", "sms"), ("fraud_alert", "in_app")]


def test_a_journey_with_reentry_after_exit_takes_people_again_and_never_twice_at_once(
    tmp_path, database_url
):
    from signalpost.domain.journey import Journey, Wait
    from signalpost.domain.vocabulary import Lane

    again = Journey(
        name="again",
        lane=Lane.SERVICE,
        starts_on="cart.updated",
        reentry="after_exit",
        steps=[Wait(hours=1)],
    )
    with Stage(folder=tmp_path, journeys=[again], database_url=database_url) as stage:
        for _ in range(2):
            stage.signal("cart.updated", **ANN)
            stage.run_due()
        assert len(rows(stage, Enrolment)) == 1
        assert [d.reason for d in decisions(stage, outcome="not_entered")] == ["still_inside"]
        stage.run_for(hours=2)
        stage.signal("cart.updated", **ANN)
        stage.run_due()
        assert len(rows(stage, Enrolment)) == 2


def test_an_old_event_is_kept_and_starts_nothing_and_says_so(stage):
    stage.signal(
        "order.placed", **ANN, order_id="1", total=5, at=stage.clock.now - timedelta(days=900)
    )
    stage.run_due()
    assert stage.sent == []
    assert [d.reason for d in decisions(stage, kind="entry")] == ["stale_event"]


def test_an_offer_that_is_held_for_the_night_on_one_channel_still_goes_there(tmp_path):
    """The in-app part went at once; its repeat window does not swallow the email of the morning."""
    night = datetime(2026, 3, 2, 23, 0, tzinfo=UTC)
    with Stage(folder=tmp_path, journeys=JOURNEYS, start=night) as stage:
        purchase(stage, marketing_consent=True, preferred_channel="in_app")
        stage.run_for(days=3, hours=12)
        offers = {one.channel: one.at.hour for one in stage.sent if one.message == "purchase_offer"}
        assert offers == {"in_app": 23, "email": 8}


def test_two_orders_of_one_person_are_thanked_for_once(stage):
    """The same question twice on one day would be a nuisance; the record says why it was left out."""
    purchase(stage)
    stage.signal("order.placed", user_id="ann", order_id="8", total=5, products=[{"name": "Cup"}])
    stage.run_for(days=4)
    assert [m for m, _ in stage.messages()].count("purchase_thanks") == 1
    assert "duplicate" in {d.reason for d in decisions(stage, subject="purchase_thanks")}


def test_leaving_a_journey_closes_what_it_asked(stage):
    """A score for an order that was returned meanwhile answers nothing, and no later question."""
    stage.signal("order.ready_for_pickup", **ANN, order_id="1")
    stage.run_due()
    stage.signal("order.picked_up", user_id="ann", order_id="1")
    stage.run_for(days=1, hours=12)
    stage.signal("order.returned", user_id="ann", order_id="1")
    [question] = rows(stage, _question())
    assert question.outcome == "expired"
    stage.reply(ANN["phone"], "1")
    stage.run_due()
    assert rows(stage, Case) == []

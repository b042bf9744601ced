"""Our own code with one promise broken: each must be found out by the check of its invariant.

The product has no switch for any of this: a process of the harness breaks itself when it starts.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

BREAKS: dict[str, Callable[[], None]] = {}


def become(name: str) -> None:
    """Break this process."""
    BREAKS[name]()


def _break(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(act: Callable[[], None]) -> Callable[[], None]:
        BREAKS[name] = act
        return act

    return keep


@_break("answers_before_it_commits")
def _i1() -> None:
    from signalpost.web.committer import Committer

    commit = Committer._commit

    def hasty(self: Any, together: Any, **more: Any) -> None:
        for waiting in together:
            waiting.settle([])
        time.sleep(0.2)  # the answer is out
        commit(self, together, **more)

    Committer._commit = hasty


@_break("sends_again_what_is_unknown")
def _i2() -> None:
    from signalpost.providers.sendgrid import client

    client.unknown = lambda _why: client.not_connected()


@_break("believes_that_errors_were_taken")
def _i3() -> None:
    from signalpost.domain.vocabulary import DeliveryStatus
    from signalpost.providers.sendgrid import client

    client.unknown = lambda _why: client.Outcome(status=DeliveryStatus.ACCEPTED)


@_break("forgets_who_said_stop")
def _i4() -> None:
    from signalpost.domain import gate
    from signalpost.services.protocol.late_stops import LateStops

    gate.RULES = {
        purpose: tuple(rule for rule in rules if rule is not gate.suppression)
        for purpose, rules in gate.RULES.items()
    }
    LateStops.concern = lambda *_: False  # it would still be heard at the last moment,
    LateStops.among = lambda *_: frozenset()  # and right before each request


@_break("keeps_quiet_hours_in_utc")
def _i5() -> None:
    from zoneinfo import ZoneInfo

    from signalpost.services.journeys import gate

    gate._zones = lambda *_: ((ZoneInfo("UTC"),), "default")


@_break("forgets_what_was_sent_before")
def _i5_caps() -> None:
    from signalpost.record import messages

    messages.recent_marketing = lambda *_, **__: []


@_break("believes_any_signature")
def _i6() -> None:
    from signalpost.web import webhooks

    webhooks.sendgrid.verify_events = lambda *_: True
    webhooks.twilio.verify = lambda *_: True
    webhooks.twilio.is_whole = lambda *_: True


@_break("keeps_every_repeat")
def _i7() -> None:
    from signalpost.record.base import new_id
    from signalpost.web import webhooks

    parse = webhooks.sendgrid.parse_events

    def each_anew(*given: Any, **more: Any) -> Any:
        return [replace(one, keys=(new_id(),)) for one in parse(*given, **more)]

    webhooks.sendgrid.parse_events = each_anew


@_break("believes_whoever_spoke_last")
def _i8() -> None:
    from signalpost.domain import status

    status.apply = lambda before, kind: status.PROVES.get(kind) or before


@_break("keeps_only_the_last_receipt")
def _i9() -> None:
    from sqlalchemy import text

    from signalpost.services.inbound import receipts

    keep = receipts._keep

    def over_the_last(session: Any, new: Any, now: Any) -> None:
        for one in new.values():
            if one.message_id:
                session.execute(
                    text("DELETE FROM receipts WHERE message_id = :id"), {"id": one.message_id}
                )
        keep(session, new, now)

    receipts._keep = over_the_last


@_break("fails_all_for_the_sake_of_one")
def _i10() -> None:
    from signalpost.providers.sendgrid import client

    refused = client._refused

    client._refused = lambda error: replace(refused(error), next=client.Next.SETTLE)


@_break("logs_addresses")
def _i11() -> None:
    from signalpost.services import protocol

    hand_over = protocol.hand_over

    async def chatty(desk: Any, drafts: Any, **more: Any) -> None:
        print("handing over to", *(draft.address for draft in drafts), flush=True)
        await hand_over(desk, drafts, **more)

    protocol.hand_over = chatty


@_break("holds_claims_for_an_hour")
def _i12() -> None:
    from signalpost.record import campaign_people, enrolments
    from signalpost.services.reconciling import sweeping

    # The sweeper takes away claims that end later than any clock allows; here it believes them.
    sweeping.latest_end = lambda desk, now: now + timedelta(hours=2)
    for module, names in (
        (enrolments, ("lease", "still_held")),
        (campaign_people, ("lease", "still_held")),
    ):
        for name in names:
            setattr(module, name, _for_an_hour(getattr(module, name)))


def _for_an_hour(claim: Callable[..., Any]) -> Callable[..., Any]:
    def long(*given: Any, until: Any, **more: Any) -> Any:
        return claim(*given, until=until + timedelta(hours=1), **more)

    return long


@_break("asks_again_and_again")
def _i13() -> None:
    from signalpost.domain.vocabulary import DeliveryStatus
    from signalpost.providers.sendgrid.client import MailSend

    post = MailSend.post

    def stubborn(self: Any, body: Any) -> Any:
        outcome = post(self, body)
        for _ in range(11):
            if outcome.status is DeliveryStatus.RETRY:
                outcome = post(self, body)
        return outcome

    MailSend.post = stubborn


@_break("lets_alerts_wait_their_turn")
def _i14() -> None:
    from signalpost.services.journeys import claims

    claim_due = claims.claim_due

    def after_a_while(*given: Any, **more: Any) -> Any:
        claimed = claim_due(*given, **more)
        if claimed and claimed[0].lane == "risk":
            time.sleep(11)
        return claimed

    claims.claim_due = after_a_while

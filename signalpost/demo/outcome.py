"""What the journeys and the campaign promise of the story, each as a sentence, held against the record
and the post office's own log.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from signalpost.demo import campaign_outcome
from signalpost.demo.crowd import Crowd
from signalpost.demo.director import Scene
from signalpost.demo.evidence import Evidence, Rule
from signalpost.demo.people import (
    ANN,
    BEN,
    JANE,
    MEI,
    NADIA,
    OLGA,
    SOMCHAI,
    STEVE,
    TOM,
    Person,
)
from signalpost.demo.story import END, FRAUD, GUEST_ORDER
from signalpost.domain.vocabulary import Purpose

Check = tuple[str, bool, str]  #: the sentence, whether it holds, what was found


def reckon(scene: Scene, crowd: Crowd) -> list[Check]:
    """Hold every promise against what happened."""
    scene.post.read_on()
    evidence = Evidence(scene, crowd)
    return [_held(sentence, rule, evidence) for sentence, rule in promises()]


def _held(sentence: str, rule: Rule, evidence: Evidence) -> Check:
    try:
        found = rule(evidence)
    except (LookupError, StopIteration) as error:
        return sentence, False, f"there is no {error}"
    return sentence, found is True, "it is not so" if found is False else str(found)


def promises() -> Iterator[tuple[str, Rule]]:
    """Give every sentence with its rule; a rule answers True, or what it found instead."""
    yield from _early_bird()
    yield from _pickups()
    yield from _fraud()
    yield from _mishaps()
    yield from campaign_outcome.promises()
    yield from _everybody()


def _early_bird() -> Iterator[tuple[str, Rule]]:
    yield (
        "Steve, a VIP, got the early-bird offer by SMS, email and in-app (SC-02)",
        lambda e: e.channels(STEVE, "early_bird") == ["email", "in_app", "sms"],
    )
    yield "The three carry one and the same code, also in the post office (SC-08)", _one_code
    yield (
        f"He followed the personal link of the SMS, and {STEVE.agent} has the conversation",
        lambda e: (
            e.says(STEVE, "event", "agent.contacted")
            and e.says(STEVE, "case", "Conversation case opened")
        ),
    )
    yield (
        "He redeemed the code: the journey ended and the offer left his inbox",
        lambda e: (
            e.says(STEVE, "journey", "purchase-follow-up", "redeemed")
            and e.says(STEVE, "inbox", "early_bird was withdrawn")
            and "early_bird" not in [one["message"] for one in e.scene.app.items(STEVE)]
        ),
    )


def _one_code(e: Evidence) -> object:
    codes = {one.detail["facts"]["code"] for one in e.sent(STEVE, "early_bird")}
    if len(codes) != 1:
        return f"{len(codes)} codes"
    [code] = codes
    item = next(one for one in e.sent(STEVE, "early_bird") if one.channel == "in_app")
    return e.in_texts(STEVE, code) and e.in_mails(STEVE, code) and code in item.text["body"]


def _pickups() -> Iterator[tuple[str, Rule]]:
    yield (
        "Ann heard that her order is ready, by SMS and in-app (SC-07)",
        lambda e: e.channels(ANN, "pickup_ready") == ["in_app", "sms"],
    )
    yield (
        "The day after she picked it up, at 10:00 of her changed clock, an SMS asked how it was",
        lambda e: (
            e.channels(ANN, "pickup_csat") == ["sms"]
            and f"{e.sent(ANN, 'pickup_csat')[0].at.astimezone(ANN.tz):%d %H:%M}" == "08 10:00"
        ),
    )
    yield (
        "She answered 2, so a service case was opened, and she was told",
        lambda e: (
            e.says(ANN, "answer", "pickup_csat: 2")
            and e.says(ANN, "case", "Service case")
            and e.channels(ANN, "csat_sorry") == ["sms"]
        ),
    )
    yield (
        "Tom's pickup came before his order: parked, then released when the order came",
        lambda e: e.says(TOM, "event", "order.picked_up") and _waited(e, TOM, "order.picked_up"),
    )
    yield (
        "So nobody told Tom that it is ready; he was asked the next day, said 5, and was thanked",
        lambda e: (
            e.channels(TOM, "pickup_ready") == []
            and e.channels(TOM, "pickup_csat") == ["sms"]
            and e.channels(TOM, "csat_thanks") == ["sms"]
        ),
    )
    yield (
        "Mei said STOP, so she was asked by email instead",
        lambda e: (
            e.channels(MEI, "pickup_csat") == ["email"]
            and e.says(MEI, "suppression", "blocked", "stop")
        ),
    )


def _waited(e: Evidence, person: Person, name: str) -> bool:
    return any(
        "waited for" in str(one.detail.get("note", ""))
        for one in e.entries(person, "event")
        if one.says.startswith(name)
    )


def _fraud() -> Iterator[tuple[str, Rule]]:
    transaction, merchant, *_ = FRAUD[JANE.user_id]
    yield (
        "Jane was asked by SMS and in-app, with merchant and amount, and no link in the SMS (SC-05)",
        lambda e: e.channels(JANE, "fraud_alert") == ["in_app", "sms"] and _asked(e, merchant),
    )
    yield (
        "She answered NO: the card was blocked by one call, whose sender the post office verified",
        lambda e: (
            [one["again"] for one in _hooks(e, transaction)] == [False]
            or f"{len(_hooks(e, transaction))} calls"
        ),
    )
    yield (
        f"The case is fraud, with high priority, for {JANE.agent}, and has a promised date",
        lambda e: any(
            one.detail.get("promised_by") and one.detail["assignee"] == JANE.agent
            for one in e.entries(JANE, "case")
        ),
    )
    yield (
        "She was told so by SMS and in-app",
        lambda e: e.channels(JANE, "fraud_confirmed") == ["in_app", "sms"],
    )
    yield (
        "The second signal for the same payment joined her case and asked nothing",
        lambda e: len(_enrolments(e, JANE, "fraud-alert")) == 1,
    )
    yield (
        "Olga answered in Russian that it was her: cleared and confirmed, no card blocked",
        lambda e: (
            e.says(OLGA, "case", "closed", "cleared")
            and e.channels(OLGA, "fraud_cleared") == ["in_app", "sms"]
            and not _hooks(e, FRAUD[OLGA.user_id][0])
        ),
    )
    yield "Somchai was silent: in-app again and email after 5 minutes", _asked_again
    yield (
        "After 15 minutes his case went to whoever is on call, with high priority",
        lambda e: any(
            one.detail.get("assignee") == "on-call" and one.detail.get("priority") == "high"
            for one in e.entries(SOMCHAI, "case")
        ),
    )
    yield (
        "Mei had said STOP: her alert came by email and in-app, and she cleared it in the app",
        lambda e: (
            e.channels(MEI, "fraud_alert") == ["email", "in_app"]
            and e.says(MEI, "case", "closed", "cleared")
        ),
    )


def _asked(e: Evidence, merchant: str) -> bool:
    text = next(one for one in e.scene.post.texts_to(JANE) if merchant in one)
    return "1,000" in text and "http" not in text


def _hooks(e: Evidence, transaction: str) -> list[dict[str, Any]]:
    calls = e.scene.post.of_kind("hook.received")
    return [one for one in calls if transaction in str(one["body"])]


def _enrolments(e: Evidence, person: Person, journey: str) -> list[Any]:
    customer_id = e.scene.reading.customer_id(person)
    found = e.scene.reading.all_enrolments()
    return [one for one in found if (one.customer_id, one.journey) == (customer_id, journey)]


def _asked_again(e: Evidence) -> object:
    sent = e.sent(SOMCHAI, "fraud_alert")
    first = min(one.at for one in sent)
    found = sorted(((one.at - first).seconds // 60, one.channel) for one in sent)
    return found == [(0, "in_app"), (0, "sms"), (5, "email"), (5, "in_app")] or found


def _mishaps() -> Iterator[tuple[str, Rule]]:
    yield (
        "Nadia wants no marketing: she was thanked, got no offer, and the record says why",
        lambda e: (
            len(e.sent(NADIA, "purchase_thanks")) == 1
            and not e.sent(NADIA, "purchase_offer")
            and set(e.outcomes(NADIA, "purchase_offer", "skip")) == {"consent_denied"}
        ),
    )
    yield (
        "Ben's mail came back, so his address is closed, and he was thanked by SMS",
        lambda e: (
            e.says(BEN, "suppression", "blocked", "hard bounce")
            and e.channels(BEN, "purchase_thanks") == ["sms"]
            and e.says(BEN, "answer", "product: 4")
        ),
    )
    yield (
        "His order came twice and is on the record once",
        lambda e: len([one for one in e.entries(BEN, "event") if "order.placed" in one.says]) == 1,
    )
    yield (
        "The guest's purchase is kept, and messages nobody",
        lambda e: (
            [one.status for one in _events(e, GUEST_ORDER)] == ["guest"]
            and not any(GUEST_ORDER in str(one.facts) for one in e.messages)
        ),
    )


def _events(e: Evidence, order_id: str) -> list[Any]:
    found = e.scene.reading.all_events()
    return [one for one in found if one.facts.get("order_id") == order_id]


def _everybody() -> Iterator[tuple[str, Rule]]:
    yield "Each of the households' baskets was confirmed by email and in-app, once", _confirmed
    yield "Offers went to every household that agreed, and to none that did not", _offers
    yield (
        "The post office got every email and SMS of the record once, and nothing else",
        _same_in_both,
    )
    yield (
        "Every message went out in a Prefect flow run; only fraud may go without one",
        lambda e: (
            all(one.run_id or one.purpose == Purpose.SECURITY for one in e.messages)
            or "some have none"
        ),
    )
    yield (
        "Nobody is overdue, set aside or failed, and no message has an unknown fate",
        lambda e: (
            not e.scene.reading.unrest(END)
            and not [one for one in e.scene.reading.all_enrolments() if one.status == "set_aside"]
            and not [one for one in e.messages if one.status in ("unknown", "failed", "rejected")]
        ),
    )


def _confirmed(e: Evidence) -> object:
    orders = [one for one in e.crowd.happenings if one.event == "Order Completed"]
    wanted = Counter(
        (one.properties["order_id"], channel) for one in orders for channel in ("email", "in_app")
    )
    ours = {one.properties["order_id"] for one in orders}
    found = Counter(
        (one.facts["order_id"], one.channel)
        for one in e.messages
        if one.message == "order_confirmation" and one.facts["order_id"] in ours
    )
    return found == wanted or f"{len(wanted - found)} missing, {len(found - wanted)} too many"


def _offers(e: Evidence) -> object:
    """A household's first basket at least four days old: nights and tills may hold an offer up."""
    got = {one.customer_id for one in e.messages if one.message in ("purchase_offer", "early_bird")}
    agreed = {one.user_id for one in e.crowd.members if one.consent}
    early = {
        one.person.user_id
        for one in e.crowd.happenings
        if one.event == "Order Completed" and (END - one.at).days >= 4
    }
    ids = {one.user_id: e.scene.reading.customer_id(one) for one in e.crowd.members}
    missed = [one for one in agreed & early if ids[one] not in got]
    wrong = [one for one in ids.keys() - agreed if ids[one] in got]
    return not (missed or wrong) or f"{len(missed)} missed, {len(wrong)} without consent"


def _same_in_both(e: Evidence) -> object:
    mails = Counter(
        person["custom_args"]["x_message_id"]
        for entry in e.scene.post.of_kind("mail.accepted")
        for person in entry["request"]["personalizations"]
    )
    ours = Counter(one.id for one in e.messages if one.channel == "email")
    texts = Counter(
        (one["to"], one["body"])
        for one in e.scene.post.of_kind("sms.accepted")
        if one["direction"] == "outbound-api"
    )
    sms = [one for one in e.messages if one.channel == "sms"]
    if mails != ours or texts.total() != len(sms):
        return f"{mails.total()} of {ours.total()} mails, {texts.total()} of {len(sms)} texts"
    return True

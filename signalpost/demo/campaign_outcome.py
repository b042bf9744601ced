"""What a campaign promises, held against its run on the record and the post office's own log."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from signalpost.demo.evidence import Evidence, Rule
from signalpost.demo.marketing import HEAD, MARKETER
from signalpost.demo.people import CAST, NADIA, Person
from signalpost.demo.story import END, leaver
from signalpost.domain.local_time import Window
from signalpost.domain.vocabulary import Channel
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.messages import Message
from signalpost.services.reading.runs import RunSheet


def promises() -> Iterator[tuple[str, Rule]]:
    """Give every sentence about the campaign with its rule."""
    yield (
        f"{MARKETER} launched spring-weekend; nothing went before {HEAD} approved its plan",
        _approved,
    )
    yield "Everybody who may have it got it once, by each channel that is theirs", _once
    yield "Those it reached, and those it did not, are as many as the plan had said", _as_planned
    yield "Whoever is held out passed the same gate, and got nothing", _held_out
    yield "Each one without it has a reason on the record, and nobody is left over", _explained
    yield "Who unsubscribed, and Nadia who said no, got nothing, and the record says why", _refused
    yield (
        "Where it was night still, in the West, their turn came after eight by their own clock",
        _by_day,
    )
    yield "The post office got its mails from one person each, as the record says", _same_mails
    yield "Its report says what is not yet known, and why", _not_yet_known


def _sheet(e: Evidence) -> RunSheet:
    sheet = e.scene.marketing.sheet(now=END)
    if sheet is None:
        raise LookupError("run of the campaign")
    return sheet


def _messages(e: Evidence) -> Sequence[Message]:
    run = _sheet(e).run
    return [one for one in e.messages if one.campaign_run_id == run.id]


def _decided(e: Evidence) -> Mapping[str, CampaignPerson]:
    return {one.customer_id: one for one in e.scene.marketing.people()}


def _approved(e: Evidence) -> object:
    sheet = _sheet(e)
    acts = {one.act: one for one in sheet.acts}
    launched, approved = acts["launched"], acts["approved"]
    return (
        (launched.who, approved.who) == (MARKETER, HEAD)
        and approved.detail["digest"] == sheet.run.plan["digest"]
        and min(one.created_at for one in _messages(e)) >= approved.at
    )


def _once(e: Evidence) -> object:
    sent = {id_ for id_, one in _decided(e).items() if one.outcome == "sent"}
    got = Counter((one.customer_id, one.channel) for one in _messages(e))
    twice = [who for who, number in got.items() if number > 1]
    missed = sent - {customer_id for customer_id, _ in got}
    return not (twice or missed) or f"{len(missed)} missed, {len(twice)} twice"


def _as_planned(e: Evidence) -> object:
    plan = _sheet(e).plan
    found = Counter(one.outcome for one in _decided(e).values())
    said = plan and (plan.people, plan.reached, sum(plan.held_out.values()))
    was = (found.total(), found["sent"], found["held_out"])
    return said == was or f"planned {said}, was {was}: people, sent, held out"


def _held_out(e: Evidence) -> object:
    ghosts = {id_ for id_, one in _decided(e).items() if one.outcome == "held_out"}
    return not ghosts & {one.customer_id for one in _messages(e)}


def _explained(e: Evidence) -> object:
    sheet, people = _sheet(e), _decided(e)
    bare = [one for one in people.values() if one.outcome != "sent" and not one.reason]
    return (sheet.run.status == "done" and not bare) or f"{sheet.run.status}, {len(bare)} bare"


def _refused(e: Evidence) -> object:
    people, messages = _decided(e), _messages(e)
    found = {who.called: _reasons(e, people, who) for who in (leaver(e.crowd), NADIA)}
    ids = {e.scene.reading.customer_id(who) for who in (leaver(e.crowd), NADIA)}
    none = not ids & {one.customer_id for one in messages}
    refusals = {"consent_denied", "suppressed_unsubscribe"}
    return (none and all(one in refusals for one in found.values())) or str(found)


def _reasons(e: Evidence, people: Mapping[str, CampaignPerson], who: Person) -> str | None:
    found = people.get(e.scene.reading.customer_id(who) or "")
    return found.reason if found else None


def _by_day(e: Evidence) -> object:
    """Only what wakes nobody, an item in the app, may come at night."""
    started, window = _sheet(e).run.started_at, Window()
    who = {e.scene.reading.customer_id(one): one for one in (*CAST, *e.crowd.members)}
    at = [
        (who[one.customer_id], one.created_at)
        for one in _messages(e)
        if one.channel != Channel.IN_APP and one.customer_id in who
    ]
    night = [
        person.called
        for person, moment in at
        if not window.opens <= moment.astimezone(person.tz).time() < window.closes
    ]
    waited = [person for person, moment in at if started and moment > started]
    return (bool(waited) and not night) or f"{len(waited)} waited, at night {night}"


def _same_mails(e: Evidence) -> object:
    ours = {one.id for one in _messages(e) if one.channel == "email"}
    theirs = Counter(id_ for id_ in map(_message_id, _accepted(e)) if id_ in ours)
    return theirs == Counter(ours) or f"{theirs.total()} of {len(ours)} mails"


def _accepted(e: Evidence) -> Iterator[dict[str, Any]]:
    for entry in e.scene.post.of_kind("mail.accepted"):
        yield from entry["request"]["personalizations"]


def _message_id(person: Mapping[str, Any]) -> str:
    return str(person["custom_args"]["x_message_id"])


def _not_yet_known(e: Evidence) -> object:
    report = e.scene.marketing.report(now=END).experiment.report
    said = [one.verdict for one in report.comparisons] if report else []
    return (bool(said) and not any(one.known for one in said)) or str(said)

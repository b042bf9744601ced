"""A campaign's messages as somebody would get them: the send's facts and words, and no sending."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.content import MissingFact, RenderFailed
from signalpost.domain.campaign import Campaign
from signalpost.domain.reason_words import reason
from signalpost.domain.vocabulary import Channel
from signalpost.errors import BadInputError
from signalpost.record import customers
from signalpost.services.campaigns.deciding import personal_facts
from signalpost.services.campaigns.giving import wrong_facts
from signalpost.services.campaigns.people import Job, Recipient
from signalpost.services.campaigns.runs import Run
from signalpost.services.desk import Desk


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One message on one channel, in full; ``parts`` is empty when it cannot be written."""

    message: str
    channel: Channel
    locale: str
    parts: Mapping[str, str] = field(default_factory=dict)
    samples: tuple[str, ...] = ()  #: facts of which only a sample is known
    wrong: str | None = None  #: why this customer would be set aside

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "message": self.message,
            "channel": str(self.channel),
            "locale": self.locale,
            "parts": dict(self.parts),
            "samples": list(self.samples),
            "wrong": self.wrong,
        }


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The messages, and on which side of an experiment the customer falls."""

    shown: list[Shown]
    arm: str | None = None
    ghost: str | None = None  #: why they would get nothing on purpose: global | campaign | control


def preview(
    desk: Desk,
    session: Session,
    *,
    campaign: Campaign,
    now: datetime,
    customer_id: str | None = None,
    stage: str | None = None,
    facts: Mapping[str, Any] | None = None,
    channel: Channel | None = None,
    locale: str | None = None,
) -> Preview:
    """Write every message of a campaign for a sample person, or the one that a customer would get.

    Links are made up, so that nobody's unsubscribe link is shown to somebody else.

    Raises:
        BadInputError: a fact was given that a launch would refuse.
    """
    if wrong := [*wrong_facts(desk.catalogue, campaign, facts or {}, stage=stage)]:
        raise BadInputError(" ".join(wrong))
    job = Job(desk, _run(campaign, stage, facts or {}, now), campaign)
    if customer_id is None:
        named = campaign.stage(stage)
        messages = [named.message] if named else campaign.messages()
        known = job.facts | _otherwise(job)
        return Preview(shown=[*_write(job, messages, known, None, channel, locale)])
    person = _person(session, job, customer_id)
    messages = [person.side.gate_message]
    known = {**dict.fromkeys(job.personal), **job.facts, **person.facts}
    return Preview(
        shown=[*_write(job, messages, known, person, channel, locale)],
        arm=person.side.arm,
        ghost=person.side.ghost,
    )


def samples(job: Job, messages: list[str]) -> list[Shown]:
    """Write messages for a sample person exactly as the run would: what nobody gives is left out.

    Only what differs from one customer to the next is made up.
    """
    all_facts = {name for message in messages for name in job.spec(message).facts}
    nothing = dict.fromkeys(all_facts - job.personal.keys())
    known = {**nothing, **job.facts, **_otherwise(job)}
    return [*_write(job, messages, known, None, None, None)]


def _run(campaign: Campaign, stage: str | None, facts: Mapping[str, Any], now: datetime) -> Run:
    """A run that is nowhere kept."""
    return Run(
        id="", campaign=campaign.name, version=campaign.version, occurrence="", stage=stage,
        series=None, facts=facts, status="planned", reason=None, scheduled_at=now, local_at=None,
        sample_of=None, people=None, plan={}, created_at=now, started_at=None, ended_at=None,
        run_id=None,
    )  # fmt: skip


def _person(session: Session, job: Job, customer_id: str) -> Recipient:
    profile = customers.profiles(session, [customer_id])[customer_id]
    person = Recipient(
        root_id=customer_id,
        tries=0,
        locale=profile["locale"],
        zone=profile["zone"],
        attributes=profile["attributes"],
        side=job.side(customer_id),
    )
    personal_facts(session, job, [person])
    return person


def _write(
    job: Job,
    messages: list[str],
    known: Mapping[str, Any],
    person: Recipient | None,
    channel: Channel | None,
    locale: str | None,
) -> Iterator[Shown]:
    for message in messages:
        spec = job.spec(message)
        for one in job.campaign.channels():
            if one in spec.channels and channel in (None, one):
                facts = {name: value for name, value in known.items() if name in spec.facts}
                shown = Shown(
                    message=message,
                    channel=one,
                    locale=job.desk.catalogue.variant(message, one, locale or _own(person)).locale,
                    samples=tuple(sorted(set(spec.facts) - set(facts))),
                )
                yield _fill(job, shown, facts, person, locale)


def _otherwise(job: Job) -> dict[str, Any]:
    return {k: one.otherwise for k, one in job.personal.items() if one.otherwise is not None}


def _own(person: Recipient | None) -> str | None:
    return person.locale if person else None


def _fill(
    job: Job, shown: Shown, facts: Mapping[str, Any], person: Recipient | None, locale: str | None
) -> Shown:
    try:
        parts = job.desk.catalogue.preview(
            shown.message,
            shown.channel,
            locale or _own(person),
            facts=facts,
            customer=person.attributes if person else None,
            zone=(person.zone if person else None) or job.desk.default_zone,
        )
    except MissingFact as error:
        form = f"; it has to be: {error.expected}" if error.expected else ""
        return replace(shown, wrong=reason(error.reason, {}) + form)
    except RenderFailed as error:
        return replace(shown, wrong=reason(error.reason, {}))
    return replace(shown, parts=parts)

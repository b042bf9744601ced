"""The people of a claim while it is worked on: who they are, and where each of them stands."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.content import Variant
from signalpost.domain.delivery import Handover
from signalpost.domain.gate import Proposal, Standing
from signalpost.domain.program import Node, Program
from signalpost.domain.restoring import LostWindow
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.record import customers, lost_windows


@dataclass(eq=False)
class Person:
    """One enrolment in work. Fields that are written back have the names of their columns."""

    id: str  #: the enrolment's
    customer_id: str
    root_id: str
    program: Program
    key: str | None
    step: str | None
    status: str
    wait_for: str | None
    due_at: datetime | None
    attempts: int
    context: dict[str, Any]
    reason: str | None = None
    ended_at: datetime | None = None
    locale: str | None = None
    zone: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    hold_until: datetime | None = None  #: set by a step that must be tried again later
    retrying: bool = False  #: that later try counts as a failed attempt
    set_aside: str | None = None  #: why this person cannot go on
    was_due: datetime | None = None  #: when they were due as they were claimed
    lost: LostWindow | None = None  #: the record was restored

    @property
    def node(self) -> Node | None:
        """The step they stand at."""
        return self.program.nodes[self.step] if self.step is not None else None

    @property
    def facts(self) -> dict[str, Any]:
        """What is known about the cause, and what was issued since."""
        return self.context.setdefault("facts", {})

    @property
    def since(self) -> datetime:
        """When what happened last happened; waits and expiry count from here."""
        return datetime.fromisoformat(self.context["since"])

    @property
    def maybe_sent(self) -> bool:
        """Whether what they get now may have been sent before the record was restored."""
        if self.lost is None:
            return False
        return self.lost.may_have_done(due=self.was_due, caused=self.since)

    def concerned_by(self, event: Mapping[Any, Any]) -> bool:
        """Say whether an event is about what they are here for.

        It has the journey's key; without a key, it came since they did: last year's order ends no cart.
        """
        fact = self.program.key
        if fact is not None:
            return str(event["facts"].get(fact)) == self.key
        return event["occurred_at"] >= datetime.fromisoformat(began(self.context))

    def known(self) -> dict[str, Mapping[str, Any]]:
        """Give what conditions may ask about."""
        return {
            "answer": self.context.get("answers", {}),
            "fact": self.facts,
            "attribute": self.attributes,
        }

    def go(self, step: str | None, now: datetime) -> None:
        """Go to the next step, or to the end."""
        self.step = step
        self.wait_for = None
        self.attempts = 0
        self.status, self.due_at = ("active", now) if step is not None else ("done", None)
        if step is None:
            self.ended_at = now

    def leave(self, reason: str, now: datetime) -> None:
        """Leave the journey before its end."""
        self.go(None, now)
        self.status, self.reason = "exited", reason

    def wait(self, what: str, until: datetime | None) -> None:
        """Wait at this step for ``what``, at the latest until then."""
        self.status, self.wait_for, self.due_at = "waiting", what, until


def began(context: Mapping[str, Any]) -> str:
    """Give when what an enrolment is about began, as ISO text."""
    return context.get("began") or context["since"]


@dataclass(eq=False)
class Draft:
    """One message on its way through a step."""

    message_id: str
    key: str
    person: Person
    proposal: Proposal
    address: str
    expires_at: datetime | None
    variant: Variant | None = None
    slots: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    delivery_id: str = ""  #: of the attempt that is about to be made
    unsubscribe_url: str | None = None  #: marketing email only
    failure: str | None = None  #: why it could not be rendered
    handover: Handover | None = None

    @property
    def channel(self) -> Channel:
        """The channel it goes by."""
        return self.proposal.channel

    @property
    def maybe_sent(self) -> bool:
        """Whether it may have left before the record was restored."""
        return self.person.maybe_sent

    @property
    def purpose(self) -> Purpose:
        """What it is for."""
        return self.proposal.purpose

    @property
    def topic(self) -> str:
        """What it is about."""
        return self.proposal.topic

    @property
    def customer_id(self) -> str:
        """The customer it is for, as a root."""
        return self.person.root_id


class Group:
    """The people of a claim who stand at the same step, and their messages there.

    A plain class on purpose: Prefect walks through dataclasses and collections that are handed to a
    task, person by person; this it leaves alone.
    """

    def __init__(
        self, *, claim_id: str, node: Node, people: list[Person], run_id: str | None
    ) -> None:
        self.claim_id = claim_id
        self.node = node
        self.people = people
        self.run_id = run_id
        self.drafts: list[Draft] = []
        self.standings: dict[str, Standing] = {}
        self.outcomes: Counter[tuple[str, str, str, str]] = Counter()

    def __len__(self) -> int:
        return len(self.people)

    def keep(self, held: set[str]) -> None:
        """Go on only with those whom the claim still holds."""
        self.people = [person for person in self.people if person.id in held]
        self.drafts = [draft for draft in self.drafts if draft.person.id in held]

    def count(self, subject: str, channel: str | None, outcome: str, reason: str) -> None:
        """Count an outcome for the operator's table."""
        self.outcomes[subject, channel or "", outcome, reason] += 1


def load(
    session: Session, rows: Iterable[RowMapping], programs: Mapping[str, Program]
) -> list[Person]:
    """Make the people of a claim from their enrolments and their customers' records."""
    rows = list(rows)
    who = customers.profiles(session, {row["root_id"] for row in rows})
    lost = lost_windows.latest(session)
    people = []
    for row in rows:
        profile = who[row["root_id"]]
        people.append(
            Person(
                id=row["id"],
                customer_id=row["customer_id"],
                root_id=row["root_id"],
                program=programs[row["version"]],
                key=row["key"],
                step=row["step"],
                status=row["status"],
                wait_for=row["wait_for"],
                due_at=row["due_at"],
                attempts=row["attempts"],
                context=row["context"],
                locale=profile["locale"],
                zone=profile["zone"],
                attributes=profile["attributes"],
                was_due=row["due_at"],
                lost=lost,
            )
        )
    return people

"""Who can be decided together although each is due at a moment of their own.

After a night, everybody of a run comes back at their own moment of the morning. One by one they would
cost a transaction each. Whoever is due until ``last`` is decided in one go instead, with the clock at
``last``, and afterwards everything is dated to each one's own moment. That changes nothing, because
``last`` is never so late that a rule could say something else then than at somebody's own moment:

- no window of the day opens or closes between (they do so on quarters of an hour of their zone),
- no message expires and no offer ends,
- no cap or repeat window lets go of one of these people,
- nobody has come back to another run before, whose message would count,
- nothing becomes known about one of them, and nothing else happens that the player stops for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from sqlalchemy import RowMapping, text
from sqlmodel import Session

from signalpost.content.campaigns import from_definition
from signalpost.record import campaigns
from signalpost.record.copying import Copy, text_of
from signalpost.services.campaigns.judging import expiry
from signalpost.services.desk import Desk
from signalpost.simulation.period import ABOUT_PEOPLE

_QUARTER = timedelta(minutes=15)
_INSTANT = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Histories whose rows are about one customer; what else becomes known ends a group.
_ABOUT = tuple(one for one in ABOUT_PEOPLE if one != "marketing_holds")
_FOR_ALL = ("suppressions", "marketing_holds", "customers")
#: The copy is always SQLite, and its moments are text that sorts as time does.
_WAITS = "p.outcome IS NULL AND p.due_at >= :at AND p.due_at <= :last"
_IN_THE_MORNING = """p.verdicts LIKE '%"quiet_hours"%'"""


@dataclass
class Together:
    """Finds how far the clock may go on at once. ``answered``: customers whom a provider refused."""

    desk: Desk
    copy: Copy
    answered: frozenset[str] = frozenset()
    _phases: dict[str, set[timedelta]] = field(default_factory=dict)  #: by run

    def until(self, at: datetime, bounds: Iterable[datetime]) -> datetime:
        """Give the moment, ``at`` or later, until which all who are due can be decided together."""
        with self.desk.database.reading() as session:
            held = text("SELECT 1 FROM marketing_holds WHERE lifted_at IS NULL LIMIT 1")
            if session.execute(held).first() is not None:
                return at  # whoever is held back comes back some time after they were asked
            bound = min([*self._changes(session, at), *(one for one in bounds if one > at)])
            last = self._last(session, at, bound - _INSTANT)
            while last is not None and last > at:
                disturbed = self._first_disturbed(session, at, last)
                if disturbed is None:
                    return last
                last = self._last(session, at, disturbed - _INSTANT)
        return at

    def _changes(self, session: Session, at: datetime) -> Iterator[datetime]:
        """Give moments after ``at`` at which the gate might say something else to somebody."""
        window = self.desk.policy.window
        phases = {_phase_of(window.opens), _phase_of(window.closes)}
        for run in campaigns.runs(session, statuses=("running",)):
            if run["id"] not in self._phases:
                self._phases[run["id"]] = self._expiries(session, run)
            phases |= self._phases[run["id"]]
        since = (at - _EPOCH) % _QUARTER
        for phase in phases:
            yield at + ((phase - since) % _QUARTER or _QUARTER)
        for table in _FOR_ALL:
            if (moment := self.copy.next_of(table, at)) is not None:
                yield moment
        others = text(
            "SELECT MIN(p.due_at) FROM campaign_people p "  # noqa: S608
            f"WHERE p.outcome IS NULL AND p.due_at > :at AND NOT ({_IN_THE_MORNING})"
        )
        if found := session.execute(others, {"at": text_of(at)}).scalar():
            yield datetime.fromisoformat(found)

    def _expiries(self, session: Session, run: RowMapping) -> set[timedelta]:
        """Say at which part of a quarter of an hour messages of a run expire, in any zone."""
        campaign = from_definition(campaigns.definition(session, version=run["version"]) or {})
        specs = [self.desk.catalogue[name] for name in campaign.messages()]
        ends = [expiry(campaign, spec, run["scheduled_at"]) for spec in specs]
        if campaign.promotion is not None:
            ends.append(campaign.promotion.ends_at)
        return {(one - _EPOCH) % _QUARTER for one in ends if one is not None}

    def _last(self, session: Session, at: datetime, last: datetime) -> datetime | None:
        query = text(f"SELECT MAX(p.due_at) FROM campaign_people p WHERE {_WAITS}")  # noqa: S608
        found = session.execute(query, _between(at, last)).scalar()
        return datetime.fromisoformat(found) if found else None

    def _first_disturbed(self, session: Session, at: datetime, last: datetime) -> datetime | None:
        """Give the first moment of somebody to whom ``last`` is not the same as their own moment."""
        found = [
            *self._told_of(session, at, last),
            *self._let_go(session, at, last),
            *self._back_before(session, at, last),
            *self._refused(session, at, last),
        ]
        return min(found, default=None)

    def _told_of(self, session: Session, at: datetime, last: datetime) -> Iterator[datetime]:
        """Find those about whom something becomes known between their moment and ``last``."""
        for history in self.copy.histories:
            if history.table not in _ABOUT or (self.copy.next_of(history.table, at) or last) > last:
                continue
            for moment in (history.born, *history.later):
                query = text(
                    f"SELECT MIN(p.due_at) FROM later_{history.table} l "  # noqa: S608
                    "JOIN customers c ON c.id = l.customer_id "
                    f"JOIN campaign_people p ON p.customer_id = c.root_id AND {_WAITS} "
                    f"WHERE l.{moment} > :at AND l.{moment} <= :last AND l.{moment} > p.due_at"
                )
                if found := session.execute(query, _between(at, last)).scalar():
                    yield datetime.fromisoformat(found)

    def _let_go(self, session: Session, at: datetime, last: datetime) -> Iterator[datetime]:
        """Find those whom a cap or a repeat window lets go of between their moment and ``last``."""
        for period in self._periods(session):
            query = text(
                "SELECT p.due_at, m.created_at FROM campaign_people p "  # noqa: S608
                "JOIN customers c ON c.root_id = p.customer_id "
                "JOIN messages m ON m.customer_id = c.id "
                f"AND m.created_at > :oldest AND m.created_at <= :newest WHERE {_WAITS}"
            )
            values = {"oldest": text_of(at - period), "newest": text_of(last - period)}
            for due_at, created_at in session.execute(query, _between(at, last) | values):
                due = datetime.fromisoformat(due_at)
                if datetime.fromisoformat(created_at) + period > due:
                    yield due

    def _back_before(self, session: Session, at: datetime, last: datetime) -> Iterator[datetime]:
        """Find those who come back to another run first: what that sends counts in the second."""
        if len(campaigns.runs(session, statuses=("running", "paused"), limit=2)) < 2:
            return
        query = text(
            "SELECT MIN(p.due_at) FROM campaign_people p "  # noqa: S608
            "JOIN campaign_people o ON o.customer_id = p.customer_id "
            "AND o.campaign_run_id <> p.campaign_run_id "
            f"AND o.outcome IS NULL AND o.due_at >= :at AND o.due_at <= p.due_at WHERE {_WAITS}"
        )
        if found := session.execute(query, _between(at, last)).scalar():
            yield datetime.fromisoformat(found)

    def _periods(self, session: Session) -> set[timedelta]:
        found = {cap.period for cap in self.desk.policy.caps}
        for run in campaigns.runs(session, statuses=("running",)):
            campaign = from_definition(campaigns.definition(session, version=run["version"]) or {})
            found |= {cap.period for cap in campaign.caps or ()}
            windows = (self.desk.catalogue[name].repeat_window for name in campaign.messages())
            found |= {one for one in windows if one is not None}
        return found

    def _refused(self, session: Session, at: datetime, last: datetime) -> Iterator[datetime]:
        if not self.answered:
            return
        query = text(f"SELECT p.customer_id, p.due_at FROM campaign_people p WHERE {_WAITS}")  # noqa: S608
        for customer, due_at in session.execute(query, _between(at, last)):
            if customer in self.answered:
                yield datetime.fromisoformat(due_at)

    def date_back(self, last: datetime) -> None:
        """Date what was decided at ``last`` to each one's own moment."""
        with self.desk.database.writing() as session:
            for statement in _DATE_BACK:
                session.execute(text(statement), {"last": text_of(last)})


_DATE_BACK = (
    """UPDATE messages AS m SET created_at = p.due_at FROM campaign_people AS p
       WHERE p.decided_at = :last AND p.due_at < :last AND m.customer_id = p.customer_id
       AND m.campaign_run_id = p.campaign_run_id AND m.created_at = :last""",
    "UPDATE campaign_people SET decided_at = due_at WHERE decided_at = :last AND due_at < :last",
)


def _phase_of(clock: time) -> timedelta:
    return timedelta(minutes=clock.minute, seconds=clock.second) % _QUARTER


def _between(at: datetime, last: datetime) -> dict[str, str]:
    return {"at": text_of(at), "last": text_of(last)}

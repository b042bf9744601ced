"""What all marketing campaigns together bring about: the house's holdout beside everybody else."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from signalpost.domain.designs import Sequential
from signalpost.domain.verdicts import judge
from signalpost.record import campaign_orders
from signalpost.record import campaign_results as record
from signalpost.record.campaign_orders import Success
from signalpost.record.campaign_results import HOUSE, Entrants
from signalpost.services.campaigns.measuring import arm_of, in_words, main_currency, revenue_of
from signalpost.services.campaigns.reported import Experiment, Side

OTHERS = "everybody else"
_SUMS = ("people", "orders", "revenue", "squares")


def house_holdout(
    session: Session,
    *,
    share: float,
    now: datetime,
    event: str = "order.placed",
    revenue: str | None = "total",
    within: timedelta = timedelta(days=28),
    alpha: float = 0.05,
) -> Experiment:
    """Compare those whom the house keeps from all marketing with those whom it does not.

    ``share``: of customers that are held out (``SIGNALPOST_HOLDOUT``). Everybody counts from the first
    marketing campaign that they passed the gate of, for ``within``: until then nobody was treated
    differently. Sequential: it may be read at any moment.

    Raises:
        BadInputError: ``share`` is not between 0 and 1.
    """
    runs = record.marketing_runs(session)
    who = Entrants(
        runs=runs, among=runs, controls=(), holdouts={}, salt="",
        doubles=record.doubles(session, runs=runs),
    )  # fmt: skip
    entered = record.entered(session, who=who, until=now - within)
    what = Success(event=event, within=within, revenue=revenue, now=now)
    rows: list[dict[str, Any]] = []
    if entered:
        rows = _folded(
            campaign_orders.spent(
                session,
                who=who,
                what=what,
                since=min(row["first_at"] for row in entered),
                ripe=now,
                until=now,
            )
        )
    sides = [_side(name, entered, rows) for name in (OTHERS, HOUSE)]
    currency = main_currency(rows)
    others, held_out = (arm_of(side, currency, rows) for side in sides)
    report = judge(
        control=held_out,
        treated=[others],
        weights={HOUSE: share, OTHERS: 1 - share},
        design=Sequential(alpha=alpha),
        now=now,
    )
    return Experiment(
        event=event,
        within=in_words(within),
        design="sequential: it may be read at any moment",
        control=HOUSE,
        sides=sides,
        currency=currency,
        report=report if entered else None,
    )


def _name(side: str) -> str:
    return HOUSE if side == HOUSE else OTHERS


def _folded(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add up the arms of all campaigns: nobody is in two, since only their first decision counts."""
    found: dict[tuple[str, str | None], dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(_SUMS, 0)
    )
    for row in rows:
        sums = found[_name(row["side"]), row["currency"]]
        for name in _SUMS:
            sums[name] += row[name]
    return [{"side": key[0], "currency": key[1], **sums} for key, sums in found.items()]


def _side(
    name: str, entered: Sequence[Mapping[Any, Any]], rows: Sequence[Mapping[str, Any]]
) -> Side:
    mine = [row for row in entered if _name(row["side"]) == name]
    spent = [row for row in rows if row["side"] == name]
    whole = next((row for row in spent if row["currency"] is None), None)
    people = sum(row["people"] for row in mine)
    return Side(
        name=name,
        people=people,
        ripe=sum(row["ripe"] for row in mine),
        counted=people,
        buyers=whole["people"] if whole else 0,
        orders=whole["orders"] if whole else 0,
        revenue=revenue_of(spent),
    )

"""Why somebody is in a campaign's audience, or not: clause by clause, as the record is now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.content.campaigns import from_definition
from signalpost.domain.audience import filled, givens
from signalpost.domain.campaign import Campaign
from signalpost.errors import ConfigurationError
from signalpost.record import audiences, campaign_people
from signalpost.record import campaigns as runs
from signalpost.record.audiences import ClauseResult
from signalpost.record.customers import family


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a customer stands with a campaign's audience.

    ``is_meant`` None: that hangs on what whoever launches it gives. ``given``: what the run that is
    explained was given, which began, or was kept, ``given_at``. ``as_of``: the campaign has no file
    that can be used, and this is the audience of its run that began, or was kept, then.
    """

    campaign: str
    is_meant: bool | None
    clauses: Sequence[ClauseResult]
    given: Mapping[str, Any] = field(default_factory=dict)
    given_at: datetime | None = None
    as_of: datetime | None = None

    @property
    def says(self) -> str:
        """Whether they are in it, in one sentence."""
        if self.is_meant is None:
            return (
                f"Whether the customer is in the audience of {self.campaign} hangs on what is given at "
                "its launch; no run of it was given that yet."
            )
        where = "in" if self.is_meant else "not in"
        told = ", ".join(f"{name} {value}" for name, value in self.given.items())
        by = f" (with {told}, given to its run of {self.given_at:%-d %b %Y})" if told else ""
        then = f" that its run of {self.as_of:%-d %b %Y} had" if self.as_of else ""
        whose = f"the audience of {self.campaign}{then}"
        return f"The customer is {where} {whose}{by}, as the record is now."

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values; ``group`` and ``depth`` tell how clauses hang together."""
        return {
            "campaign": self.campaign,
            "in_audience": self.is_meant,
            "given": dict(self.given),
            "as_of": self.as_of and self.as_of.isoformat(),
            "clauses": [
                {
                    "says": one.words, "holds": one.holds, "value": one.value,
                    "group": one.joins, "depth": one.depth,
                }
                for one in self.clauses
            ],
        }  # fmt: skip


def standing(
    session: Session,
    *,
    campaigns: Mapping[str, Campaign],
    about: str | None,
    customer_id: str,
    now: datetime,
) -> Standing | None:
    """Explain a customer's place in the audience of the campaign ``about``; None: it is no campaign.

    One without a file that can be used is explained as the customer's latest run of it had it, else the
    campaign's latest.
    What its audience asks of whoever launches it is taken from the customer's latest run that was
    given it, else from the campaign's latest.

    Raises:
        NotFoundError: there is no such customer.
    """
    campaign, ran = campaigns.get(about or ""), None
    if campaign is None and about is not None:
        ran = _run_given(session, about, (), customer_id)
        campaign = _as_it_ran(session, ran) if ran is not None else None
    if about is None or campaign is None:
        return None
    rule = campaign.audience
    asked = givens(rule)
    run = _run_given(session, about, asked, customer_id) if asked else None
    given = {name: run["facts"][name] for name in asked} if run is not None else {}
    rule = filled(rule, given)
    clauses = audiences.explain(session, rule, customer_id=customer_id, now=now)
    top = [one.holds for one in clauses if one.depth == 0]
    return Standing(
        campaign=about,
        is_meant=audiences.together("all", top),
        clauses=clauses,
        given=given,
        given_at=_began(run),
        as_of=_began(ran),
    )


def _as_it_ran(session: Session, run: RowMapping) -> Campaign | None:
    """Give the campaign as a run has it pinned; None: this version of the product cannot read it."""
    try:
        return from_definition(runs.definition(session, version=run["version"]) or {})
    except ConfigurationError:
        return None


def _began(run: RowMapping | None) -> datetime | None:
    return None if run is None else run["started_at"] or run["created_at"]


def _run_given(
    session: Session, campaign: str, asked: Sequence[str], customer_id: str
) -> RowMapping | None:
    """Find the run that was given all this: the customer's own latest, else the latest."""
    known = [
        row
        for row in runs.runs(session, campaign=campaign)
        if all(row["facts"].get(name) not in (None, "") for name in asked)
    ]
    ids = [one for some in family(session, [customer_id]).values() for one in some]
    own = campaign_people.runs_of(session, customer_ids=ids or [customer_id])
    return next((row for row in known if row["id"] in own), known[0] if known else None)

"""Why somebody is in a campaign's audience, or not: clause by clause, as the record is now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.campaign import Campaign
from signalpost.record import audiences
from signalpost.record.audiences import ClauseResult


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a customer stands with a campaign's audience."""

    campaign: str
    is_meant: bool
    clauses: Sequence[ClauseResult]

    @property
    def says(self) -> str:
        """Whether they are in it, in one sentence."""
        where = "in" if self.is_meant else "not in"
        return f"The customer is {where} the audience of {self.campaign}, as the record is now."

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "campaign": self.campaign,
            "in_audience": self.is_meant,
            "clauses": [
                {"says": one.words, "holds": one.holds, "value": one.value} for one in self.clauses
            ],
        }


def standing(
    session: Session,
    *,
    campaigns: Mapping[str, Campaign],
    about: str | None,
    customer_id: str,
    now: datetime,
) -> Standing | None:
    """Explain a customer's place in the audience of the campaign ``about``; None: it is no campaign.

    Raises:
        NotFoundError: there is no such customer.
    """
    if about is None or about not in campaigns:
        return None
    rule = campaigns[about].audience
    return Standing(
        campaign=about,
        is_meant=audiences.holds(session, rule, customer_id=customer_id, now=now),
        clauses=audiences.explain(session, rule, customer_id=customer_id, now=now),
    )

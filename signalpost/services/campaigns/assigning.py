"""On which side of an experiment somebody falls: the same in the plan, in the send and in the report."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from signalpost.domain import assignment
from signalpost.domain.campaign import Campaign
from signalpost.domain.gate import Policy
from signalpost.domain.vocabulary import Purpose

#: Why somebody gets nothing on purpose: the house's holdout, this campaign's, or a control arm.
Ghost = Literal["global", "campaign", "control"]


@dataclass(frozen=True, slots=True)
class Side:
    """Where one person stands in a campaign's experiment.

    ``message`` is what they get; None: nothing, on purpose (``ghost`` says why). ``gate_message`` is the
    message by whose rules the gate judges them: a ghost passes the same gates as somebody who gets it.
    """

    arm: str | None
    held_out: Literal["campaign", "global"] | None
    message: str | None
    gate_message: str

    @property
    def ghost(self) -> Ghost | None:
        """Why nothing is sent on purpose; None: something is."""
        if self.held_out is not None:
            return self.held_out
        return "control" if self.message is None else None


def side(campaign: Campaign, policy: Policy, customer_id: str, stage: str | None = None) -> Side:
    """Say on which side a person falls: by salted hashes, so always on the same one.

    The house's holdout comes first, and concerns marketing only; then the campaign's own, then its
    arms. Who is held out has no arm: they are compared with all arms together. A stage of a series
    has its own message and no arms: it says the same to everybody.
    """
    named = campaign.stage(stage) if stage is not None else None
    message = named.message if named is not None else campaign.message
    if (
        policy.holdout > 0
        and campaign.purpose is Purpose.MARKETING
        and assignment.share(policy.holdout_salt, customer_id) < policy.holdout
    ):
        return _side(None, "global", None, message)
    if (
        campaign.holdout > 0
        and assignment.share(f"{campaign.name}:holdout", customer_id) < campaign.holdout
    ):
        return _side(None, "campaign", None, message)
    if not campaign.arms or named is not None:
        return _side(None, None, message, message)
    weights = {one.name: one.share for one in campaign.arms}
    return side_of(campaign, assignment.arm(f"{campaign.name}:arms", customer_id, weights))


def side_of(campaign: Campaign, arm: str | None, stage: str | None = None) -> Side:
    """Give the side of somebody who was treated, by the arm that was written down for them."""
    named = campaign.stage(stage) if stage is not None else None
    if named is not None:
        return _side(None, None, named.message, named.message)
    given = next((one.message for one in campaign.arms if one.name == arm), campaign.message)
    return _side(arm, None, given, given or campaign.message)


_side = lru_cache(maxsize=1024)(Side)  # there are few, and many people on each

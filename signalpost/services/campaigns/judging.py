"""The terms on which a campaign is judged: the same in the plan and in the send."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from signalpost.content import MessageSpec
from signalpost.domain.campaign import Campaign
from signalpost.domain.gate import Policy, Standing
from signalpost.domain.local_time import zone


def policy_of(campaign: Campaign, policy: Policy) -> Policy:
    """Give the house rules as this campaign keeps them.

    The holdout is not asked at the gate but afterwards (``assigning.side``), so that who is held out
    passed the same gates as who got it.
    """
    caps = policy.caps if campaign.caps is None else campaign.caps
    return replace(policy, caps=caps, holdout=0.0)


def expiry(campaign: Campaign, spec: MessageSpec, due: datetime) -> datetime | None:
    """Give when a message of a campaign is no longer worth sending: too late, or the offer is over."""
    length = campaign.expires_after or spec.expires_after
    ends = [due + length] if length is not None else []
    if campaign.promotion is not None:
        ends.append(campaign.promotion.ends_at)
    return min(ends, default=None)


def why_not(objections: Sequence[str]) -> str:
    """Give the reason that somebody gets nothing, of those by channel in the order they were tried.

    The first, but that a way was never there says less than why another was closed to them.
    """
    told = [reason for reason in objections if reason not in _NO_WAY]
    return next(iter(told or objections), "no_channel")


_NO_WAY = ("no_contact_point", "not_written_for_channel")


def home(standing: Standing, own: str | None, default: str) -> ZoneInfo:
    """Give the zone of a person's wall clock: as the gate found it, else their own, else the house's.

    The gate does not look where somebody is when the message may come at any hour.
    """
    if standing.zones:
        return standing.zones[0]
    return (zone(own) if own else None) or zone(default) or ZoneInfo("UTC")

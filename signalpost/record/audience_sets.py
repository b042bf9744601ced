"""Whom one clause of an audience is true of: selects of root customer ids, over whole families.

Each gives one column, ``root``, and a root may come more than once.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    exists,
    literal_column,
    or_,
    select,
    tuple_,
)

from signalpost.domain.audience import Consent, InCampaign, Reachable
from signalpost.record import campaigns, consents
from signalpost.record.audience_scope import Rooted, Roots, Scope, rooted
from signalpost.record.base import table_of
from signalpost.record.customers import ContactPoint

consents_table = table_of(consents.Consent)
_suppressions = table_of(consents.Suppression)
points_table = table_of(ContactPoint)
_people = table_of(campaigns.CampaignPerson)
_runs = table_of(campaigns.CampaignRun)
_ONE = literal_column("1")


def agreed(rule: Consent, scope: Scope) -> Roots:
    """Those whose latest word about the channel and topic is yes, as the gate reads it.

    Of two statements at the same moment the more particular one counts (channel before topic), then
    the one that was recorded later. A yes counts unless something else was said after it: so few say
    no that this is far less work than to put everybody's statements in order.
    """
    yes, no = consents_table.alias("yes"), consents_table.alias("no")
    agreeing, refusing = rooted(yes, scope), rooted(no, scope, name="merged_no")
    later = or_(no.c.at > yes.c.at, and_(no.c.at == yes.c.at, _outranks(no, yes, rule)))
    taken_back = (
        select(_ONE)
        .select_from(refusing.source)
        .where(
            refusing.root == agreeing.root,
            refusing.only,
            about(no, rule),
            no.c.status != "granted",
            later,
        )
    )
    return (
        select(agreeing.root.label("root"))
        .select_from(agreeing.source)
        .where(agreeing.only, about(yes, rule), yes.c.status == "granted", ~exists(taken_back))
    )


def about(said: Any, rule: Consent) -> ColumnElement[bool]:
    """The statement is about the channel and topic, be it among others."""
    return and_(
        said.c.channel.in_({rule.channel, "*"}),
        said.c.topic.in_({rule.topic, "*"}),
    )


def _outranks(one: Any, other: Any, rule: Consent) -> ColumnElement[bool]:
    def rank(said: Any) -> ColumnElement[Any]:
        return case((said.c.channel == rule.channel, 0), else_=2) + case(
            (said.c.topic == rule.topic, 0), else_=1
        )

    return or_(
        rank(one) < rank(other),
        and_(rank(one) == rank(other), one.c.id > other.c.id),
    )


def consent_place(said: Any, rule: Consent) -> tuple[Any, ...]:
    """Give the place of a statement: the one with the highest counts (the gate's order)."""
    return said.at, said.channel == rule.channel, said.topic == rule.topic, said.id


def reachable(rule: Reachable, scope: Scope) -> Roots:
    """Those whose address in use on the channel is verified and not blocked for everything.

    In use is the root's own before a merged one's, then the newest. A good address counts unless a bad
    one is used before it: bad ones are few.
    """
    good, bad = points_table.alias("good"), points_table.alias("bad")
    of_good, of_bad = rooted(good, scope), rooted(bad, scope, name="merged_bad")
    barred = blocked(rule.channel)

    def own(point: Any, of: Rooted) -> ColumnElement[Any]:
        return case((point.c.customer_id == of.root, 1), else_=0)

    def place(point: Any, of: Rooted) -> Any:
        return tuple_(own(point, of), point.c.created_at, point.c.id)

    used_before = (
        select(_ONE)
        .select_from(of_bad.source)
        .where(
            of_bad.root == of_good.root,
            of_bad.only,
            bad.c.channel == rule.channel,
            bad.c.replaced_at.is_(None),
            or_(bad.c.verified_at.is_(None), bad.c.address.in_(barred)),
            place(bad, of_bad) > place(good, of_good),
        )
    )
    unblocked = _is_not_in(good.c.address, barred, scope)
    return (
        select(of_good.root.label("root"))
        .select_from(of_good.source)
        .where(
            of_good.only,
            good.c.channel == rule.channel,
            good.c.replaced_at.is_(None),
            good.c.verified_at.is_not(None),
            unblocked,
            ~exists(used_before),
        )
    )


def _is_not_in(value: Any, found: Roots, scope: Scope) -> ColumnElement[bool]:
    """Say "not in" so that each database makes one table of it and looks there."""
    if not scope.is_postgres:
        return value.not_in(found)
    listed = found.subquery()
    return ~exists(select(_ONE).select_from(listed).where(listed.c[0] == value))


def blocked(channel: str) -> Roots:
    """Addresses with a block for everything that nobody lifted; each reason is lifted by itself."""
    block, lifting = _suppressions.alias("block"), _suppressions.alias("lifting")
    lifted = select(_ONE).where(
        lifting.c.address == block.c.address,
        lifting.c.channel == channel,
        lifting.c.scope == "all",
        lifting.c.reason == block.c.reason,
        lifting.c.active.is_(False),
        tuple_(lifting.c.at, lifting.c.id) > tuple_(block.c.at, block.c.id),
    )
    return select(block.c.address).where(
        block.c.channel == channel,
        block.c.scope == "all",
        block.c.active.is_(True),
        ~exists(lifted),
    )


def decided(rule: InCampaign, scope: Scope) -> Roots:
    """Those on whom a campaign decided so."""
    found = rooted(_people, scope)
    tests = [
        _people.c.outcome.is_not(None)
        if rule.outcome == "any"
        else _people.c.outcome == rule.outcome,
        _runs.c.campaign == rule.campaign,
    ]
    if rule.within is not None:
        tests += [
            _people.c.decided_at > scope.ago(rule.within),
            _people.c.decided_at <= scope.now,
        ]
    if rule.series is not None:
        tests.append(_runs.c.series == rule.series)
    runs = found.source.join(_runs, _runs.c.id == _people.c.campaign_run_id)
    return select(found.root.label("root")).select_from(runs).where(found.only, *tests)


def decisions(rule: InCampaign, scope: Scope) -> Roots:
    """What a campaign decided on the people in scope, the latest first."""
    found = rooted(_people, scope)
    runs = found.source.join(_runs, _runs.c.id == _people.c.campaign_run_id)
    tests = [found.only, _runs.c.campaign == rule.campaign]
    if rule.series is not None:
        tests.append(_runs.c.series == rule.series)
    return (
        select(_people.c.outcome, _people.c.decided_at)
        .select_from(runs)
        .where(*tests)
        .order_by(_people.c.decided_at.is_(None), _people.c.decided_at.desc())
    )

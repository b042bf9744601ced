"""A rule as one select of root customers.

The rule is first brought to the form in which only single clauses are negated. A clause about the
customer's own row is a plain condition. Every other clause is a set of root customers
(``record.audience_sets``, ``record.audience_deeds``), and the person must be in it, or not:

- SQLite: ``IN`` and ``NOT IN``; it makes a table of the set once and looks there.
- PostgreSQL, where every clause must hold: ``IN`` and ``NOT EXISTS``, which it plans as joins.
- PostgreSQL, below an "any": a join that keeps everybody, asked whether it found something. A set
  that does not fit into ``work_mem`` would otherwise be searched once a person.

On PostgreSQL a rule that asks for events is answered from the inside out, since PostgreSQL cannot
guess how few a clause leaves: first the customers' own rows, then the events of those only, and of
whom is left then their consent and address are looked up one by one (``record.audience_probes``).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    case,
    false,
    func,
    or_,
    select,
    true,
)

from signalpost.domain.audience import (
    All,
    AnyOf,
    Attribute,
    Consent,
    Did,
    Everyone,
    InCampaign,
    Not,
    Reachable,
    Rule,
    Sample,
    Tenure,
    clauses,
)
from signalpost.record import audience_deeds
from signalpost.record import audience_probes as probes
from signalpost.record import audience_sets as sets
from signalpost.record.audience_scope import Roots, Scope, customers, merged
from signalpost.record.customers import known_since, was_merged

Truth = ColumnElement[bool]
_COLUMNS = ("locale", "zone")  #: attributes that are columns
_OWN = (Everyone, Tenure, Attribute, Sample)  #: from the quickest to look at to the slowest


def members(rule: Rule, scope: Scope) -> Roots:
    """Compile a rule to one select of the ``id`` of every root customer it applies to.

    Raises:
        BadInputError: an operator, name or value in the rule makes no sense; says which and why.
    """
    if not scope.is_postgres:
        return Compiler(scope).everybody([rule])
    musts = list(_musts(rule))
    own = [one for one in musts if _is_own(one)]
    deeds = [
        one for one in musts if isinstance(one, Did) and not audience_deeds.nothing_is_enough(one)
    ]
    rest = [one for one in musts if one not in own and one not in deeds]
    people = Compiler(scope).everybody(own if deeds else [*own, *rest])
    for deed in deeds:
        people = audience_deeds.of_whom_did(people, deed, scope)
    return _among(people, rest, scope) if deeds and rest else people


def _musts(rule: Rule, *, negative: bool = False) -> Iterator[Rule]:
    """Give the parts of a rule that must all hold."""
    if isinstance(rule, Not):
        yield from _musts(rule.rule, negative=not negative)
    elif isinstance(rule, AnyOf if negative else All):
        for inner in rule.rules:
            yield from _musts(inner, negative=negative)
    else:
        yield Not(rule) if negative else rule


def _is_own(rule: Rule) -> bool:
    return all(isinstance(one, _OWN) for one in clauses(rule))


def _cost(rule: Rule) -> int:
    return max((_OWN.index(type(one)) for one in clauses(rule) if isinstance(one, _OWN)), default=0)


def _among(people: Roots, rules: Sequence[Rule], scope: Scope) -> Roots:
    """Those of the people found so far to whom the other rules apply too."""
    found = people.subquery("found")
    joined = probes.families().subquery("merged_into")
    source: FromClause = found.outerjoin(joined, joined.c.root_id == found.c.id)
    if any(isinstance(one, _OWN) for rule in rules for one in clauses(rule)):
        source = source.join(customers, customers.c.id == found.c.id)
    family = func.array_append(joined.c.ids, found.c.id)
    return Compiler(scope, source, probes.Person(found.c.id, family)).select(rules)


class Compiler:
    """Turns rules into a condition, and gathers the joins that it needs.

    ``person``: look up this person's own rows, instead of making sets of everybody's.
    """

    def __init__(
        self, scope: Scope, source: FromClause = customers, person: probes.Person | None = None
    ) -> None:
        self._scope = scope
        self._source = source
        self._person = person
        self._id = customers.c.id if person is None else person.id

    def everybody(self, rules: Sequence[Rule]) -> Roots:
        """Give the root customers to whom all the rules apply."""
        is_root = customers.c.id == customers.c.root_id
        if not self._scope.is_postgres:
            return self.select(rules, is_root)
        own = [one for one in rules if _is_own(one)]
        tests = [self.condition(one, joined=True) for one in sorted(own, key=_cost)]
        # As a CASE: PostgreSQL takes "id = root_id" to be true of hardly anybody. And in one, to
        # have them tested in this order.
        first = case((and_(is_root, *tests), true()), else_=false())
        return self.select([one for one in rules if one not in own], first)

    def select(self, rules: Sequence[Rule], *more: Truth) -> Roots:
        """Give those in the source to whom all the rules apply."""
        tests = [self.condition(one, joined=True) for one in rules]
        whom = self._scope.only(self._id)
        return select(self._id).select_from(self._source).where(*more, whom, *tests)

    def condition(self, rule: Rule, *, joined: bool, negative: bool = False) -> Truth:
        """Compile a rule, or its opposite. ``joined``: it must hold, whatever else does."""
        if isinstance(rule, Not):
            return self.condition(rule.rule, joined=joined, negative=not negative)
        if isinstance(rule, All | AnyOf):
            if isinstance(rule, All) != negative or len(rule.rules) == 1:
                return and_(
                    true(),
                    *(self.condition(r, joined=joined, negative=negative) for r in rule.rules),
                )
            return or_(
                false(), *(self.condition(r, joined=False, negative=negative) for r in rule.rules)
            )
        return self._clause(rule, joined=joined, negative=negative)

    def _clause(self, rule: Rule, *, joined: bool, negative: bool) -> Truth:
        scope = self._scope
        if isinstance(rule, Did):
            found, inside = audience_deeds.did(rule, scope)
            return self._member(found, joined=joined, negative=negative == inside)
        looked_up = self._looked_up(rule)
        if looked_up is not None:
            return ~looked_up if negative else looked_up
        if isinstance(rule, Consent):
            found = sets.agreed(rule, scope)
        elif isinstance(rule, Reachable):
            found = sets.reachable(rule, scope)
        elif isinstance(rule, InCampaign):
            found = sets.decided(rule, scope)
        else:
            condition = self._own(rule)
            return ~condition if negative else condition
        return self._member(found, joined=joined, negative=negative)

    def _looked_up(self, rule: Rule) -> Truth | None:
        """Ask about this person alone, where that can be done."""
        if self._person is not None and isinstance(rule, Consent):
            return probes.agreed(rule, self._person)
        if self._person is not None and isinstance(rule, Reachable):
            return probes.reachable(rule, self._person)
        return None

    def _member(self, found: Roots, *, joined: bool, negative: bool = False) -> Truth:
        """Say that the person is in a set, or is not."""
        person = self._id
        if not self._scope.is_postgres or (joined and not negative):
            return person.not_in(found) if negative else person.in_(found)
        listed = (found if joined else found.distinct()).subquery()
        if joined:
            return ~select(listed.c.root).where(listed.c.root == person).exists()
        self._source = self._source.outerjoin(listed, listed.c.root == person)
        return listed.c.root.is_(None) if negative else listed.c.root.is_not(None)

    def _own(self, rule: Rule) -> Truth:
        """Compile a clause about the customer's own row, and of those merged into it."""
        match rule:
            case Everyone():
                return true()
            case Sample(share, seed):
                return self._scope.sql.drawn(customers.c.id, seed=seed, share=share)
            case Tenure():
                return self._tenure(rule)
            case Attribute():
                return self._attribute(rule)
        raise TypeError(f"{rule!r} is no rule of an audience")

    def _tenure(self, rule: Tenure) -> Truth:
        bounds: list[Truth] = [true()]
        if rule.at_least is not None:
            bounds.append(self._known_since(self._scope.ago(rule.at_least)))
        if rule.less_than is not None:
            bounds.append(~self._known_since(self._scope.ago(rule.less_than)))
        return and_(*bounds)

    def _known_since(self, moment: datetime) -> Truth:
        earlier = merged(lambda other: known_since(other) <= moment, self._scope)
        return or_(known_since(customers) <= moment, customers.c.id.in_(earlier))

    def _attribute(self, rule: Attribute) -> Truth:
        """The root's own attribute counts; without one, that of the first customer merged into it."""
        own = self._has(customers, rule)
        lent = merged(
            lambda other: and_(self._is_first(other, rule), self._applies(other, rule)), self._scope
        )
        return case((own, self._applies(customers, rule)), else_=customers.c.id.in_(lent))

    def _is_first(self, other: Any, rule: Attribute) -> Truth:
        before = customers.alias("before")
        earlier = select(before.c.id).where(
            before.c.root_id == other.c.root_id,
            was_merged(before),
            before.c.id < other.c.id,
            self._has(before, rule),
        )
        return and_(self._has(other, rule), ~earlier.exists())

    def _has(self, customer: Any, rule: Attribute) -> Truth:
        if rule.name in _COLUMNS:
            held = customer.c[rule.name]
            return and_(held.is_not(None), held != "")
        return self._scope.sql.has(customer.c.attributes, rule.name.partition(".")[0])

    def _applies(self, customer: Any, rule: Attribute) -> Truth:
        document = customer.c.attributes
        if rule.name in _COLUMNS:
            document = self._scope.sql.one_of(rule.name, customer.c[rule.name])
        return self._scope.sql.holds(document, rule.name, rule.op, rule.value)

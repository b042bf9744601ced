"""Who an event is about: deterministic keys, the strongest decides, nothing is merged in silence.

Strength: user id, email, phone, device, anonymous id; then the ids of orders, charges and payments,
which lead to a person only when nothing else does.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Key = tuple[str, str]  #: kind and normalised value

#: Kinds that name a person, strongest first.
PERSON_KINDS = ("user_id", "email", "phone", "device_id", "anonymous_id")
#: Kinds that name something of a person's, strongest first.
REFERENCE_KINDS = ("order_id", "payment_id", "charge_id")
KINDS = PERSON_KINDS + REFERENCE_KINDS
LONGEST_VALUE = 255


@dataclass(slots=True)
class Claim:
    """The keys that one event names. ``joins``: the sender says they are all one person."""

    person: list[Key] = field(default_factory=list)  #: strongest first
    references: list[Key] = field(default_factory=list)
    joins: bool = False
    previous: tuple[Key, ...] = ()  #: of an alias: the older key, in the kinds it may be

    def named(self) -> Iterable[Key]:
        """Return every key named."""
        return (*self.person, *self.references, *self.previous)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A weaker key that leads to somebody else."""

    customer_id: str
    other_id: str
    key: Key


@dataclass(frozen=True, slots=True)
class Join:
    """Two customers that the sender says are one."""

    kept_id: str
    merged_id: str
    reason: str


class Book:
    """The keys a batch of events names and whom they lead to, kept up to date while it is read.

    ``known`` maps keys to root customer ids, or to None: known, and nobody's (a guest's order).
    ``users`` maps root customer ids to the user ids that lead to them.
    """

    def __init__(
        self,
        known: Mapping[Key, str | None],
        users: Mapping[str, set[str]],
        new_id: Callable[[], str],
    ) -> None:
        self._known = dict(known)
        self._users = {root: set(values) for root, values in users.items()}
        self._moved: dict[str, str] = {}
        self._new_id = new_id
        self.new_customers: list[str] = []
        self.new_keys: dict[Key, str | None] = {}  #: to be inserted
        self.claimed: dict[Key, str] = {}  #: nobody's before, somebody's now
        self.conflicts: list[Conflict] = []
        self.joins: list[Join] = []

    def learn(self, known: Mapping[Key, str | None]) -> None:
        """Take in more keys and whom they lead to."""
        for key, owner in known.items():
            self._known.setdefault(key, owner)

    def knows(self, key: Key) -> bool:
        """Tell whether a key has been seen, be it a guest's."""
        return key in self._known

    def owner(self, key: Key) -> str | None:
        """Return the root customer that a key leads to."""
        found = self._known.get(key)
        return None if found is None else self.root(found)

    def root(self, customer_id: str) -> str:
        """Return the root of a customer, counting the joins of this batch."""
        while customer_id in self._moved:
            customer_id = self._moved[customer_id]
        return customer_id

    def resolve(self, claim: Claim) -> str | None:
        """Decide the customer of an event, attach its new keys, note conflicts and joins.

        Returns None when nothing leads to a person.
        """
        owner = self._decide(claim)
        if owner is None:
            return None
        for key in claim.previous:
            self._alias(owner, key)
        if claim.previous and not any(self.knows(key) for key in claim.previous):
            self._attach(owner, claim.previous[-1])
        for key in claim.person:
            owner = self._settle(owner, key, joins=claim.joins)
        for key in claim.references:
            owner = self._settle(owner, key, joins=False)
        return owner

    def keep_for_nobody(self, key: Key) -> None:
        """Remember a key that leads to nobody: a guest's order."""
        if key not in self._known:
            self._known[key] = None
            self.new_keys[key] = None

    def _decide(self, claim: Claim) -> str | None:
        user = claim.person[0] if claim.person and claim.person[0][0] == "user_id" else None
        for key in (*claim.person, *claim.previous):
            found = self.owner(key)
            if found is None:
                continue
            if user and key != user and key not in claim.previous and self._is_other(found, user):
                continue  # somebody else's email: a new user id is a new person, and a conflict
            return found
        if claim.person:
            return self._new_customer()
        return next((found for key in claim.references if (found := self.owner(key))), None)

    def _is_other(self, root: str, user: Key) -> bool:
        users = self._users.get(root)
        return bool(users) and user[1] not in users

    def _new_customer(self) -> str:
        customer_id = self._new_id()
        self.new_customers.append(customer_id)
        return customer_id

    def _attach(self, owner: str, key: Key) -> None:
        if key in self.new_keys or key not in self._known:
            self.new_keys[key] = owner
        else:
            self.claimed[key] = owner
        self._known[key] = owner
        if key[0] == "user_id":
            self._users.setdefault(owner, set()).add(key[1])

    def _settle(self, owner: str, key: Key, *, joins: bool) -> str:
        found = self.owner(key)
        if found is None:
            self._attach(owner, key)
        elif found != owner:
            if joins and not self._users.get(found):
                self._join(owner, found, "identify")
            else:
                self.conflicts.append(Conflict(owner, found, key))
        return owner

    def _alias(self, owner: str, key: Key) -> None:
        found = self.owner(key)
        if found is not None and found != owner:
            self._join(owner, found, "alias")

    def _join(self, kept: str, merged: str, reason: str) -> None:
        self.joins.append(Join(kept, merged, reason))
        self._moved[merged] = kept
        self._users.setdefault(kept, set()).update(self._users.pop(merged, ()))

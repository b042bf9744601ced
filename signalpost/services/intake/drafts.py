"""Reading one signal: what it says, checked and in our words, before any table is touched."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from signalpost.domain import events as names
from signalpost.domain.fingerprints import Fingerprints
from signalpost.domain.identity import KINDS, LONGEST_VALUE, PERSON_KINDS, Claim
from signalpost.errors import BadInputError
from signalpost.services.intake import addresses, traits
from signalpost.services.intake.consent import Statement

_NUL_OR_SURROGATE = re.compile("[\x00\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_LONGEST_MESSAGE_ID = 512
_DEEPEST = 100
_FREE = ("message_id", "name", "identities", "traits", "properties", "payload")
_ESCAPED_CONTROL = re.compile(rb"\\u00|\\[nrtbf]")


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One thing that a client says has happened.

    ``identities``: keys by kind (user_id, anonymous_id, email, phone, device_id, order_id,
    charge_id, payment_id), and ``previous_id`` of an alias. ``problem`` says why it must be parked
    for a person to look at; ``notes`` what was put right on the way in.
    """

    message_id: str  #: prefixed with its source
    source: str
    name: str
    occurred_at: datetime
    body_hash: str  #: of what makes two signals with one id the same
    identities: Mapping[str, str] = field(default_factory=dict)
    traits: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SignalPolicy:
    """What is taken for granted when a signal does not say.

    ``fingerprints``: know addresses again that were erased. None only where no address is taken in.
    """

    fingerprints: Fingerprints | None
    fresh_for: timedelta = timedelta(days=3)  #: an older event starts no journey
    clock_skew: timedelta = timedelta(minutes=5)  #: an event further in the future is parked
    currency: str = "USD"
    region: str = "US"  #: country of phones written without a country code
    store: str = "our store"


@dataclass(slots=True)
class Draft:
    """A signal on its way to the record."""

    event_id: str
    signal: Signal
    now: datetime
    occurred_at: datetime
    facts: dict[str, Any]
    claim: Claim
    profile: traits.Profile
    fresh: bool
    status: str = "accepted"
    reasons: list[str] = field(default_factory=list)
    parked_key: str | None = None
    customer_id: str | None = None
    stored: bool = False  #: its row exists: it was parked

    @property
    def waits_untouched(self) -> bool:
        """Whether nothing of it counts yet, not even whom it names."""
        return self.parked_key == "until"

    def park(self, reason: str, key: str) -> None:
        """Keep it for later."""
        self.status, self.parked_key = "parked", key
        self.reasons.insert(0, reason)


def prepare(signal: Signal, *, event_id: str, now: datetime, policy: SignalPolicy) -> Draft:
    """Read a storable signal; whatever is wrong with it ends as a reason, never as an exception."""
    occurred_at = min(signal.occurred_at, now)
    draft = Draft(
        event_id=event_id,
        signal=signal,
        now=now,
        occurred_at=occurred_at,
        facts=dict(signal.properties),
        claim=Claim(),
        profile=traits.Profile(),
        fresh=now - occurred_at <= policy.fresh_for,
        reasons=list(signal.notes),
    )
    if signal.occurred_at > now + policy.clock_skew:
        draft.occurred_at = signal.occurred_at
        draft.park("from_the_future", "until")
        return draft
    _step(draft, "bad_traits", lambda: _read_person(draft, policy))
    _step(draft, "bad_facts", lambda: _read_facts(draft, policy))
    if signal.problem:
        draft.park(signal.problem, "repair")
    return draft


def _step(draft: Draft, kind: str, act: Callable[[], None]) -> None:
    try:
        act()
    except BadInputError as error:
        draft.park(f"{kind}: {error}", "repair")
    except (ValueError, TypeError, OverflowError, RecursionError, ArithmeticError) as error:
        draft.park(f"{kind}: {type(error).__name__}", "repair")


def storable(signal: Signal) -> Signal:
    """Return a signal without what a database cannot keep: NUL, half characters, endless depth."""
    try:
        whole = orjson.dumps(
            (
                signal.message_id,
                signal.name,
                signal.identities,
                signal.traits,
                signal.properties,
                signal.payload,
            )
        )
    except (TypeError, ValueError):
        whole = b"\\u0000"
    if b"\\u0000" in whole:
        signal = replace(
            signal,
            **{key: _clean(getattr(signal, key)) for key in _FREE},
            notes=(*signal.notes, "control_characters"),
        )
    elif signal.name in names.EVENT_TYPES and _ESCAPED_CONTROL.search(whole):
        signal = replace(signal, notes=(*signal.notes, "control_characters"))
    if len(signal.message_id) > _LONGEST_MESSAGE_ID:
        digest = hashlib.sha256(signal.message_id.encode()).hexdigest()
        signal = replace(signal, message_id=f"{signal.source}:sha256-{digest}")
    return signal


def _clean(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return None
    if isinstance(value, str):
        return _NUL_OR_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, Mapping):
        return {_clean(str(key)): _clean(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(part, depth + 1) for part in value]
    if value is None or isinstance(value, bool | int | float):
        return value if not isinstance(value, int) or -(2**63) <= value < 2**64 else str(value)
    return str(value)


def _read_person(draft: Draft, policy: SignalPolicy) -> None:
    signal = draft.signal
    given = signal.identities
    if signal.traits or "email" in given or "phone" in given:
        draft.profile = traits.read(
            signal.traits, identities=given, region=policy.region, at=draft.occurred_at
        )
        draft.reasons += draft.profile.notes
    keys = dict(draft.profile.keys)
    for kind, value in given.items():
        if kind in KINDS and kind not in ("email", "phone") and _usable(draft, kind, value):
            keys[kind] = value
        elif kind in ("email", "phone"):
            _keep_stated(draft, kind, value, keys, policy)
    draft.claim.joins = signal.name == "customer.identified"
    for kind in KINDS:
        if kind in keys:
            place = draft.claim.person if kind in PERSON_KINDS else draft.claim.references
            place.append((kind, keys[kind]))
    previous = given.get("previous_id")
    if previous and _usable(draft, "previous_id", previous):
        draft.claim.previous = (("user_id", previous), ("anonymous_id", previous))


def _keep_stated(
    draft: Draft, kind: str, value: str, keys: dict[str, str], policy: SignalPolicy
) -> None:
    """A stated address beside another one in the traits: the stated one says who it is."""
    if kind in keys and not draft.signal.traits.get(kind):
        return  # it was read with the traits, in its country
    try:
        keys[kind] = (
            addresses.email(value) if kind == "email" else addresses.phone(value, policy.region)
        )
    except BadInputError:
        if f"invalid_{kind}" not in draft.reasons:
            draft.reasons.append(f"invalid_{kind}")


def _usable(draft: Draft, kind: str, value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    if len(value) > LONGEST_VALUE:
        draft.reasons.append(f"too_long:{kind}")
        return False
    if _CONTROL.search(value):
        draft.reasons.append(f"control_characters:{kind}")
        return False
    return True


#: What an event says about consent. Who was asked for it has not said yes: they confirm by a link.
_SAID = {
    "consent.granted": "granted",
    "consent.withdrawn": "denied",
    "consent.requested": "pending",
}


def _read_facts(draft: Draft, policy: SignalPolicy) -> None:
    signal = draft.signal
    draft.facts = names.canonical(
        signal.name, signal.properties, draft.occurred_at, policy.currency, store=policy.store
    )
    if (status := _SAID.get(signal.name)) is not None:
        draft.profile.statements.append(
            Statement(
                channel=draft.facts["channel"],
                topic=draft.facts["topic"],
                told=True,
                status=status,
                source=str(draft.facts.get("source") or signal.source)[:100],
                wording=draft.facts.get("wording"),
                at=draft.occurred_at,
            )
        )


def held(draft: Draft) -> dict[str, Any]:
    """Return what a parked event needs to be tried again."""
    signal = draft.signal
    return {
        "name": signal.name,
        "identities": dict(signal.identities),
        "traits": dict(signal.traits),
        "properties": dict(signal.properties),
        "occurred_at": signal.occurred_at.isoformat(),
    }


def again(row: Any) -> Signal:
    """Return the signal of a parked event's row."""
    said = row.held or {}
    return Signal(
        message_id=row.message_id,
        source=row.source,
        name=said.get("name", row.name),
        occurred_at=datetime.fromisoformat(said["occurred_at"])
        if "occurred_at" in said
        else row.occurred_at,
        body_hash=row.body_hash,
        identities=said.get("identities", {}),
        traits=said.get("traits", {}),
        properties=said.get("properties", row.facts),
        payload=row.payload,
    )

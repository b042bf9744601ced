"""What the services work with, wired once by ``bootstrap`` and handed to them as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from signalpost.content import Catalogue
from signalpost.domain.campaign import Campaign
from signalpost.domain.delivery import HookCaller, Provider, Tracer
from signalpost.domain.erasure import Forgetting
from signalpost.domain.fingerprints import Fingerprints
from signalpost.domain.gate import Policy
from signalpost.domain.program import Program
from signalpost.domain.vocabulary import Channel
from signalpost.record.database import Database
from signalpost.services.links import Links
from signalpost.services.retention import Keep


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The record, the words, the ways out and the house rules."""

    database: Database
    catalogue: Catalogue
    programs: Mapping[str, Program]  #: journey name → the version that new people enter
    providers: Mapping[Channel, Provider]
    hooks: HookCaller
    links: Links
    policy: Policy
    clock: Callable[[], datetime]
    forgetting: Forgetting = field(
        default_factory=lambda: Forgetting(fingerprints=Fingerprints(""))
    )
    tracers: tuple[Tracer, ...] = ()  #: providers that can be asked later what they took
    campaigns: Mapping[str, Campaign] = field(default_factory=dict)  #: by name, as they are now
    default_zone: str = "UTC"
    sms_prices: Mapping[str, Decimal] = field(default_factory=dict)  #: of a segment, by country
    on_call: str = "on-call"  #: who gets a case when the customer has no agent of their own
    holidays: frozenset[date] = field(default_factory=frozenset)
    keep: Keep = field(default_factory=Keep)  #: how long what happened stays on record
    lease: timedelta = timedelta(seconds=45)  #: how long people wait when their worker is killed

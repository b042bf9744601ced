"""The composition root: the one place that knows every room and wires them by the settings."""

import asyncio
import gc
import importlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import holidays

from signalpost.clock import FileClock, wall_clock
from signalpost.content import Catalogue
from signalpost.content.campaigns import Folder
from signalpost.domain.campaign import Campaign
from signalpost.domain.delivery import Provider, Tracer
from signalpost.domain.erasure import Forgetting
from signalpost.domain.fingerprints import Fingerprints
from signalpost.domain.gate import Policy
from signalpost.domain.journey import Journey, compile_journey
from signalpost.domain.program import Program
from signalpost.domain.vocabulary import Channel
from signalpost.errors import ConfigurationError
from signalpost.providers.hooks import Webhooks
from signalpost.providers.in_app import InApp
from signalpost.providers.measured import Measured
from signalpost.providers.sendgrid import SendGrid, SendGridEraser
from signalpost.providers.sendgrid.tracing import SendGridTracer
from signalpost.providers.twilio import Twilio, TwilioEraser
from signalpost.providers.twilio.faults import FILTERED, ONCE_MORE, UNREGISTERED
from signalpost.providers.twilio.tracing import TwilioTracer
from signalpost.record.database import Database, open_engine
from signalpost.services.desk import Desk
from signalpost.services.links import Links
from signalpost.services.retention import Keep
from signalpost.services.ways_out.accounts import Account, WayOut
from signalpost.services.ways_out.circuits import Circuits
from signalpost.services.ways_out.stopping import Stopping
from signalpost.services.ways_out.watching import Signs
from signalpost.settings import Settings, load
from signalpost.vendors import (
    accounts,
    second_sendgrid,
    second_twilio,
    sendgrid_settings,
    twilio_settings,
)

Clock = Callable[[], datetime]

#: What in receipts is about our senders, and not about the people they wrote to.
SIGNS = Signs(filtered=FILTERED, unregistered=UNREGISTERED)
#: What in receipts lets a message that did not arrive be tried once more.
ONCE_MORE_CODES = ONCE_MORE


@dataclass(frozen=True, kw_only=True)
class Signalpost:
    """The whole product, wired."""

    settings: Settings
    database: Database
    desk: Desk
    catalogue: Catalogue
    programs: Mapping[str, Program]
    stopping: Stopping = field(default_factory=Stopping)  #: tells the ways out to come to an end

    def close(self) -> None:
        """Let go of every connection; wherever it is called, it has a loop of its own."""
        closing = threading.Thread(target=lambda: asyncio.run(self._close()))
        closing.start()
        closing.join()

    async def aclose(self) -> None:
        """Let go of every connection, from inside the event loop that used them."""
        await self._close()

    async def _close(self) -> None:
        for provider in {id(one): one for one in self.desk.providers.values()}.values():
            await provider.close()
        if isinstance(self.desk.hooks, Webhooks):
            await self.desk.hooks.close()
        self.database.close()


def clock_of(settings: Settings) -> Clock:
    """What the processes of one installation go by: the wall clock, unless a file says the time."""
    return FileClock(settings.clock_file) if settings.clock_file else wall_clock


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    journeys: tuple[Journey, ...] | None = None,
    catalogue: Catalogue | None = None,
    campaigns: Mapping[str, Campaign] | None = None,
) -> Signalpost:
    """Wire the product by ``settings``. Opens no connection and starts nothing.

    A campaign whose file is wrong is left out, and whoever asks for it is told why: a slip in one
    marketer's file must not keep a fraud alert from going out.

    Raises:
        ConfigurationError: a setting, a message folder or a journey is wrong.
    """
    clock = clock or clock_of(settings)
    catalogue = catalogue or Catalogue.load(settings.templates)
    programs = load_programs(settings) if journeys is None else compile_all(journeys)
    check_messages(programs, catalogue)
    if campaigns is None:
        campaigns = Folder(settings.campaigns, catalogue)
    database = Database(open_engine(settings.database_address))
    stopping = Stopping()
    ways = _WaysOut(Circuits(database, clock=clock), clock, stopping, settings)
    hooks = Webhooks(
        urls=settings.hook_urls,
        secrets=settings.hooks_signed_with,
        private=settings.hook_networks,
        timeout=timedelta(seconds=settings.hook_timeout),
    )
    desk = Desk(
        database=database,
        catalogue=catalogue,
        programs=programs,
        campaigns=campaigns,
        providers=_providers(ways, catalogue),
        tracers=_tracers(settings),
        hooks=hooks,
        links=Links(base_url=settings.base_url, secrets=settings.links_signed_with),
        policy=policy(settings),
        clock=clock,
        forgetting=forgetting(settings),
        keep=keep(settings),
        default_zone=settings.default_zone,
        sms_prices=settings.sms_prices,
        on_call=settings.on_call,
        holidays=_holidays(settings, clock().year),
    )
    return Signalpost(
        settings=settings,
        database=database,
        desk=desk,
        catalogue=catalogue,
        programs=programs,
        stopping=stopping,
    )


_current: Signalpost | None = None


def current() -> Signalpost:
    """The product of this process, built from the environment on first use."""
    global _current
    if _current is None:
        _current = build(load())
    return _current


def use(app: Signalpost | None) -> None:
    """Make ``app`` the product of this process; None forgets it."""
    global _current
    _current = app


def spare_the_collector() -> None:
    """Have a long-lived process look for garbage cycles less often.

    A batch makes many objects and hardly any cycle, and what is loaded by now stays for good. It saves
    a tenth of the CPU of a campaign, a twentieth of a signal's (``benchmarks/``).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def load_programs(settings: Settings) -> dict[str, Program]:
    """Compile the journeys of the project.

    Raises:
        ConfigurationError: the module cannot be imported or holds no JOURNEYS, or one is unsound.
    """
    name = settings.journeys
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(
                f"The journeys in {name!r} need the module {error.name!r}, which is not installed."
            ) from error
        raise ConfigurationError(
            f"SIGNALPOST_JOURNEYS names {name!r}, and there is no such module. Run this in the "
            "project's folder, or set it to the module that holds JOURNEYS."
        ) from error
    found = getattr(module, "JOURNEYS", None)
    if not isinstance(found, list | tuple) or not all(isinstance(one, Journey) for one in found):
        raise ConfigurationError(
            f"The module {name!r} has no JOURNEYS; write JOURNEYS = (…,) with every journey in it."
        )
    return compile_all(tuple(found))


def compile_all(journeys: tuple[Journey, ...]) -> dict[str, Program]:
    """Compile journeys by name.

    Raises:
        ConfigurationError: two have one name, or one is unsound.
    """
    programs: dict[str, Program] = {}
    for journey in journeys:
        if journey.name in programs:
            raise ConfigurationError(f"Two journeys are called {journey.name!r}; rename one.")
        programs[journey.name] = compile_journey(journey)
    return programs


def check_messages(programs: Mapping[str, Program], catalogue: Catalogue) -> None:
    """Hold journeys against the messages that they send.

    Raises:
        ConfigurationError: a journey sends a message that is not in the catalogue.
    """
    for program in programs.values():
        for name in program.messages():
            if name not in catalogue:
                raise ConfigurationError(
                    f"The journey {program.journey!r} sends the message {name!r}, and there is no "
                    f"folder {catalogue.folder / name}. Make it, or correct the name in the journey."
                )


def forgetting(settings: Settings) -> Forgetting:
    """What an erasure works with: who else must forget, and the keys of what remains."""
    mails, phones = accounts(settings)
    return Forgetting(
        fingerprints=Fingerprints(settings.keys["suppression_secret"]),
        erasers=(
            SendGridEraser(*mails),
            TwilioEraser(*phones),
        ),
        signing_key=settings.keys["erasure_key"],
        folder=settings.home / "erasures",
    )


def policy(settings: Settings) -> Policy:
    """The house rules of sending, as set."""
    return Policy(
        window=settings.send_window, caps=settings.marketing_caps, holdout=settings.holdout
    )


@dataclass(frozen=True)
class _WaysOut:
    """Joins the accounts of a provider behind their circuits."""

    circuits: Circuits
    clock: Clock
    stopping: Stopping
    settings: Settings

    def of(self, first: Provider, second: Provider | None, *, at_risk: int) -> Provider:
        """Make one provider of an account, and of a second one when there is one."""
        named = {first.name: first} | ({f"{first.name}-second": second} if second else {})
        accounts = [
            Account(
                name=name,
                provider=Measured(one, account=name),
                channels=one.channels,
                at_risk=at_risk,
            )
            for name, one in named.items()
        ]
        return WayOut(
            accounts,
            circuits=self.circuits,
            clock=self.clock,
            stopping=self.stopping,
            quicker_first=self.settings.quicker_account_first,
        )


def _providers(ways: _WaysOut, catalogue: Catalogue) -> dict[Channel, Provider]:
    mail = sendgrid_settings(ways.settings, brand=catalogue.brand.get("name", ""))
    phone = twilio_settings(ways.settings)
    mail2, phone2 = second_sendgrid(ways.settings, mail), second_twilio(ways.settings, phone)
    all_: tuple[Provider, ...] = (
        ways.of(SendGrid(mail), SendGrid(mail2) if mail2 else None, at_risk=1000),
        ways.of(Twilio(phone), Twilio(phone2) if phone2 else None, at_risk=100),
        Measured(InApp()),
    )
    return {channel: one for one in all_ for channel in one.channels}


def _tracers(settings: Settings) -> tuple[Tracer, ...]:
    """Whoever can be asked what became of a message; a second account is asked too."""
    mails, phones = accounts(settings)
    return (TwilioTracer(*phones), SendGridTracer(*mails))


def keep(settings: Settings) -> Keep:
    """Say how long what happened stays on record."""
    days = settings.keep_events_days, settings.keep_messages_days
    return Keep(*(None if one is None else timedelta(days=one) for one in days))


def _holidays(settings: Settings, year: int) -> frozenset[date]:
    days: set[date] = set()
    for place in settings.holidays:
        country, _, region = place.partition("-")
        try:
            found = holidays.country_holidays(
                country, subdiv=region or None, years=range(year - 1, year + 3)
            )
        except NotImplementedError as error:
            raise ConfigurationError(
                f"SIGNALPOST_HOLIDAYS names {place!r}, which is not known; write ISO codes such as "
                "US or DE-BY."
            ) from error
        days.update(found)
    return frozenset(days)

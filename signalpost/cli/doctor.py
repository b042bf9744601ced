"""``signalpost doctor``: what is configured, reachable and wrong, and what to do about it."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.error import HTTPError
from zoneinfo import ZoneInfo, available_timezones

from rich.markup import escape
from rich.table import Table

from signalpost import settings as settings_
from signalpost.cli import say
from signalpost.cli.reach import NO_ANSWER, reach
from signalpost.cli.serve import check_port
from signalpost.errors import SignalpostError
from signalpost.settings import Settings

OK, WARN, WRONG = "ok", "warn", "wrong"
_MARKS = {OK: "[green]✓[/green]", WARN: "[yellow]![/yellow]", WRONG: "[red]✗[/red]"}
_TIMEOUT = 3  #: seconds


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``remedy`` says what to do when it is not fine."""

    name: str
    state: str
    says: str
    remedy: str = ""


def doctor(*, json: bool, live: bool = False) -> None:
    """Look at everything, or at what runs; ends with 1 when something is wrong."""
    checks = list(_running() if live else examine())
    wrong = any(check.state == WRONG for check in checks)
    if json:
        say.as_json({"ok": not wrong, "checks": [asdict(check) for check in checks]})
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for check in checks:
            remedy = f"\n[dim]{escape(check.remedy)}[/dim]" if check.remedy else ""
            table.add_row(_MARKS[check.state], check.name, escape(check.says) + remedy)
        say.out.print(table)
    if wrong:
        sys.exit(say.WRONG)


def _running() -> Iterator[Check]:
    from signalpost.cli import doctor_live

    yield from doctor_live.examine(settings_.load())


def examine() -> Iterator[Check]:
    """Look at one thing after another; what cannot be looked at without settings is left out."""
    try:
        settings = settings_.load()
        _ = settings.keys
    except SignalpostError as error:
        yield Check("settings", WRONG, str(error), "Correct it and run `signalpost doctor` again.")
        return
    yield _settings(settings)
    yield from _unknown_settings()
    looks: dict[str, Callable[[Settings], Check]] = {
        "state": _state,
        "record": _record,
        "messages": _messages,
        "journeys": _journeys,
        "campaigns": _campaigns,
        "SendGrid": _sendgrid,
        "Twilio": _twilio,
        "hooks": _hooks,
        "public address": _public_address,
        "time zones": _zones,
    }
    for name, look in looks.items():
        yield _careful(name, look, settings)
    yield from _processes(settings)


def _careful(name: str, look: Callable[[Settings], Check], settings: Settings) -> Check:
    try:
        return look(settings)
    except SignalpostError as error:
        return Check(name, WRONG, str(error))
    except Exception as error:  # a doctor looks at everything, also at what nobody thought of
        return Check(name, WRONG, f"It could not be looked at ({type(error).__name__}).")


def _settings(settings: Settings) -> Check:
    given = sorted(f"SIGNALPOST_{name.upper()}" for name in settings.model_fields_set)
    return Check("settings", OK, f"set: {', '.join(given)}" if given else "all at their defaults")


def _unknown_settings() -> Iterator[Check]:
    known = {f"SIGNALPOST_{name.upper()}" for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith("SIGNALPOST_") and name not in known:
            yield Check("settings", WARN, f"{name} is not a setting.", "Look at its spelling.")


def _state(settings: Settings) -> Check:
    home = settings.home.resolve()
    if not os.access(home, os.W_OK):
        return Check("state", WRONG, f"{home} cannot be written.", "Set SIGNALPOST_HOME.")
    for path in (home, home / "keys.json"):
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return Check(
                "state",
                WARN,
                f"Others on this machine may read {path}.",
                f"chmod go-rwx {path}",
            )
    return Check("state", OK, str(home))


def _record(settings: Settings) -> Check:
    from sqlalchemy.exc import SQLAlchemyError

    from signalpost.record.database import open_engine
    from signalpost.record.migrate import is_current

    file = settings.database_address.removeprefix("sqlite:///")
    if file != settings.database_address and not Path(file).exists():
        return Check("record", WARN, f"{file} is not there yet.", "`signalpost up` makes it.")
    engine = open_engine(settings.database_address)
    where = engine.url.render_as_string(hide_password=True)
    try:
        current = is_current(engine)
    except SQLAlchemyError as error:
        return Check(
            "record",
            WRONG,
            f"{where} does not answer ({type(error).__name__}).",
            "Start the database, or correct SIGNALPOST_DATABASE_URL.",
        )
    finally:
        engine.dispose()
    if not current:
        return Check("record", WRONG, f"{where} lacks tables.", "Run `signalpost migrate`.")
    return Check("record", OK, f"{where}, up to date")


def _messages(settings: Settings) -> Check:
    from signalpost.content import Catalogue
    from signalpost.content.lint import lint

    catalogue = Catalogue.load(settings.templates, broken="collect")
    problems = lint(catalogue)
    if problems:
        count = f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}"
        return Check("messages", WRONG, f"{count}; the first: {problems[0]}", "`signalpost lint`")
    return Check("messages", OK, f"{len(catalogue.names())} messages in {settings.templates}")


def _journeys(settings: Settings) -> Check:
    from signalpost import bootstrap
    from signalpost.content import Catalogue

    programs = bootstrap.load_programs(settings)
    bootstrap.check_messages(programs, Catalogue.load(settings.templates, broken="collect"))
    if not programs:
        return Check("journeys", WARN, "There are none.", "Add one to JOURNEYS.")
    return Check("journeys", OK, ", ".join(sorted(programs)))


def _campaigns(settings: Settings) -> Check:
    from signalpost.bootstrap import clock_of
    from signalpost.content import Catalogue
    from signalpost.content.campaigns import is_warning, lint, load

    catalogue = Catalogue.load(settings.templates, broken="collect")
    found = load(settings.campaigns, catalogue, broken="collect")
    if found.problems:
        return Check("campaigns", WRONG, str(found.problems[0]), "`signalpost lint`")
    seen = lint(found, catalogue, clock_of(settings)())
    if wrong := [one for one in seen if not is_warning(one)]:
        return Check("campaigns", WARN, str(wrong[0]), "`signalpost lint`")
    return Check("campaigns", OK, ", ".join(sorted(found)) or f"none in {settings.campaigns}")


def _sendgrid(settings: Settings) -> Check:
    if settings.local_sendgrid:
        return Check("SendGrid", OK, f"the local post office, {settings.postoffice_url}")
    where = settings.sendgrid_base_url or "SendGrid"
    key = settings.keys["sendgrid_api_key"]
    if settings.sendgrid_base_url is None:
        if not key.startswith("SG."):
            remedy = "Correct SIGNALPOST_SENDGRID_API_KEY; keys start with SG."
            return Check("SendGrid", WRONG, "The key does not look like SendGrid's.", remedy)
        if settings.email_from.endswith(".example"):
            remedy = "Set SIGNALPOST_EMAIL_FROM to a verified sender of your account."
            return Check("SendGrid", WRONG, "The from address is the example's.", remedy)
        if not settings.sendgrid_webhook_public_keys:
            remedy = "Set SIGNALPOST_SENDGRID_WEBHOOK_PUBLIC_KEYS from SendGrid's mail settings."
            return Check("SendGrid", WARN, "Its events cannot be believed without a key.", remedy)
    return Check("SendGrid", OK, f"{where}, from {settings.email_from}")


def _twilio(settings: Settings) -> Check:
    from signalpost import bootstrap

    given = bootstrap.twilio_settings(settings)
    if settings.local_twilio:
        return Check("Twilio", OK, f"the local post office, {settings.postoffice_url}")
    sender = given.messaging_service_sid or given.sender
    return Check("Twilio", OK, f"{given.base_url or 'Twilio'}, from {sender}")


def _hooks(settings: Settings) -> Check:
    from signalpost import bootstrap

    programs = bootstrap.load_programs(settings).values()
    nodes = [node for program in programs for node in program.nodes.values()]
    called = {node.args["hook"] for node in nodes if node.kind == "call"}
    if missing := sorted(called - settings.hook_urls.keys()):
        says = f"Journeys call {', '.join(missing)}, and no address is set."
        return Check("hooks", WRONG, says, 'Set SIGNALPOST_HOOKS, JSON such as {"name": "url"}.')
    return Check("hooks", OK, ", ".join(f"{k} to {v}" for k, v in settings.hook_urls.items()))


def _public_address(settings: Settings) -> Check:
    name = "public address"
    vendor = not (settings.local_sendgrid and settings.local_twilio)
    if settings.public_url is None:
        remedy = "Set SIGNALPOST_PUBLIC_URL to how customers and vendors reach the web."
        says = f"Links start with {settings.web_url}, which opens on this machine only."
        return Check(name, WARN if vendor else OK, says, remedy if vendor else "")
    if not settings.public_url.startswith("https://"):
        remedy = "Put it behind TLS and set SIGNALPOST_PUBLIC_URL to https://…"
        return Check(name, WARN, f"{settings.public_url} is not encrypted.", remedy)
    return Check(name, OK, settings.public_url)


def _zones(settings: Settings) -> Check:
    ZoneInfo(settings.default_zone)
    count = len(available_timezones())
    if count < 400:
        return Check("time zones", WRONG, f"Only {count} are known.", "Install the tzdata package.")
    return Check("time zones", OK, f"{count} known; {settings.default_zone} when nothing tells")


def _processes(settings: Settings) -> Iterator[Check]:
    """Whether each server runs; a port that somebody else holds is wrong, no server a warning."""
    wanted = [("web", "web", f"{settings.web_url}/readyz")]
    if settings.local_sendgrid or settings.local_twilio:
        wanted.append(("post office", "postoffice", f"{settings.postoffice_url}/"))
    wanted.append(("Prefect", "prefect", f"{settings.prefect_url}/api/health"))
    for name, port, url in wanted:
        yield _process(settings, name, port, url)


def _process(settings: Settings, name: str, port: str, url: str) -> Check:
    variable = f"SIGNALPOST_{port.upper()}_PORT"
    try:
        with reach(url, timeout=_TIMEOUT):
            return Check(name, OK, url)
    except HTTPError as error:
        says = f"{url} answers {error.code}."
        return Check(name, WRONG, says, f"If it is not ours, set {variable}; else see its log.")
    except NO_ANSWER:
        pass
    try:
        check_port(settings, port)
    except SignalpostError:
        says = f"Something else listens at {url}."
        return Check(name, WRONG, says, f"Stop it, or set {variable}.")
    return Check(name, WARN, f"It does not run at {url}.", "`signalpost up` starts it.")

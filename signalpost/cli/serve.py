"""The processes: web, worker, post office; and bringing the record up to date."""

import errno
import socket
from contextlib import suppress

from rich.markup import escape

from signalpost.cli import audit, logs, say
from signalpost.domain.vocabulary import Lane
from signalpost.errors import ConfigurationError, TransientError
from signalpost.settings import Settings
from signalpost.telemetry import traces


def web(settings: Settings) -> None:
    """Serve the web until SIGINT or SIGTERM."""
    import uvicorn

    from signalpost import bootstrap
    from signalpost.web import serving
    from signalpost.web.app import create_app

    logs.set_up(settings.log_level, shape=settings.log_format)
    check_port(settings, "web")
    traces.set_up(url=settings.otlp_url, process="web")
    product = bootstrap.build(settings)
    bootstrap.use(product)
    try:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(serving.config(create_app(product), settings)).run()
    finally:
        product.close()
        traces.close()


def worker(settings: Settings, lane: Lane) -> None:
    """Serve a lane until SIGINT or SIGTERM."""
    from signalpost import worker as workers

    logs.set_up(settings.log_level, shape=settings.log_format)
    traces.set_up(url=settings.otlp_url, process=f"worker-{lane}")
    try:
        workers.run(lane, settings)
    finally:
        traces.close()


def postoffice(settings: Settings) -> None:
    """Serve the local post office until SIGINT or SIGTERM."""
    from signalpost.bootstrap import clock_of
    from signalpost.postoffice import PostOfficeConfig, serve
    from signalpost.vendors import SENDGRID_EVENTS, TWILIO_INBOUND

    logs.set_up(settings.log_level, shape=settings.log_format)
    check_port(settings, "postoffice")
    keys = settings.keys
    serve(
        PostOfficeConfig(
            log_path=settings.home / "postoffice.jsonl",
            port=settings.postoffice_port,
            host=settings.host,
            twilio_account_sid=keys["twilio_account_sid"],
            twilio_auth_token=keys["twilio_auth_token"],
            sendgrid_api_key=keys["sendgrid_api_key"],
            sendgrid_webhook_private_key=keys["sendgrid_webhook_private_key"],
            sendgrid_events_url=settings.base_url + SENDGRID_EVENTS,
            twilio_inbound_url=settings.base_url + TWILIO_INBOUND,
            inbox_url=settings.web_url,
            api_key=keys["api_key"],
            hook_secret=keys["hook_secret"],
            clock=clock_of(settings),
            delay=settings.postoffice_delay,
        )
    )


def migrate(settings: Settings) -> None:
    """Bring the record to the tables of this version."""
    from signalpost.record.database import open_engine
    from signalpost.record.migrate import is_current
    from signalpost.record.migrate import migrate as bring

    engine = open_engine(settings.database_address)
    was_current = is_current(engine)
    if not was_current:
        bring(engine)
    engine.dispose()
    if not was_current:
        audit.note(settings, "migrate", "project:record")
    say.out.print("The record was up to date." if was_current else "The record is up to date now.")


def deploy(settings: Settings) -> None:
    """Register every journey and campaign in Prefect.

    Raises:
        TransientError: Prefect does not answer.
    """
    import httpx

    from signalpost.worker import register

    try:
        notes = register(settings)
    except httpx.HTTPError as error:
        raise TransientError(
            f"Prefect does not answer at {settings.prefect_url}. Start it with `signalpost up`, or set "
            "SIGNALPOST_PREFECT_PORT to where it listens."
        ) from error
    audit.note(settings, "deploy", "project:prefect", notes=len(notes or ()))
    for note in notes or ():
        say.out.print(escape(note), soft_wrap=True)
    say.out.print(
        f"Prefect has every journey and campaign: {settings.prefect_url}/deployments",
        soft_wrap=True,
    )


def check_port(settings: Settings, name: str) -> None:
    """Make sure that a port is free.

    Raises:
        ConfigurationError: somebody listens there already, or the host is not this machine's.
    """
    port = getattr(settings, f"{name}_port")
    variable = f"SIGNALPOST_{name.upper()}_PORT"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                what = f"Port {port} ({name}) is taken. Stop what listens there, or set {variable}."
            elif error.errno == errno.EACCES:
                what = f"Port {port} ({name}) needs more rights; set {variable} above 1023."
            else:
                what = f"SIGNALPOST_HOST is not an address of this machine ({error.strerror})."
            raise ConfigurationError(what) from None

"""Writing and checking: lint, preview, and sending one signal."""

import json as json_
import shlex
import sys
import tempfile
import uuid
import webbrowser
from collections.abc import Iterable
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from signalpost.cli import say
from signalpost.cli.reach import NO_ANSWER, reach
from signalpost.content import Catalogue
from signalpost.content.errors import Problem
from signalpost.domain.vocabulary import Channel
from signalpost.errors import (
    BadInputError,
    ConfigurationError,
    SignalpostError,
    TransientError,
)
from signalpost.settings import Settings

_TIMEOUT = 15  #: seconds


def lint(settings: Settings, *, json: bool) -> None:
    """Check messages, campaigns and journeys; ends with 1 when something is wrong."""
    from signalpost import bootstrap
    from signalpost.content.lint import lint as check

    catalogue = Catalogue.load(settings.templates, broken="collect")
    problems = check(catalogue)
    campaigns, odd, names = _campaigns(settings, catalogue)
    wrong: list[str] = []
    try:
        bootstrap.check_messages(bootstrap.load_programs(settings), catalogue)
    except SignalpostError as error:
        wrong.append(str(error))
    if json:
        say.as_json(
            {
                "messages": catalogue.names(),
                "campaigns": names,
                "problems": [asdict(one) for one in [*problems, *campaigns]],
                "warnings": [asdict(one) for one in odd],
                "journeys": wrong,
            }
        )
    else:
        _print_problems([*problems, *campaigns], odd, wrong)
        count = len(problems) + len(campaigns) + len(wrong)
        fine = (
            f"{len(catalogue.names())} messages, {len(names)} campaigns and the journeys are fine."
        )
        say.out.print(
            f"{count} {'thing is' if count == 1 else 'things are'} wrong." if count else fine
        )
    if problems or campaigns or wrong:
        sys.exit(say.WRONG)


def _campaigns(
    settings: Settings, catalogue: Catalogue
) -> tuple[list[Problem], list[Problem], list[str]]:
    """What is wrong with campaign files now, what is only odd, and the names of those that load."""
    from signalpost.bootstrap import clock_of
    from signalpost.content.campaigns import is_warning, lint, load

    found = load(settings.campaigns, catalogue, broken="collect")
    seen = lint(found, catalogue, clock_of(settings)())
    odd = [one for one in seen if is_warning(one)]
    return [one for one in seen if not is_warning(one)], odd, list(found)


def _print_problems(problems: list[Problem], odd: list[Problem], wrong: list[str]) -> None:
    for problem in [*problems, *odd]:
        place = f"[bold]{escape(problem.file)}:{problem.line}[/bold]"
        rule = escape(f"[{problem.rule}]")
        worth = "" if problem in problems else "[yellow]worth a look:[/yellow] "
        says = f"{worth}{escape(problem.says)}"
        say.out.print(f"{place} {rule} {says}. [dim]{escape(problem.advice)}[/dim]", soft_wrap=True)
    for sentence in wrong:
        say.out.print(f"[bold]journeys[/bold] {escape(sentence)}", soft_wrap=True)


def preview(
    settings: Settings,
    message: str,
    *,
    locale: str | None,
    channel: Channel | None,
    browser: bool,
    json: bool,
) -> None:
    """Print a message as it would be sent, with its sample facts."""
    catalogue = Catalogue.load(settings.templates, broken="collect")
    spec = catalogue[message]
    channels = [channel] if channel else sorted(spec.channels)
    shown = {str(one): catalogue.preview(message, Channel(one), locale) for one in channels}
    instead = [catalogue.shown_instead(message, Channel(one), locale) for one in channels]
    notes = list(dict.fromkeys(filter(None, instead)))
    if json:
        say.as_json({"message": message, "locale": locale, "notes": notes, "channels": shown})
        return
    say_notes(notes)
    for name, parts in shown.items():
        body = Text()
        for part, text in parts.items():
            if part != "html" and text:
                body.append(f"{part}\n", style="dim").append(text.strip() + "\n\n")
        body.rstrip()
        used = catalogue.variant(message, Channel(name), locale).locale
        title = f"{message} · {name} · {used}"
        say.out.print(Panel(body, title=title, title_align="left", border_style="dim", width=88))
    if browser:
        _open(message, shown)


def say_notes(notes: Iterable[str]) -> None:
    """Print what is shown otherwise than asked for."""
    for note in notes:
        say.out.print(f"[yellow]{escape(note)}[/yellow]", soft_wrap=True)


def _open(message: str, shown: dict[str, dict[str, str]]) -> None:
    html = shown.get("email", {}).get("html")
    if html is None:
        raise BadInputError("There is no email to open; leave --channel out, or say email.")
    folder = Path(tempfile.mkdtemp(prefix="signalpost-"))
    path = folder / f"{message}.html"
    path.write_text(html)
    webbrowser.open(path.as_uri())
    say.out.print(f"[dim]{path}[/dim]", soft_wrap=True)


def event(
    settings: Settings,
    name: str,
    properties: list[str],
    *,
    body: str | None,
    event_id: str | None,
    file: Path | None,
) -> None:
    """Send one signal to the running web, and say what became of it.

    Ends with 1 when it was kept and somebody has to see to it.
    """
    from signalpost.bootstrap import clock_of

    sent = {
        "id": event_id or str(uuid.uuid4()),
        "source": "cli",
        "type": name,
        "time": clock_of(settings)().isoformat(),
        "data": _data(properties, body, file),
    }
    result = _post(settings, sent)
    for one in result["results"]:
        news = f"{one['status']}: {one['reason']}" if one.get("reason") else str(one["status"])
        say.out.print(f"{escape(name)} {escape(news)}  [dim]{one.get('event_id') or ''}[/dim]")
    parked = [one for one in result["results"] if one["status"] == "parked"]
    for one in parked:
        say.out.print(f"[yellow]{escape(parked_in_words(one))}[/yellow]", soft_wrap=True)
    if any(not _waits_for_an_order(one) for one in parked):
        sys.exit(say.WRONG)


def parked_in_words(parked: dict[str, Any]) -> str:
    """Say why a parked event was not acted on, and what to do."""
    reason = str(parked.get("reason") or "")
    start = "It is parked: kept and not acted on"
    if reason.startswith("from_the_future"):
        return (
            f"{start}, because its time is later than the clock of the web. It is taken when that "
            "time comes. When the web goes by a clock of its own, as the demo does, set "
            "SIGNALPOST_CLOCK_FILE here too (`source .signalpost/demo/env`); else put this "
            "machine's clock right."
        )
    if _waits_for_an_order(parked):
        what = reason.partition(";")[0].removeprefix("unknown_")
        return (
            f"{start}, because nobody is known for its {what} yet. It goes on by itself when an "
            f"event comes that says whose {what} it is; a user_id, email or phone here says it too."
        )
    return (
        f"{start}, because it needs a repair: {reason}. Send it again, put right, under another "
        f"id; or, once that is repaired here, `signalpost redrive {parked.get('event_id')}`."
    )


def _waits_for_an_order(parked: dict[str, Any]) -> bool:
    return str(parked.get("reason") or "").startswith("unknown_")


def _data(properties: list[str], body: str | None, file: Path | None) -> dict[str, Any]:
    text = None
    if file is not None:
        try:
            text = file.read_text()
        except OSError as error:
            raise BadInputError(f"{file} cannot be read ({error.strerror}).") from None
    elif body is not None:
        text = sys.stdin.read() if body == "-" else body
    data: Any = {} if text is None else _parse(text, "The data")
    if not isinstance(data, dict):
        raise BadInputError('The data must be one JSON object, such as {"order_id": "7"}.')
    return put(data, properties)


def put(data: dict[str, Any], pairs: Iterable[str]) -> dict[str, Any]:
    """Put ``key=value`` pairs into an object; dots in a key lead inwards.

    Raises:
        BadInputError: one is no such pair, or its JSON is broken.
    """
    for one in pairs:
        _put(data, one)
    return data


def _put(data: dict[str, Any], one: str) -> None:
    key, sign, text = one.partition("=")
    if not sign or not key.strip(":"):
        raise BadInputError(f"{one!r} is not key=value; for a number write key:=value.")
    value = _value(key, text)
    *path, last = key.rstrip(":").split(".")
    place = data
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise BadInputError(f"{part!r} has a value of its own, so {key!r} cannot be put in it.")
    place[last] = value


def _value(key: str, text: str) -> Any:
    """What comes after the sign: text, unless it is said, or looks, to be JSON."""
    if key.endswith(":"):
        return _parse(text, key)
    if not text.startswith(("[", "{")):
        return text
    try:
        return json_.loads(text)
    except (ValueError, RecursionError) as error:
        as_text = shlex.quote(f"{key}:={json_.dumps(text, ensure_ascii=False)}")
        raise BadInputError(
            f"{key} looks like a JSON list or object and is not valid: {error}. If it is meant as "
            f"text, write {as_text}."
        ) from None


def _parse(text: str, what: str) -> Any:
    try:
        return json_.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{what.rstrip(':')} is not valid JSON: {error}.") from None


def _post(settings: Settings, sent: dict[str, Any]) -> dict[str, Any]:
    request = Request(  # noqa: S310 - the address is a setting, http or https
        f"{settings.web_url}/v1/events",
        data=json_.dumps(sent).encode(),
        headers={
            "content-type": "application/json",
            "authorization": f"Bearer {settings.keys['write_key']}",
        },
    )
    try:
        with reach(request, timeout=_TIMEOUT) as answer:
            return json_.load(answer)
    except HTTPError as error:
        raise _refusal(error) from None
    except NO_ANSWER as error:
        raise TransientError(
            f"The web does not answer at {settings.web_url}. Start it with `signalpost up`, or set "
            "SIGNALPOST_WEB_PORT to where it listens."
        ) from error


def _refusal(error: HTTPError) -> SignalpostError:
    try:
        said = json_.load(error)
        results = said.get("results") or [{}]
        detail = said.get("detail") or results[0].get("reason") or "it was refused"
    except (ValueError, AttributeError):
        detail = f"the answer was {error.code}"
    if error.code == HTTPStatus.UNAUTHORIZED:
        return ConfigurationError(
            "The web does not know this write key. Set SIGNALPOST_WRITE_KEY to the one it runs "
            "with, or SIGNALPOST_HOME to its state folder."
        )
    if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TransientError(f"The signal was not kept: {detail}.")
    return BadInputError(f"The signal was refused: {detail}.")

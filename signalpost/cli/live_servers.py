"""What ``doctor --live`` asks over HTTP: the web, Prefect and its workers, the vendors' accounts."""

import base64
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

from signalpost import bootstrap
from signalpost.cli.doctor import OK, WARN, WRONG, Check
from signalpost.cli.reach import NO_ANSWER, reach
from signalpost.domain.vocabulary import Lane
from signalpost.settings import Settings

_TIMEOUT = 5  #: seconds
_POOL = "signalpost"  #: as ``worker.deployments`` says; Prefect is not imported for it


@dataclass(frozen=True)
class Paused:
    """What an operator paused in Prefect: who waits there waits on purpose."""

    lanes: Collection[str] = ()
    deployments: Collection[str] = ()


@dataclass(frozen=True)
class FoundInPrefect:
    """What Prefect says."""

    checks: list[Check]
    paused: Paused = field(default_factory=Paused)


def web_checks(settings: Settings) -> Iterator[Check]:
    """The web, as this machine reaches it and as the world does."""
    try:
        with reach(f"{settings.web_url}/readyz", timeout=_TIMEOUT):
            yield Check("web", OK, f"{settings.web_url} is ready.")
    except HTTPError as error:
        yield Check("web", WRONG, f"It is not ready: {_told(error)}.", "Do what it says.")
    except NO_ANSWER:
        remedy = "Start `signalpost web`; signals are refused meanwhile."
        yield Check("web", WRONG, f"Nobody answers at {settings.web_url}.", remedy)
    if settings.public_url is not None:
        yield _public(settings.public_url)


def _public(url: str) -> Check:
    name = "public address"
    try:
        with urlopen(f"{url}/healthz", timeout=_TIMEOUT) as answer:  # noqa: S310 - checked by settings
            ours = json.loads(answer.read(1000)).get("status") == "ok"
    except (*NO_ANSWER, ValueError, AttributeError) as error:
        says = f"{url} does not lead here ({type(error).__name__})."
        remedy = "Vendors and customers use it: look at DNS, TLS and the proxy in front of the web."
        return Check(name, WRONG, says, remedy)
    if not ours:
        return Check(name, WRONG, f"Somebody else answers at {url}.", "Set SIGNALPOST_PUBLIC_URL.")
    if not url.startswith("https://"):
        remedy = "Put it behind TLS: webhooks and links can be read on the way."
        return Check(name, WARN, f"{url} leads here, not encrypted.", remedy)
    return Check(name, OK, f"{url} leads here.")


# -- Prefect ---------------------------------------------------------------------------------------


def prefect_checks(settings: Settings) -> FoundInPrefect:
    """Prefect, who works for it, and what is paused there."""
    try:
        ask = _Prefect(settings)
        ask.get("/health")
    except NO_ANSWER:
        says = f"It does not answer at {settings.prefect_url}. Lane risk sends without it."
        return FoundInPrefect([Check("Prefect", WRONG, says, "Start it; the other lanes wait.")])
    checks = [Check("Prefect", OK, f"{settings.prefect_url} answers.")]
    try:
        workers = ask.post(f"/work_pools/{_POOL}/workers/filter", {})
        queues = ask.post(f"/work_pools/{_POOL}/queues/filter", {})
        deployments = ask.post("/deployments/filter", {})
    except HTTPError as error:
        missing = Check(
            "work pool", WRONG, "It does not know our work pool.", "`signalpost deploy`"
        )
        return FoundInPrefect([*checks, _not_told(missing, error)])
    lanes = sorted(one["name"] for one in queues if one.get("is_paused"))
    stopped = sorted(one["name"] for one in deployments if one.get("paused"))
    checks += [*_workers(workers), *_pools(settings, ask)]
    if lanes or stopped:
        says = f"Paused by an operator: {', '.join([*lanes, *stopped])}."
        remedy = "Who is due there waits. Resume it in Prefect's pages when it may go on."
        checks.append(Check("paused", WARN, says, remedy))
    return FoundInPrefect(checks, Paused(lanes, stopped))


def _workers(workers: list[Mapping[str, Any]]) -> Iterator[Check]:
    """A worker is named after its lane: "signalpost risk 4711"."""
    for lane in Lane:
        mine = [one for one in workers if str(one.get("name", "")).split(" ")[1:2] == [lane.value]]
        number = sum(one.get("status") == "ONLINE" for one in mine)
        name = f"{lane.value} worker"
        if number:
            yield Check(name, OK, f"{number} at work.")
        else:
            remedy = f"Start one: `signalpost worker --lane {lane.value}`."
            yield Check(name, WRONG, "None has been heard of in the last minute.", remedy)


def _pools(settings: Settings, ask: "_Prefect") -> Iterator[Check]:
    """The work pools of others on which campaigns are to run: there, and served by somebody."""
    from signalpost.content import Catalogue
    from signalpost.content.campaigns import load

    catalogue = Catalogue.load(settings.templates, broken="collect")
    found = load(settings.campaigns, catalogue, broken="collect").values()
    for pool in sorted({one.run_on for one in found if one.run_on} - {_POOL}):
        name = f"work pool {pool}"
        who = ", ".join(sorted(one.name for one in found if one.run_on == pool))
        try:
            there = ask.get(f"/work_pools/{quote(pool, safe='')}")
        except HTTPError as error:
            says = f"Prefect has none of that name; {who} cannot be sent."
            remedy = f"`prefect work-pool create --type process {pool}`, then `signalpost deploy`."
            yield _not_told(Check(name, WRONG, says, remedy), error)
            continue
        if there.get("is_paused"):
            yield Check(name, WARN, f"It is paused; {who} waits.", "Resume it in Prefect's pages.")
        elif there.get("status") == "NOT_READY":
            says = f"No worker serves it; {who} cannot be sent."
            yield Check(name, WRONG, says, f"`prefect worker start -p {pool}`")
        else:
            yield Check(name, OK, f"It is there for {who}.")


def _not_told(missing: Check, error: HTTPError) -> Check:
    """Say that something is missing when Prefect says so; any other answer tells nothing about it."""
    if error.code == HTTPStatus.NOT_FOUND:
        return missing
    says = f"Prefect answers {error.code} when asked about it, so nothing is known."
    return Check(missing.name, WRONG, says, "Its log says why; then ask again.")


class _Prefect:
    """Asks Prefect's API as our workers do."""

    def __init__(self, settings: Settings) -> None:
        self._url = os.environ.get("PREFECT_API_URL", f"{settings.prefect_url}/api").rstrip("/")

    def get(self, path: str) -> Any:
        with reach(self._url + path, timeout=_TIMEOUT) as answer:
            return json.load(answer)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        request = Request(  # noqa: S310 - our own Prefect
            self._url + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with reach(request, timeout=_TIMEOUT) as answer:
            return json.load(answer)


# -- vendors ---------------------------------------------------------------------------------------


class _NoRedirect(HTTPRedirectHandler):
    """Our key goes to the host that is set, and to no other."""

    def redirect_request(self, *args: Any, **named: Any) -> None:
        """Do not follow."""
        del args, named


_ask_vendor = build_opener(_NoRedirect).open


def account_checks(settings: Settings) -> Iterator[Check]:
    """Whether each account answers and knows our key. Nothing is sent."""
    if settings.local_sendgrid or settings.local_twilio:
        yield _post_office(settings)
    if not settings.local_sendgrid:
        mail = bootstrap.sendgrid_settings(settings, brand="")
        second = bootstrap.second_sendgrid(settings, mail)
        for name, one in (("SendGrid", mail), ("SendGrid, second account", second)):
            if one is not None:
                base = one.base_url or "https://api.sendgrid.com"
                yield _account(name, f"{base}/v3/scopes", f"Bearer {one.api_key}")
    if not settings.local_twilio:
        phone = bootstrap.twilio_settings(settings)
        other = bootstrap.second_twilio(settings, phone)
        for name, one in (("Twilio", phone), ("Twilio, second account", other)):
            if one is not None:
                base = one.base_url or "https://api.twilio.com"
                pair = base64.b64encode(f"{one.api_key}:{one.api_secret}".encode()).decode()
                where = f"{base}/2010-04-01/Accounts/{one.account_sid}/Messages.json?PageSize=1"
                yield _account(name, where, f"Basic {pair}")


def _post_office(settings: Settings) -> Check:
    name = "post office"
    try:
        with reach(f"{settings.postoffice_url}/", timeout=_TIMEOUT):
            return Check(name, OK, f"{settings.postoffice_url} takes what has no vendor.")
    except NO_ANSWER:
        says = f"It does not answer at {settings.postoffice_url}."
        return Check(name, WRONG, says, "Start `signalpost postoffice`, or set a vendor's account.")


def _account(name: str, url: str, authorization: str) -> Check:
    host = url.split("/")[2]
    request = Request(url, headers={"Authorization": authorization})  # noqa: S310 - checked settings
    try:
        with _ask_vendor(request, timeout=_TIMEOUT):
            return Check(name, OK, f"{host} answers and knows our key.")
    except HTTPError as error:
        if error.code in (401, 403):
            remedy = "Correct its key; nothing goes out by it meanwhile."
            return Check(name, WRONG, f"{host} refuses our key ({error.code}).", remedy)
        state = WARN if error.code >= 500 else OK
        return Check(name, state, f"{host} answers {error.code}.")
    except NO_ANSWER as error:
        says = f"{host} does not answer ({type(error).__name__})."
        return Check(name, WRONG, says, "Look at the way out of this machine, and its status page.")


def _told(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read(1000)).get("status", error.code))
    except (ValueError, AttributeError, OSError):
        return str(error.code)

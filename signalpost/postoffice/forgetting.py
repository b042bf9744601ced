"""Forgetting somebody, as the vendors do: the post office's own log is written anew without them.

The lines stay, with their numbers and times: how much was sent, and when, can still be counted.
"""

from collections.abc import Callable, Collection
from typing import Any

from signalpost.postoffice.log import Entry

ERASED = "erased@erased.invalid"
_NOBODY = "erased"
#: What the event webhook tells of a person besides their address.
_ABOUT_THEM = ("ip", "useragent", "url", "reason", "response", "subject", "category")

Change = Callable[[Entry], Entry]


def mail_of(emails: Collection[str]) -> Change:
    """Take these people out of an entry: their personalizations, and words that are theirs alone."""
    gone = {email.lower() for email in emails}

    def change(entry: Entry) -> Entry:
        match entry["kind"]:
            case "mail.accepted":
                return {**entry, "request": request_without(entry["request"], gone)}
            case "mail.events":
                return {**entry, "events": [_event(one, gone) for one in entry["events"]]}
            case _:
                return _renamed(entry, gone, ERASED)

    return change


def request_without(request: dict[str, Any], gone: Collection[str]) -> dict[str, Any]:
    """Give a mail/send request without these people (addresses in lower case)."""
    people = [_personalization(one, gone) for one in request["personalizations"]]
    whole = {**request, "personalizations": people}
    if all(_is_erased(one) for one in people):  # the words may be one person's own
        whole["subject"] = ""
        whole["content"] = [{**one, "value": ""} for one in request.get("content") or ()]
        whole.pop("headers", None)
    return whole


def _personalization(person: dict[str, Any], gone: Collection[str]) -> dict[str, Any]:
    named = [
        party["email"].lower() for role in ("to", "cc", "bcc") for party in person.get(role) or ()
    ]
    if not set(gone) & set(named):
        return person
    kept = {name: person[name] for name in ("custom_args", "send_at") if name in person}
    words = dict.fromkeys(person.get("substitutions") or (), "")
    return {**kept, "to": [{"email": ERASED}], "substitutions": words}


def _is_erased(person: dict[str, Any]) -> bool:
    return person["to"] == [{"email": ERASED}]


def _event(event: dict[str, Any], gone: Collection[str]) -> dict[str, Any]:
    if str(event.get("email", "")).lower() not in gone:
        return event
    return {name: value for name, value in event.items() if name not in _ABOUT_THEM} | {
        "email": ERASED
    }


def text_of(sid: str, *, party: str | None) -> Change:
    """Take the text out of a message's entries; with ``party``, the customer's number too."""

    def change(entry: Entry) -> Entry:
        if entry.get("sid") != sid or entry["kind"] not in ("sms.accepted", "sms.inbound"):
            return entry
        bare = {**entry, "body": "", "media": []}
        return _renamed(bare, {party.lower()}, _NOBODY) if party else bare

    return change


def number_of(party: str) -> Change:
    """Take a number out of every entry that still names it."""
    return lambda entry: _renamed(entry, {party.lower()}, _NOBODY)


def _renamed(value: Any, gone: Collection[str], name: str) -> Any:
    if isinstance(value, str):
        return name if value.lower() in gone else value
    if isinstance(value, dict):
        return {key: _renamed(one, gone, name) for key, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one, gone, name) for one in value]
    return value

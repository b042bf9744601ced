"""What SendGrid refuses in a mail/send request, in its own words and fields."""

import re
from collections.abc import Iterator
from typing import Any

from signalpost.postoffice import magic

MAX_BODY_BYTES = 30_000_000
MAX_RECIPIENTS = 1000
MAX_SEND_AHEAD = 72 * 3600  #: seconds
_HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message."
_ADDRESS = re.compile(
    r"[^\s@<>(),;:\\\"\[\]]{1,64}@(?=.{1,253}$)[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)+"
)
_RESERVED_HEADERS = frozenset(
    {
        "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type",
        "content-transfer-encoding", "to", "from", "subject", "reply-to", "cc", "bcc",
    }
)  # fmt: skip
_OBJECT_FIELDS = (
    "headers", "custom_args", "asm", "mail_settings", "tracking_settings", "sections", "reply_to",
)  # fmt: skip
_BYPASSES = (
    "bypass_spam_management", "bypass_bounce_management", "bypass_unsubscribe_management",
)  # fmt: skip

Refusal = dict[str, str | None]  #: one element of SendGrid's ``errors`` array


def refusal(message: str, field: str | None = None) -> Refusal:
    """Return one element of SendGrid's ``errors`` array."""
    return {"message": message, "field": field, "help": _HELP + field if field else None}


def check_mail(mail: Any, *, now: float) -> list[Refusal]:
    """Return every reason to refuse this request; none means it is accepted. ``now`` is epoch."""
    if not isinstance(mail, dict):
        return [refusal("Bad Request")]
    shape = list(_check_shape(mail))
    if shape:
        return shape
    return [
        *_check_people(mail),
        *_check_from(mail),
        *_check_subject(mail),
        *_check_content(mail),
        *_check_reply_to(mail),
        *_check_extras(mail, "", now),
        *_check_categories(mail),
        *_check_settings(mail),
        *(
            found
            for n, person in enumerate(mail["personalizations"])
            for found in _check_extras(person, f"personalizations.{n}.", now)
        ),
    ]


def is_sandboxed(mail: dict[str, Any]) -> bool:
    """Say whether the request only asks to be checked."""
    return switched_on(mail, "mail_settings", "sandbox_mode")


def switched_on(mail: dict[str, Any], group: str, setting: str, *, default: bool = False) -> bool:
    """Return ``mail[group][setting]["enable"]``, or the default when it is not given."""
    found = (mail.get(group) or {}).get(setting)
    return bool(found.get("enable", default)) if isinstance(found, dict) else default


def _check_shape(mail: dict[str, Any]) -> Iterator[Refusal]:
    people = mail.get("personalizations")
    if not isinstance(people, list) or not people:
        yield refusal(
            "The personalizations field is required and must have at least one personalization.",
            "personalizations",
        )
    elif len(people) > MAX_RECIPIENTS:
        yield refusal(
            "The personalization block is limited to 1000 personalizations per API request. You "
            f"have provided {len(people)} personalizations. Please consider splitting this into "
            "multiple requests and resending your request.",
            "personalizations",
        )
    elif not all(isinstance(person, dict) for person in people):
        yield refusal("Invalid type. Expected: object.", "personalizations")
    for name in _OBJECT_FIELDS:
        if mail.get(name) is not None and not isinstance(mail[name], dict):
            yield refusal("Invalid type. Expected: object.", name)


def _check_people(mail: dict[str, Any]) -> Iterator[Refusal]:
    seen: set[str] = set()
    for n, person in enumerate(mail["personalizations"]):
        if not isinstance(person.get("to"), list) or not person["to"]:
            yield refusal(
                "The to array is required for all personalization objects, and must have at least "
                "one email object with a valid email address.",
                f"personalizations.{n}.to",
            )
            continue
        for role in ("to", "cc", "bcc"):
            for m, party in enumerate(person.get(role) or ()):
                yield from _check_party(party, f"personalizations.{n}.{role}", m, seen)
    if len(seen) > MAX_RECIPIENTS:
        yield refusal("There is a limit of 1000 total recipients (to + cc + bcc) per request.")


def _check_party(party: Any, field: str, index: int, seen: set[str]) -> Iterator[Refusal]:
    address = party.get("email") if isinstance(party, dict) else None
    if not _is_address(address) or magic.is_refused_address(str(address)):
        yield refusal("Does not contain a valid address.", f"{field}.{index}.email")
        return
    name = party.get("name")
    if name is not None and (not isinstance(name, str) or re.search(r"[;,\r\n]", name)):
        yield refusal(
            "The name must be a string without commas, semicolons or line breaks.",
            f"{field}.{index}.name",
        )
    key = str(address).lower()
    if key in seen:
        yield refusal(
            "Each email address in the personalization block should be unique between to, cc, and "
            f"bcc. We found the first duplicate instance of [{address}] in the {field} field.",
            field.rpartition(".")[0],
        )
    seen.add(key)


def _is_address(address: Any) -> bool:
    return isinstance(address, str) and _ADDRESS.fullmatch(address) is not None


def _check_from(mail: dict[str, Any]) -> Iterator[Refusal]:
    sender = mail.get("from")
    if not isinstance(sender, dict) or not sender.get("email"):
        yield refusal(
            "The from object must be provided for every email send. It is an object that requires "
            "the email parameter, but may also contain a name parameter.  e.g. "
            '{"email" : "example@example.com"}  or '
            '{"email" : "example@example.com", "name" : "Example Recipient"}.',
            "from.email",
        )
    elif not _is_address(sender["email"]) or not sender["email"].isascii():
        yield refusal("The from email does not contain a valid address.", "from.email")


def _check_subject(mail: dict[str, Any]) -> Iterator[Refusal]:
    people = mail["personalizations"]
    fields = [("subject", mail.get("subject"))]
    fields += [(f"personalizations.{n}.subject", p.get("subject")) for n, p in enumerate(people)]
    if not mail.get("template_id") and not fields[0][1] and not all(s for _, s in fields[1:]):
        yield refusal(
            "The subject is required. You can get around this requirement if you use a template "
            "with a subject defined or if every personalization has a subject defined.",
            "subject",
        )
    for field, subject in fields:
        if subject is not None and (not isinstance(subject, str) or re.search(r"[\r\n]", subject)):
            yield refusal("The subject must be a string without line breaks.", field)


def _check_content(mail: dict[str, Any]) -> Iterator[Refusal]:
    content = mail.get("content")
    if not content:
        if not mail.get("template_id"):
            yield refusal(
                "Unless a valid template_id is provided, the content parameter is required. There "
                "must be at least one defined content block. We typically suggest both text/plain "
                "and text/html blocks are included, but only one block is required.",
                "content",
            )
        return
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        yield refusal("Invalid type. Expected: array of objects.", "content")
        return
    for n, part in enumerate(content):
        if not isinstance(part.get("value"), str) or not part["value"]:
            yield refusal(
                "The content value must be a string at least one character in length.",
                f"content.{n}.value",
            )
        if not isinstance(part.get("type"), str) or not part["type"]:
            yield refusal(
                "The content type must be a string at least one character in length.",
                f"content.{n}.type",
            )
    kinds = [part.get("type") for part in content]
    if "text/plain" in kinds[1:]:
        yield refusal(
            "If present, text/plain must be first, followed by text/html, followed by any other "
            "content.",
            "content",
        )


def _check_reply_to(mail: dict[str, Any]) -> Iterator[Refusal]:
    one, many = mail.get("reply_to"), mail.get("reply_to_list")
    if one and many:
        yield refusal("The reply_to and reply_to_list parameters cannot be used together.")
    parties = [("reply_to", one)] if one else []
    if isinstance(many, list):
        parties += [(f"reply_to_list.{n}", party) for n, party in enumerate(many)]
    for field, party in parties:
        if not isinstance(party, dict) or not _is_address(party.get("email")):
            yield refusal("The reply_to email does not contain a valid address.", field)


def _check_extras(part: dict[str, Any], at: str, now: float) -> Iterator[Refusal]:
    """Check what may stand both at the top and in a personalization."""
    yield from _check_headers(part.get("headers"), at)
    for name in ("custom_args", "substitutions"):
        yield from _check_values(part.get(name), at + name)
    send_at = part.get("send_at")
    if send_at is None:
        return
    if isinstance(send_at, bool) or not isinstance(send_at, int):
        yield refusal("The send_at parameter must be a unix timestamp.", at + "send_at")
    elif send_at > now + MAX_SEND_AHEAD:
        yield refusal(
            "The send_at parameter cannot be more than 72 hours in the future.", at + "send_at"
        )


def _check_headers(headers: Any, at: str) -> Iterator[Refusal]:
    if headers is None:
        return
    if not isinstance(headers, dict):
        yield refusal("Invalid type. Expected: object.", at + "headers")
        return
    for name, value in headers.items():
        if name.lower() in _RESERVED_HEADERS:
            yield refusal(
                f"The header you are attempting to set is reserved: {name}.", f"{at}headers.{name}"
            )
        elif not isinstance(value, str) or re.search(r"[\r\n\0]", name + value):
            yield refusal("The header must be a string without line breaks.", f"{at}headers.{name}")


def _check_values(values: Any, field: str) -> Iterator[Refusal]:
    if values is None:
        return
    if not isinstance(values, dict):
        yield refusal("Invalid type. Expected: object.", field)
        return
    size = 0
    for name, value in values.items():
        if not isinstance(value, str):
            yield refusal("The value must be a string.", f"{field}.{name}")
            return
        size += len(name.encode()) + len(value.encode())
    if size > 10_000:
        yield refusal(f"The {field.rpartition('.')[2]} must be 10,000 bytes or less.", field)


def _check_categories(mail: dict[str, Any]) -> Iterator[Refusal]:
    categories = mail.get("categories")
    if categories is None:
        return
    if not isinstance(categories, list) or not all(isinstance(c, str) for c in categories):
        yield refusal("The categories must be an array of strings.", "categories")
    elif len(categories) > 10:
        yield refusal("There is a limit of 10 categories per request.", "categories")
    elif len(set(categories)) < len(categories):
        yield refusal("The categories must be unique.", "categories")
    elif any(len(category) > 255 for category in categories):
        yield refusal("Each category name may not exceed 255 characters.", "categories")


def _check_settings(mail: dict[str, Any]) -> Iterator[Refusal]:
    asm = mail.get("asm")
    if asm and (isinstance(asm.get("group_id"), bool) or not isinstance(asm.get("group_id"), int)):
        yield refusal("The group_id must be an integer.", "asm.group_id")
    if asm and len(asm.get("groups_to_display") or ()) > 25:
        yield refusal("There is a limit of 25 groups to display.", "asm.groups_to_display")
    if switched_on(mail, "mail_settings", "bypass_list_management") and any(
        switched_on(mail, "mail_settings", name) for name in _BYPASSES
    ):
        yield refusal(
            "bypass_list_management cannot be combined with the other bypass settings.",
            "mail_settings.bypass_list_management",
        )

"""What one recipient of a mail/send request reads, substitutions applied."""

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import orjson


def render_mail(*, request: dict[str, Any], index: int) -> dict[str, Any]:
    """Return subject, text, html and headers of one personalization.

    Substitutions hold in subject and content, as SendGrid documents; headers stay as they came.
    """
    person = request["personalizations"][index]
    replace = _replacer(person.get("substitutions") or {}, request.get("sections") or {})
    subject = replace(person.get("subject") or request.get("subject") or "")
    parts = {part["type"]: replace(part["value"]) for part in request.get("content") or ()}
    if request.get("template_id"):
        parts.setdefault("text/plain", _template_note(request["template_id"], person))
    return {
        "subject": subject,
        "text": parts.get("text/plain"),
        "html": parts.get("text/html"),
        "headers": {**(request.get("headers") or {}), **(person.get("headers") or {})},
    }


def subject_of(*, request: dict[str, Any], index: int) -> str:
    """Return the subject of one personalization alone, for lists."""
    return render_mail(request={**request, "content": ()}, index=index)["subject"]


def custom_args(*, request: dict[str, Any], index: int) -> dict[str, str]:
    """Return the custom arguments of one personalization, its own winning over the shared."""
    person = request["personalizations"][index]
    return {**(request.get("custom_args") or {}), **(person.get("custom_args") or {})}


def one_click_url(headers: dict[str, str]) -> str | None:
    """Return the RFC 8058 unsubscribe address, or None when the mail has no one-click header."""
    lower = {name.lower(): value for name, value in headers.items()}
    if lower.get("list-unsubscribe-post", "").strip() != "List-Unsubscribe=One-Click":
        return None
    for candidate in re.findall(r"<([^<>]+)>", lower.get("list-unsubscribe", "")):
        if urlsplit(candidate).scheme in {"http", "https"}:
            return candidate.strip()
    return None


def links_of(html: str | None, text: str | None) -> list[str]:
    """Return the web addresses a reader can click, in order, each once."""
    finder = _LinkFinder()
    if html:
        finder.feed(html)
    else:
        finder.links = re.findall(r"https?://[^\s<>\"]+", text or "")
    return list(dict.fromkeys(finder.links))


class _LinkFinder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href") if tag in {"a", "area"} else None
        if address and address.lower().startswith(("http://", "https://")):
            self.links.append(address)


def _replacer(substitutions: dict[str, str], sections: dict[str, str]) -> Any:
    tables = [table for table in (substitutions, sections) if table]

    def replace(text: str) -> str:
        for table in tables:
            # One pass, longest tag first: what was put in is not searched again.
            tags = sorted(filter(None, table), key=len, reverse=True)
            pattern = "|".join(re.escape(tag) for tag in tags)
            if pattern:
                text = re.sub(pattern, lambda found, table=table: table[found.group()], text)
        return text

    return replace


def _template_note(template_id: str, person: dict[str, Any]) -> str:
    data = person.get("dynamic_template_data") or {}
    shown = orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()
    return f"[template {template_id}]\n{shown}"

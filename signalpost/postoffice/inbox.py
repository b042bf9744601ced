"""Reads the product's app inbox over HTTP, as the customer's app would."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from signalpost.errors import BadInputError, TransientError
from signalpost.postoffice.office import Office

_TIMEOUT = aiohttp.ClientTimeout(total=2)
_LARGEST = 4_000_000  #: bytes of an answer
ACTS = frozenset({"seen", "read", "archive"})


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer with an app inbox."""

    id: str
    name: str
    unread: int
    token: str


async def customers(office: Office) -> list[Customer]:
    """Return the customers; raises TransientError when the product cannot be reached."""
    rows = await _call(office, "GET", "/v1/inbox/customers", office.config.api_key or "")
    if not isinstance(rows, list):
        raise TransientError("The app inbox answered something else than a list.")
    return [
        Customer(
            id=str(row.get("customer_id") or ""),
            name=str(row.get("name") or row.get("customer_id") or ""),
            unread=int(row.get("unread") or 0),
            token=str(row.get("token") or ""),
        )
        for row in rows
        if isinstance(row, dict)
    ]


async def items(office: Office, customer: Customer) -> dict[str, Any]:
    """Return one customer's inbox: ``items`` and ``unread``."""
    found = await _call(office, "GET", "/v1/inbox", customer.token)
    if not isinstance(found, dict) or not isinstance(found.get("items"), list):
        raise TransientError("The app inbox answered something else than items.")
    return found


async def act(office: Office, customer: Customer, item_id: str, name: str) -> None:
    """Mark one item seen, read or archived."""
    if name not in ACTS:
        raise BadInputError("An item can be seen, read or archived.")
    await _call(office, "POST", f"/v1/inbox/{quote(item_id, safe='')}/{name}", customer.token)


async def _call(office: Office, method: str, path: str, token: str) -> Any:
    base = office.config.inbox_url
    if base is None:
        raise TransientError("No app inbox is set.")
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with office.courier.session.request(
            method,
            base.rstrip("/") + path,
            headers=headers,
            timeout=_TIMEOUT,
            allow_redirects=False,
        ) as response:
            body = await response.content.read(_LARGEST)
            if response.status >= 300:
                raise TransientError(f"The app inbox answered {response.status}.")
            return orjson.loads(body) if body else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise TransientError("The app inbox is not reachable.") from error

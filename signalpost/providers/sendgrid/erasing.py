"""Has SendGrid forget people: ``POST /v3/recipients/erasejob``.

It takes up to 5,000 addresses or 256 KB a request, and erases names, addresses, subjects, categories
and IP addresses of this account (not of its subusers). An account from before July 2023 must ask for
the scope ``recipients.erasejob.create``.
"""

import asyncio
import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

from python_http_client.exceptions import HTTPError

from signalpost.domain.erasure import Erased, NotErasedError
from signalpost.providers.sendgrid.client import connect
from signalpost.providers.sendgrid.settings import SendGridSettings

MOST = 1_000  #: addresses in a request; of 254 characters at most they stay below 256 KB


class SendGridEraser:
    """Erases by address, on every account of ours; messages are found by SendGrid itself."""

    name = "sendgrid"

    def __init__(self, *accounts: SendGridSettings) -> None:
        self._accounts = accounts

    async def erase(self, *, addresses: Sequence[str], provider_ids: Sequence[str]) -> Erased:
        """Have SendGrid forget these addresses, everything that was sent to them included.

        Raises:
            NotErasedError: SendGrid cannot be reached, or refuses.
        """
        del provider_ids
        emails = [one for one in addresses if "@" in one]
        jobs: list[str] = []
        for account in self._accounts:
            left = iter(emails)
            while some := list(islice(left, MOST)):
                jobs.append(await asyncio.to_thread(_ask, account, some))
        return Erased(addresses=len(emails), job_ids=jobs)


def _ask(settings: SendGridSettings, emails: list[str]) -> str:
    body = json.dumps({"email_addresses": emails}).encode()
    client: Any = connect(settings).carrying(body)
    try:
        response = client.recipients.erasejob.post(request_body={})
        job = json.loads(response.body)["job_id"]
    except HTTPError as error:
        raise NotErasedError(f"SendGrid answered HTTP {error.status_code}") from None
    except Exception as error:  # the text may quote the request: only its kind is told
        raise NotErasedError(f"SendGrid: {type(error).__name__}") from None
    return str(job)

"""The one Prefect client of a worker: shared by its runs, and soon back when Prefect is busy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.context import AsyncClientContext

#: Seconds between tries. Prefect on SQLite answers 503 when two of its transactions met; the loser
#: was rolled back, so it is safe to ask again at once. Prefect's own client waits 2 s and more.
_PAUSES = (0.01, 0.03, 0.1, 0.2)


class _PromptTransport(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for pause in _PAUSES:
            response = await super().handle_async_request(request)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return response
            await response.aclose()
            await asyncio.sleep(pause)
        return await super().handle_async_request(request)


class _Shared(AsyncClientContext):
    def __init__(self) -> None:
        super().__init__(httpx_settings={"transport": _PromptTransport()})
        # Prefect shares a client only with callers that ask for the same settings, and its engine
        # asks for none: without this each task would open a client, and load certificates, anew.
        self._httpx_settings = None


@asynccontextmanager
async def shared_client() -> AsyncIterator[PrefectClient]:
    """Open the client that the flows run in this context share."""
    async with _Shared() as shared:
        yield shared.client

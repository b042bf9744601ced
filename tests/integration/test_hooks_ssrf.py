"""Webhooks out reach nothing that is not public, whatever the address looks like (OWASP SSRF)."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from signalpost import settings
from signalpost.domain.delivery import HookOutcome
from signalpost.errors import ConfigurationError
from signalpost.providers import addresses
from signalpost.providers.addresses import Exempt, guarded_sockets, is_allowed
from signalpost.providers.hooks import Webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_" + "b2xkLXNlY3JldC1vbGQtc2VjcmV0LTEyMzQ="

#: Addresses that lead inside, in every dress.
INSIDE = [
    "0.0.0.0", "0.1.2.3",
    "10.0.0.1", "10.255.255.255",
    "100.64.0.1", "100.127.255.254", "100.100.100.200",  # CGNAT; Alibaba's metadata
    "127.0.0.1", "127.0.1.1", "127.255.255.255",
    "169.254.169.254", "169.254.170.2",  # metadata of most clouds, of ECS
    "168.63.129.16",  # Azure's wire server: a public address, answered from inside
    "172.16.0.1", "172.31.255.255",
    "192.0.0.192",  # Oracle's metadata
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::7f00:1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe",  # IPv4 in IPv6 clothes
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",  # NAT64
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::",  # 6to4
    "2001::1", "2001:0:7f00:1::",  # Teredo
    "2001:db8::1", "3fff::1", "100::1",
    "fc00::1", "fd00::1", "fd00:ec2::254",  # unique local; AWS metadata over IPv6
    "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1",
    "ff02::1", "ff0e::1", "5f00::1",
]  # fmt: skip
OUTSIDE = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1",
    "172.32.0.1", "192.167.0.1", "198.20.0.1", "223.255.255.255",
    "2606:4700:4700::1111", "2a00:1450:4001:81c::2004", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip

#: How the same places are written by somebody who hopes that nobody looks twice.
WRITTEN = [
    "http://127.0.0.1/", "http://localhost/", "http://localhost./", "http://LOCALHOST/",
    "http://127.1/", "http://127.0.1/", "http://2130706433/", "http://0x7f000001/",
    "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://017700000001/", "http://0/",
    "http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/",
    "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/meta-data/",
    "http://2852039166/latest/meta-data/", "http://0xa9fea9fe/",
    "http://10.0.0.1/", "http://192.168.1.1/", "http://100.64.0.1/", "http://168.63.129.16/",
    "http://user:pass@127.0.0.1/", "http://example.com@127.0.0.1/", "http://127.0.0.1#@example.com/",
    "http://127.0.0.1?@example.com/", "http://①②⑦.⓪.⓪.①/",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_what_is_not_public_is_refused(host: str) -> None:
    assert not is_allowed(host, 443)


@pytest.mark.parametrize("host", OUTSIDE)
def test_what_is_public_is_allowed_on_ports_of_the_web_alone(host: str) -> None:
    assert is_allowed(host, 443)
    for port in (21, 22, 25, 53, 2375, 3306, 5432, 6379, 9200, 10250, 11211, 27017):
        assert not is_allowed(host, port)


@pytest.mark.parametrize("host", ["", "example.com", "127.0.0.1.", "1.2.3", "::g", "٨.8.8.8"])
def test_what_is_no_address_is_refused(host: str) -> None:
    assert not is_allowed(host, 443)


def call(url: str, *, private: Sequence[str] = (), **more: Any) -> HookOutcome:
    async def whole() -> HookOutcome:
        hooks = Webhooks(urls={"x": url}, secrets=[SECRET], private=private, **more)
        try:
            return await hooks.call(hook="x", call_id="call-1", body={})
        finally:
            await hooks.close()

    return asyncio.run(whole())


@pytest.fixture
def listening() -> Iterator[list[Any]]:
    """Somebody on loopback who writes down whoever connects, on all addresses and port 80's stand-in."""
    heard: list[Any] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, peer = server.accept()
            except TimeoutError:
                continue
            heard.append(peer)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    heard.append(server.getsockname()[1])
    yield heard
    stop.set()
    thread.join()
    server.close()


@pytest.mark.parametrize("url", WRITTEN)
def test_no_spelling_of_an_inside_address_is_called(url: str) -> None:
    answer = call(url)
    assert answer.status in ("failed", "retry")
    assert answer.status == "failed" or answer.detail == "no connection", "no such name"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
def test_nobody_inside_is_even_connected_to(listening: list[Any], host: str) -> None:
    port = listening[0]
    answer = call(f"http://{host}:{port}/")
    assert answer.status == "failed"
    assert listening[1:] == []


@pytest.mark.parametrize(
    ("allowed", "status"),
    [
        (["127.0.0.0/8"], "done"),
        (["127.0.0.1"], "done"),
        (["127.0.0.1:{port}"], "done"),
        (["127.0.0.1:1"], "failed"),
        (["10.0.0.0/8"], "failed"),
        ([], "failed"),
    ],
)
def test_a_network_that_the_settings_name_is_allowed_and_no_other(
    httpserver: HTTPServer, allowed: list[str], status: str
) -> None:
    httpserver.expect_request("/block").respond_with_data("", 204)
    private = [one.format(port=httpserver.port) for one in allowed]
    assert call(f"http://127.0.0.1:{httpserver.port}/block", private=private).status == status
    assert len(httpserver.log) == (status == "done")


def test_a_redirect_to_the_inside_is_not_followed(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/block").respond_with_data(
        "", 307, {"Location": "http://169.254.169.254/latest/meta-data/"}
    )
    answer = call(httpserver.url_for("/block"), private=["127.0.0.0/8"])
    assert (answer.status, answer.detail) == ("failed", "answered 307")


class Rebinding(aiohttp.abc.AbstractResolver):
    """A name server of an attacker: public when it is asked first, loopback from then on."""

    def __init__(self, port: int) -> None:
        self.asked = 0
        self._port = port

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        self.asked += 1
        address = "203.0.114.7" if self.asked == 1 else "127.0.0.1"
        return [
            {"hostname": host, "host": address, "port": self._port, "family": socket.AF_INET,
             "proto": 0, "flags": 0}
        ]  # fmt: skip

    async def close(self) -> None:
        pass


def test_a_name_that_leads_outside_first_and_inside_later_is_refused_when_it_does(
    listening: list[Any],
) -> None:
    """DNS rebinding: what was looked up before does not count, only the address that is connected to."""
    port = listening[0]

    async def whole() -> list[str]:
        resolver = Rebinding(port)
        connector = aiohttp.TCPConnector(
            resolver=resolver, socket_factory=guarded_sockets([]), use_dns_cache=False
        )
        said = []
        async with aiohttp.ClientSession(connector=connector) as session:
            assert (await resolver.resolve("shop.example"))[0]["host"] == "203.0.114.7"
            for _ in range(3):
                try:
                    async with session.post(f"http://shop.example:{port}/", data=b"{}"):
                        said.append("called")
                except aiohttp.ClientConnectorError as error:
                    said.append(type(error.os_error).__name__)
        return said

    assert asyncio.run(whole()) == [addresses.ForbiddenAddressError.__name__] * 3
    assert listening[1:] == []


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "10.0.0.0/33", "10.0.0.1:0", "10.0.0.1:99999", "10.1.2.3:٨٠", "host:80"],
)
def test_a_network_that_is_none_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SIGNALPOST_HOOKS_PRIVATE"):
        Exempt.parse(text)


@pytest.mark.parametrize(
    ("text", "host", "port", "covered"),
    [
        ("10.0.0.0/8", "10.9.9.9", 5432, True),
        ("10.0.0.0/8:8443", "10.9.9.9", 8443, True),
        ("10.0.0.0/8:8443", "10.9.9.9", 443, False),
        ("[fd00::]/8:8443", "fd00::7", 8443, True),
        ("fd00::/8", "fd00::7", 1, True),
        ("::1", "::1", 80, True),
        ("10.0.0.0/8", "::ffff:10.0.0.1", 80, True),
        ("10.0.0.0/8", "11.0.0.1", 22, False),
    ],
)
def test_an_exempt_network_covers_its_own_addresses(
    text: str, host: str, port: int, covered: bool
) -> None:
    assert is_allowed(host, port, exempt=[Exempt.parse(text)]) is covered


def test_while_a_secret_is_replaced_receivers_may_verify_with_either(
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/block").respond_with_data("", 204)

    async def whole() -> None:
        hooks = Webhooks(
            urls={"x": httpserver.url_for("/block")},
            secrets=[OLD, SECRET],
            private=["127.0.0.0/8"],
        )
        await hooks.call(hook="x", call_id="call-1", body={"a": 1})
        await hooks.close()

    asyncio.run(whole())
    [(request, _)] = httpserver.log
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    for secret in (OLD, SECRET):
        assert Webhook(secret).verify(request.data, dict(request.headers))["data"] == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "c29tZWJvZHkgZWxzZSdzIHNlY3JldA==").verify(
            request.data, dict(request.headers)
        )


def settled(httpserver: HTTPServer, folder: Path, **more: str) -> HookOutcome:
    """What the settings make of a hook that goes to the local post office's port."""
    httpserver.expect_request("/hooks/block-card").respond_with_data("", 204)
    url = f'{{"block_card": "http://127.0.0.1:{httpserver.port}/hooks/block-card"}}'
    given = settings.load(
        home=folder, postoffice_port=httpserver.port, hooks=json.loads(url), **more
    )

    async def whole() -> HookOutcome:
        hooks = Webhooks(
            urls=given.hook_urls, secrets=given.hooks_signed_with, private=given.hook_networks
        )
        try:
            return await hooks.call(hook="block_card", call_id="1", body={})
        finally:
            await hooks.close()

    return asyncio.run(whole())


def test_in_development_the_post_office_is_called_and_nothing_else_of_this_machine(
    httpserver: HTTPServer, tmp_path: Path
) -> None:
    assert settled(httpserver, tmp_path).status == "done"
    given = settings.load(home=tmp_path, postoffice_port=httpserver.port)
    exempt = [Exempt.parse(one) for one in given.hook_networks]
    assert not is_allowed("127.0.0.1", httpserver.port + 1, exempt=exempt)
    assert not is_allowed("127.0.0.2", httpserver.port, exempt=exempt)
    assert not is_allowed("169.254.169.254", httpserver.port, exempt=exempt)


def test_in_production_nothing_of_this_machine_is_called_unless_the_settings_say_so(
    httpserver: HTTPServer, tmp_path: Path
) -> None:
    accounts = {
        "sendgrid_api_key": "SG.x",
        "twilio_account_sid": "AC" + "0" * 32,
        "twilio_auth_token": "x",
        "twilio_sender": "+15005550006",
    }
    assert settled(httpserver, tmp_path, **accounts).status == "failed"
    assert settled(httpserver, tmp_path, **accounts, hooks_private="127.0.0.1").status == "done"

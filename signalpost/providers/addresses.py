"""Where a webhook out may go: public addresses, judged when the connection is made.

A name is judged by what it leads to at that moment and not by what it led to before (DNS rebinding), so
the check sits where the socket is made. Whoever may set an address could otherwise reach, through us,
what only this machine reaches: a database, a cloud's metadata service, the neighbours (SSRF).
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from signalpost.errors import ConfigurationError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Ports of the web. Any other is often a database's, a cache's or an orchestrator's.
PORTS = frozenset({80, 443, 8080, 8443})

#: What is not public, from IANA's registries of special-purpose addresses; and Azure's wire server,
#: which has a public address and answers only from inside.
_NOT_PUBLIC = tuple(
    ip_network(one)
    for one in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
        "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
        # Of IPv6 only 2000::/3 is public, without the parts of it that stand for something else.
        "::/3", "4000::/2", "8000::/1",
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip
#: An IPv4 address in IPv6 clothes: mapped (RFC 4291), and NAT64 (RFC 6052). Judged by what is inside.
_MAPPED, _NAT64 = ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96")


class ForbiddenAddressError(OSError):
    """The name leads to an address that webhooks out may not go to."""

    def __init__(self) -> None:
        # One text for all: of several refusals the connector hands on the first.
        super().__init__("not a public address, or not a port of the web")


@dataclass(frozen=True)
class Exempt:
    """A network that may be called although it is not public; with a port, on that port alone."""

    network: Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Exempt":
        """Read ``10.0.0.0/8``, ``10.1.2.3:8443`` or ``[fd00::]/8:8443``.

        Raises:
            ConfigurationError: it is none of these.
        """
        plain = text.strip()
        try:
            return cls(ip_network(plain))
        except ValueError:
            pass
        network, _, port = plain.rpartition(":")
        try:
            number = int(port) if port.isascii() and port.isdecimal() else 0
            if 0 < number < 65536:
                return cls(ip_network(network.replace("[", "").replace("]", "")), number)
        except ValueError:
            pass
        raise ConfigurationError(
            f"SIGNALPOST_HOOKS_PRIVATE holds {text!r}, which is no network; write 10.0.0.0/8, "
            "10.1.2.3:8443 or [fd00::]/8:8443."
        )

    def covers(self, address: Address, port: int) -> bool:
        """Tell whether this is one of its addresses, and its port."""
        return address in self.network and self.port in (None, port)


def is_allowed(host: str, port: int, *, exempt: Iterable[Exempt] = ()) -> bool:
    """Tell whether webhooks may go to this address; ``host`` is an IP address, never a name."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        address = IPv4Address(int(address) & 0xFFFF_FFFF)
    if any(one.covers(address, port) for one in exempt):
        return True
    return port in PORTS and not any(address in network for network in _NOT_PUBLIC)


def guarded_sockets(exempt: Sequence[Exempt]) -> Callable[[Any], socket.socket]:
    """Make sockets for an aiohttp connector, and only towards addresses that are allowed."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, (host, port, *_) = info
        if not is_allowed(host, port, exempt=exempt):
            raise ForbiddenAddressError
        return socket.socket(family, kind, protocol)

    return make

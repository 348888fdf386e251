"""The client's IP address: of the connection, or as a trusted reverse proxy's header tells it.

A header such as ``X-Forwarded-For`` is believed only on connections that come from a configured
proxy; anybody who reaches the port could send one.
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers
from starlette.types import Scope

from braincase.web.service_settings import ServiceSettings

UNKNOWN = "unknown"


def client_address(scope: Scope, settings: ServiceSettings) -> str:
    """Return the address a request came from, as one canonical text."""
    peer = peer_address(scope)
    if not settings.client_header or peer not in settings.proxy_addresses:
        return peer
    values = Headers(scope=scope).getlist(settings.client_header)
    # The last entry is the one that our own proxy wrote; those before it came with the request.
    last = values[-1].rpartition(",")[2].strip() if values else ""
    address = _canonical(last)
    return peer if address == UNKNOWN else address


def peer_address(scope: Scope) -> str:
    """Return the address of a request's connection itself: behind a proxy, the proxy's."""
    client = scope.get("client")
    return _canonical(str(client[0])) if client else UNKNOWN


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _canonical(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)

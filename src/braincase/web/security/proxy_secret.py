"""Shared secret of a reverse proxy (Apache, nginx): headers that only the proxy can have written.

Stock web servers sign people in (LDAP, Kerberos) but make no signed tokens. They can add a secret
header; user and groups count beside it alone, and only on connections from the proxy's address.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.datastructures import Headers

from braincase.errors import UsageError
from braincase.web.schema import Role
from braincase.web.security.group_roles import check_keys, check_roles, role_of
from braincase.web.security.metrics_token import digest_of, read_token
from braincase.web.security.proxy import MOST_USER
from braincase.web.service_settings import ServiceSettings, is_loopback

_NEEDED = {"secret_file", "secret_header", "user_header", "groups_header", "roles"}
_KEYS = _NEEDED | {"groups_separator"}


@dataclass(frozen=True)
class SecretProxy:
    """How a reverse proxy is known by a secret, and where it tells the user.

    Parameters
    ----------
    secret
        SHA-256 of the secret.
    secret_header, user_header, groups_header
        Which headers carry secret, user and groups.
    groups_separator
        What stands between two groups.
    roles
        Which group gives which role; the highest counts.
    addresses
        From which addresses the proxy's connections come.
    files
        Where this was read from: configuration and secret.
    """

    secret: bytes = field(repr=False)
    secret_header: str
    user_header: str
    groups_header: str
    groups_separator: str
    roles: Mapping[str, Role]
    addresses: tuple[str, ...]
    files: tuple[Path, ...] = ()

    def identify(self, headers: Headers, peer: str) -> tuple[str, Role] | None:
        """Return user and role that the proxy tells, or None if it is not the proxy, or no role."""
        secret = _only(headers, self.secret_header)
        user = _utf8(_only(headers, self.user_header))
        proven = hmac.compare_digest(digest_of(secret), self.secret)
        if not proven or peer not in self.addresses:
            return None
        if not user or not user.isprintable() or len(user) > MOST_USER:
            return None
        groups = _utf8(_only(headers, self.groups_header)).split(self.groups_separator)
        role = role_of([group.strip() for group in groups], self.roles)
        return (user, role) if role else None


def read_secret_proxy(
    path: Path, config: Mapping[str, object], service: ServiceSettings
) -> SecretProxy:
    """Read how a reverse proxy is known by a secret; docs/deploy.md shows a file.

    Raises
    ------
    UsageError
        If a key is unknown, missing or unusable, or the secret would cross a network in clear.
    """
    check_keys(path, config, _KEYS, _NEEDED)
    texts = {"groups_separator": ";", **config}
    for key in _KEYS - {"roles"}:
        if not isinstance(texts[key], str) or not texts[key]:
            raise UsageError(path, f"{key} {texts[key]!r}", "a text in quotes")
    if not is_loopback(service.host) and service.certificate is None:
        found = f"a secret that crosses the network in clear (--host {service.host})"
        advice = "Let the service listen on 127.0.0.1, or give --certificate and --key."
        raise UsageError(path, found, "the proxy on the same machine, or TLS", advice)
    file = path.parent / str(texts["secret_file"])
    return SecretProxy(
        secret=read_token(file),
        secret_header=str(texts["secret_header"]),
        user_header=str(texts["user_header"]),
        groups_header=str(texts["groups_header"]),
        groups_separator=str(texts["groups_separator"]),
        roles=check_roles(path, config["roles"]),
        addresses=service.proxy_addresses,
        files=(path, file),
    )


def _only(headers: Headers, name: str) -> str:
    """Return a header that came once; of two, one may be the client's own."""
    values = headers.getlist(name)
    return values[0] if len(values) == 1 else ""


def _utf8(value: str) -> str:
    """Return a header's text as web servers send it, in UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return ""

"""OpenID Connect configuration (TOML): the provider, this client of it, and what its groups may."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from braincase.errors import UsageError
from braincase.files import check_regular, read_toml
from braincase.web.schema import Role
from braincase.web.security.group_roles import check_keys, check_roles
from braincase.web.service_settings import ServiceSettings, is_loopback

#: Where the provider sends the browser back to.
CALLBACK = "/api/v1/oidc/callback"
#: Seconds from the button to the way back.
PENDING_S = 600.0
#: The client's secret, where no file is named.
SECRET_VARIABLE = "BRAINCASE_OIDC_SECRET"
_NEEDED = {"issuer", "client_id", "redirect_uri", "roles"}
_KEYS = _NEEDED | {"client_secret_file", "name", "scopes", "name_claim", "roles_claim",
                   "default_role", "endpoint_origins"}  # fmt: skip
_LISTS = {"scopes", "endpoint_origins"}


@dataclass(frozen=True)
class OidcSettings:
    """How people are signed in at an OpenID provider.

    Parameters
    ----------
    issuer
        The provider, as its tokens name it.
    client_id
        What the provider calls this service.
    secret_file
        File with the client's secret; None for the environment.
    redirect_uri
        The address of `CALLBACK`, as it was registered at the provider.
    name
        What the button on the page calls the provider.
    scopes
        Asked for beside ``openid``.
    name_claim, roles_claim
        Where it tells the name to show, and the groups or roles.
    roles
        Which of its groups gives which role; the highest counts.
    default_role
        The role of those without such a group; None refuses them.
    origins
        Where its endpoints may lie: the issuer's own origin, and others that were named.
    """

    issuer: str
    client_id: str
    secret_file: Path | None
    redirect_uri: str
    name: str
    scopes: tuple[str, ...]
    name_claim: str
    roles_claim: str
    roles: Mapping[str, Role]
    default_role: Role | None
    origins: frozenset[str]

    def secret(self) -> str:
        """Return the client's secret, read each time, so that a new one counts at once.

        Raises
        ------
        UsageError
            If there is none, or others on this machine may read its file.
        """
        file = self.secret_file
        if file is None:
            if secret := os.environ.get(SECRET_VARIABLE, "").strip():
                return secret
            advice = f"Name client_secret_file, or set {SECRET_VARIABLE}."
            raise UsageError("OpenID provider", "no client secret", "", advice)
        try:
            mode, secret = file.stat().st_mode, check_regular(file).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(file, f"cannot be read ({error})", "a file with a secret") from None
        if mode & 0o077:
            found = "a secret that others on this machine may read or change"
            raise UsageError(file, found, "its owner only", f"chmod 600 {file}")
        if not secret:
            raise UsageError(file, "empty", "the client's secret")
        return secret


def read_oidc(path: Path, service: ServiceSettings) -> OidcSettings:
    """Read how people are signed in at an OpenID provider; docs/deploy.md shows a file.

    Raises
    ------
    UsageError
        If it is missing, or a key of it is unknown, missing or unusable.
    """
    config = read_toml(path, "TOML (docs/deploy.md)")
    check_keys(path, config, _KEYS, _NEEDED)
    texts = {key: _text(path, config, key) for key in _KEYS - {"roles"} - _LISTS if key in config}
    lists = {key: _texts(path, config, key) for key in _LISTS}
    issuer, redirect_uri = texts["issuer"], texts["redirect_uri"]
    _check_address(path, "issuer", issuer)
    _check_redirect(path, redirect_uri, service)
    default = texts.get("default_role")
    file = texts.get("client_secret_file")
    settings = OidcSettings(
        issuer=issuer,
        client_id=texts["client_id"],
        secret_file=path.parent / file if file else None,
        redirect_uri=redirect_uri,
        name=texts.get("name", urlsplit(issuer).hostname or issuer),
        scopes=("openid", *lists["scopes"]) if "scopes" in config else ("openid", "profile"),
        name_claim=texts.get("name_claim", "name"),
        roles_claim=texts.get("roles_claim", "groups"),
        roles=check_roles(path, config["roles"]),
        default_role=check_roles(path, {"": default})[""] if default else None,
        origins=frozenset({origin_of(issuer), *map(origin_of, lists["endpoint_origins"])}),
    )
    settings.secret()  # refuse now what cannot be used later
    return settings


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, the usual ports left out."""
    parts = urlsplit(url)
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    port = f":{parts.port}" if parts.port not in (None, usual) else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}".lower()


def is_safe(url: str) -> bool:
    """Return whether a URL is https, or http on this machine, and carries no user or fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or not url.isprintable() or " " in url or "@" in parts.netloc or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def _check_address(path: Path, key: str, url: str) -> None:
    if not is_safe(url) or urlsplit(url).query:
        expected = "https://... (http only on this machine), without user, query or fragment"
        raise UsageError(path, f"{key} {url!r}", expected)


def _check_redirect(path: Path, url: str, service: ServiceSettings) -> None:
    """Refuse an address of which browsers would not bring the session's cookies back here."""
    _check_address(path, "redirect_uri", url)
    parts = urlsplit(url)
    if not parts.path.endswith(CALLBACK):
        raise UsageError(path, f"redirect_uri {url!r}", f"the reading room's address + {CALLBACK}")
    scheme = "https" if service.encrypted else "http"
    if parts.scheme != scheme:
        advice = "" if service.encrypted else "Give --certificate and --key, or --tls-elsewhere."
        raise UsageError(path, f"redirect_uri {url!r}", f"{scheme}, as it is served", advice)
    if not service.knows_name(parts.hostname or ""):
        advice = f"Start it with --name {parts.hostname}."
        raise UsageError(path, f"redirect_uri {url!r}", "a name that the service knows", advice)


def _text(path: Path, config: Mapping[str, object], key: str) -> str:
    value = config[key]
    if not isinstance(value, str) or not value or not value.isprintable():
        raise UsageError(path, f"{key} {value!r}", "a text in quotes")
    return value


def _texts(path: Path, config: Mapping[str, object], key: str) -> list[str]:
    value = config.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
        raise UsageError(path, f"{key} {value!r}", "a list such as ['profile']")
    if key == "endpoint_origins":
        for url in value:
            _check_address(path, key, url)
    return value

"""Reverse proxies that sign people in (trusted header): by signed token or by shared secret."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from braincase.files import read_toml
from braincase.web.security.proxy import Proxy, token_proxy
from braincase.web.security.proxy_secret import SecretProxy, read_secret_proxy
from braincase.web.service_settings import ServiceSettings

AnyProxy: TypeAlias = Proxy | SecretProxy


def read_proxy(path: Path, service: ServiceSettings) -> AnyProxy:
    """Read the configuration (TOML) of a reverse proxy; docs/web.md shows both kinds.

    Raises
    ------
    UsageError
        If it is missing, or a key of it is unknown, missing or unusable.
    """
    config = read_toml(path, "a TOML file (docs/web.md)")
    if "secret_file" in config:
        return read_secret_proxy(path, config, service)
    return token_proxy(path, config)


def stamps_of(proxy: AnyProxy | None) -> tuple[int, ...]:
    """Return when each of its files was last written, in nanoseconds; 0 where it is not there."""
    files = proxy.files if proxy else ()
    return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)

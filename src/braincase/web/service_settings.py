"""Configuration of the service: addresses, users, TLS, and limits."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from braincase.cohort.view import ViewChoice
from braincase.errors import ParameterError, UsageError
from braincase.models.encoder import Encoder
from braincase.web.schema import Role
from braincase.web.viewer_links import check_links, check_template

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Limits on requests, uploads and jobs: sizes, times and rates.

    Parameters
    ----------
    upload_bytes
        Size of one upload.
    unpacked_bytes
        What an upload may become when unpacked.
    unpacked_files
        Files in one archive.
    body_bytes
        Size of any other request.
    least_bytes_per_s, upload_grace_s
        An upload slower than this on average is refused, once the grace is over.
    upload_s
        Seconds one upload may take in all.
    queue
        Jobs waiting or running at once: uploads that have arrived.
    person_queue
        Of one person, where persons log in.
    arriving, person_arriving
        Uploads on their way at once, of all and of one person.
    kept_uploads
        Finished uploads kept at once; the oldest go first.
    memory_bytes
        Memory that a job may take beside the model's.
    job_s
        Seconds one job may run.
    keep_s
        Seconds an upload is kept after its job has ended.
    requests, searches, uploads
        Rates of one client, as ``limits`` writes them; empty for none.
    logins
        Failed logins of one name from one address before it must wait; empty for any number.
    sign_ins
        Steps of logins at an OpenID provider, for each client address.
    """

    upload_bytes: int = 1024 * MIB
    unpacked_bytes: int = 4096 * MIB
    unpacked_files: int = 20_000
    body_bytes: int = MIB
    least_bytes_per_s: int = 16_384
    upload_grace_s: float = 10.0
    upload_s: float = 900.0
    queue: int = 8
    person_queue: int = 4
    arriving: int = 32
    person_arriving: int = 3
    kept_uploads: int = 32
    memory_bytes: int = 4096 * MIB
    job_s: float = 600.0
    keep_s: float = 1800.0
    requests: str = "6000/minute"
    searches: str = "600/minute"
    uploads: str = "30/minute"
    logins: str = "10/minute"
    sign_ins: str = "60/minute"


@dataclass(frozen=True)
class ServiceSettings:
    """The configuration of one service.

    Parameters
    ----------
    gallery
        Folder or URL of the gallery.
    load
        Loads the model in the worker process; None serves stored cases only.
    fingerprint
        The model's, to be checked against the gallery's; None without a model.
    model_simulated
        Whether the model has learned from simulated people only.
    label
        The column that neighbours vote on; None for the usual one.
    host, port
        Where to listen.
    hosts
        Names under which browsers may call the service, besides the loopback's and `host`.
    users
        File of users with hashed passwords (``braincase user add``), or None.
    oidc
        File that tells how people are signed in at an OpenID provider, or None.
    proxy
        File that tells how a reverse proxy that signs people in is known, or None.
    certificate, key
        PEM files for TLS.
    tls_elsewhere
        A statement that a reverse proxy on the way encrypts.
    client_header
        The header in which that proxy tells the client's address; empty for none.
    proxy_addresses
        The proxy's own addresses: from any other the header is not believed.
    metrics_token
        File with a bearer token that opens ``/metrics`` beside administrators; None for them only.
    audit
        File of the audit log; None for ``audit.jsonl`` in the state folder.
    links
        Link file of a DICOM node: which study of the archive a case is; None for none.
    links_role
        The least role that may learn it.
    viewer
        URL template of the archive's viewer; see `viewer_links.check_template`.
    log_level, access_log
        How much the server writes on standard error, and whether each request is a line of it.
    view
        Which view volume is made of an uploaded scan; None for none.
    static
        Folder of the built page.
    limits
        See `Limits`.
    """

    gallery: str
    load: Callable[[], Encoder] | None = None
    fingerprint: str | None = None
    model_simulated: bool = False
    label: str | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    hosts: tuple[str, ...] = ()
    users: Path | None = None
    oidc: Path | None = None
    proxy: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    tls_elsewhere: bool = False
    client_header: str = ""
    proxy_addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    metrics_token: Path | None = None
    audit: Path | None = None
    links: Path | None = None
    links_role: Role = "curator"
    viewer: str = ""
    log_level: str = "warning"
    access_log: bool = False
    view: ViewChoice | None = None
    static: Path = Path(__file__).parent / "static"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse to listen where others could come in unasked."""
        if (self.certificate is None) != (self.key is None):
            raise ParameterError("certificate, key", "only one of them", "both")
        if self.proxy is not None and (self.users or self.oidc) is not None:
            other = "users" if self.users is not None else "oidc"
            raise ParameterError(f"{other}, proxy", "both", "one of them")
        if self.metrics_token is not None and not self.needs_login:
            found = "given without --users, --oidc or --proxy"
            advice = "Without users, whoever is on this machine reads /metrics as it is."
            raise ParameterError("metrics_token", found, "one of them", advice)
        if self.client_header and not self.behind_proxy:
            found = "given without a reverse proxy (--tls-elsewhere or --proxy)"
            raise ParameterError("client_header", found, "one of them")
        if self.links_role not in get_args(Role):
            raise ParameterError("links_role", repr(self.links_role), " or ".join(get_args(Role)))
        if self.viewer and self.links is None:
            raise ParameterError("viewer", "given without a link file", "--links FILE too")
        if self.viewer:
            check_template(self.viewer)
        if self.links is not None:
            check_links(self.links)
        if is_loopback(self.host):
            return
        where = f"--host {self.host}"
        if not self.needs_login:
            advice = (
                "Make users with `braincase user add NAME --users FILE` and give --users FILE, or"
                " configure an OpenID provider with --oidc FILE or a reverse proxy with --proxy"
                " FILE (docs/web.md)."
            )
            raise UsageError(where, "open to other machines without users", "127.0.0.1", advice)
        if self.certificate is None and not self.tls_elsewhere:
            advice = (
                "Give --certificate and --key, or --tls-elsewhere if a reverse proxy in front of"
                " the service encrypts."
            )
            raise UsageError(where, "passwords would cross the network in clear", "TLS", advice)

    @property
    def encrypted(self) -> bool:
        """Whether browsers reach the service by https."""
        return self.certificate is not None or self.tls_elsewhere

    @property
    def behind_proxy(self) -> bool:
        """Whether connections come from a reverse proxy, and not from the clients themselves."""
        return self.tls_elsewhere or self.proxy is not None

    @property
    def needs_login(self) -> bool:
        """Whether a person must say who they are."""
        return self.signs_in or self.proxy is not None

    @property
    def signs_in(self) -> bool:
        """Whether the service itself begins sessions: by password, or at an OpenID provider."""
        return self.users is not None or self.oidc is not None

    def knows_name(self, name: str) -> bool:
        """Return whether browsers may call the service by a host name."""
        own = {self.host.strip("[]").lower(), *(known.lower() for known in self.hosts)}
        return is_loopback(name) or (name in own and name not in ("0.0.0.0", "::"))


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is the loopback's: only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

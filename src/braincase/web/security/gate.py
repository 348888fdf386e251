"""Authentication and authorization: session cookies, roles, CSRF tokens, rate limits.

Without users the service listens on the loopback only, and whoever is on this machine is its
administrator. With users, a session is a signed cookie that scripts cannot read and other sites
cannot send; every change also needs a token that only our own page can know.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

from fastapi import Depends, Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers
from starlette.types import Scope

from braincase.errors import UsageError
from braincase.web.problems import Problem
from braincase.web.schema import Role
from braincase.web.security.client_address import peer_address
from braincase.web.security.metrics_token import accepts, read_token
from braincase.web.security.oidc_settings import read_oidc
from braincase.web.security.proxy_kinds import AnyProxy, read_proxy, stamps_of
from braincase.web.security.sessions import SESSION_S, ExternalUser, Sessions
from braincase.web.security.throttle import LoginThrottle
from braincase.web.security.users import User, read_users, user_of_token, verified
from braincase.web.service_settings import ServiceSettings

if TYPE_CHECKING:
    from braincase.web.security.oidc_client import OidcProvider

CSRF_HEADER = "x-csrf-token"
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
RANKS: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Principal:
    """An authenticated user.

    Parameters
    ----------
    name, role
        As the file of users or the proxy's token says.
    session
        What their token against forged requests is made from.
    token
        The id of the API token that they came with; empty for a session.
    external
        Who an OpenID provider says they are; None for the file of users or a proxy.
    """

    name: str
    role: Role
    session: str
    token: str = ""
    external: ExternalUser | None = None

    def by_token(self) -> dict[str, str]:
        """Return what the audit log says of the API token that was used, if one was."""
        return {"token": self.token} if self.token else {}

    @property
    def shown(self) -> str:
        """The name that a reader knows them by."""
        return self.external.shown if self.external else self.name

    @property
    def owner(self) -> str | None:
        """Whose uploads they may use: their own, or as administrator everybody's."""
        return None if self.role == "admin" else self.name

    def at_least(self, role: Role) -> bool:
        """Return whether the user's role includes another."""
        return RANKS.index(self.role) >= RANKS.index(role)


class Gate:
    """Authentication of requests; one a service."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Read the configuration of users, OpenID provider or proxy, and the token for metrics.

        Raises
        ------
        UsageError
            If they cannot be read.
        """
        self._settings = settings
        self._key = secrets.token_bytes(32)  # sessions end with the service
        self._signer = URLSafeTimedSerializer(
            self._key,
            salt="braincase-session",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )
        self.sessions = Sessions()
        self.oidc = _provider_of(settings)
        self._lock = threading.Lock()
        self._users: tuple[int, dict[str, User]] | None = None
        self._proxy = read_proxy(settings.proxy, settings) if settings.proxy else None
        self._proxy_stamps = stamps_of(self._proxy)
        self.metrics_token = settings.metrics_token
        if settings.metrics_token is not None:
            read_token(settings.metrics_token)  # refuse now what cannot be used later
        self.rates = RateLimiter()
        self.throttle = LoginThrottle(settings.limits.logins)
        if settings.users is not None:
            self.users()

    @property
    def proxy(self) -> AnyProxy | None:
        """How the proxy is checked; read again when its files change (key rotation).

        Files that cannot be used, such as half-written ones, leave the earlier keys in force.
        """
        with self._lock:
            if self._proxy is not None and self._settings.proxy is not None:
                stamps = stamps_of(self._proxy)
                if stamps != self._proxy_stamps:
                    self._proxy_stamps = stamps
                    try:
                        self._proxy = read_proxy(self._settings.proxy, self._settings)
                    except UsageError as error:
                        print(f"braincase: {error}; the earlier keys hold", file=sys.stderr)
            return self._proxy

    def told_by_proxy(self, scope: Scope) -> tuple[str, Role] | None:
        """Return user and role that the reverse proxy tells of a request, if it proves them."""
        proxy = self.proxy
        return proxy.identify(Headers(scope=scope), peer_address(scope)) if proxy else None

    def cookie(self, request: Request) -> str:
        """Name of the session's cookie; browsers tie ``__Host-`` to this host and https.

        Without https it has the port in it, since cookies are shared by all ports of a host.
        """
        if self._settings.encrypted:
            return "__Host-braincase"
        return f"braincase-{request.scope['server'][1]}"

    def users(self) -> dict[str, User]:
        """Return the users, read again when the file changes, so that a removed user is out."""
        path = self._settings.users
        if path is None:
            return {}
        with self._lock:
            changed = path.stat().st_mtime_ns if path.exists() else -1
            if self._users is None or self._users[0] != changed:
                self._users = (changed, read_users(path))
            return self._users[1]

    def login(self, name: str, password: str) -> tuple[Principal, str]:
        """Check a password; return the user and the content of their session cookie.

        Raises
        ------
        Problem
            If name or password is wrong.
        """
        user = verified(self.users(), name, password)
        if user is None:
            raise Problem(401, "wrong_login", "The name or the password is not right.")
        session = self.sessions.begin(user.name)
        content = {"user": user.name, "session": session, "since": _password_version(user)}
        return Principal(user.name, user.role, session), self._signer.dumps(content)

    def begin_external(self, user: ExternalUser) -> tuple[Principal, str]:
        """Begin the session of a user whom the OpenID provider has proven; return its cookie."""
        session = self.sessions.begin(user.name, user)
        content = {"user": user.name, "session": session}
        principal = Principal(user.name, user.role, session, external=user)
        return principal, self._signer.dumps(content)

    def set_cookie(self, request: Request, response: Response, content: str) -> None:
        """Set the session cookie."""
        response.set_cookie(
            self.cookie(request),
            content,
            max_age=SESSION_S,
            path="/",
            secure=self._settings.encrypted,
            httponly=True,
            samesite="strict",
        )

    def logout(self, principal: Principal, request: Request, response: Response) -> None:
        """Revoke a session, also for a copy of its cookie."""
        self.sessions.end(principal.session)
        response.delete_cookie(self.cookie(request), path="/", httponly=True, samesite="strict")

    def authenticate(self, request: Request) -> Principal:
        """Return the user of a request, by session cookie or signed token.

        Raises
        ------
        Problem
            If they have not said so, or a change does not carry the page's token.
        """
        if not self._settings.needs_login:
            return Principal("local", "admin", "local")
        if self.proxy is not None:
            principal = self._by_proxy(request)
        elif bearer := _bearer(request):
            principal = self._by_api_token(bearer)
        else:
            principal = self._by_cookie(request)
        if principal is None:
            raise Problem(401, "login", "Please log in first.")
        request.state.user = principal.name  # for the audit log, should it be refused
        # No other site's page can make a browser send an API token, so that it needs no CSRF token.
        if (
            not principal.token
            and request.method in CHANGING
            and not hmac.compare_digest(
                request.headers.get(CSRF_HEADER, "").encode(), self.csrf(principal).encode()
            )
        ):
            text = "The request did not come from this service's own page. Please reload it."
            raise Problem(403, "forged", text)
        return principal

    def csrf(self, principal: Principal) -> str:
        """Return the CSRF token that our own page sends with every change."""
        message = f"csrf:{principal.name}:{principal.session}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()

    def _by_cookie(self, request: Request) -> Principal | None:
        try:
            cookie = request.cookies.get(self.cookie(request), "")
            content = self._signer.loads(cookie, max_age=SESSION_S)
        except BadSignature:
            return None
        name, session = content["user"], content["session"]
        external = self.sessions.external_of(session)
        user = None if external else self.users().get(name)
        if external is None and (user is None or content.get("since") != _password_version(user)):
            return None
        if not self.sessions.use(session, name):
            return None
        found = external or user
        return Principal(found.name, found.role, session, external=external) if found else None

    def _by_api_token(self, text: str) -> Principal | None:
        known = user_of_token(self.users(), text)
        if known is None:
            return None
        user, token = known
        return Principal(user.name, user.role, f"token:{token.id}", token.id)

    def _by_proxy(self, request: Request) -> Principal | None:
        identity = self.told_by_proxy(request.scope)
        return Principal(*identity, "proxy") if identity else None


class RateLimiter:
    """A rate limiter: a moving window for each client, in memory."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def spend(self, rate: str, what: str, client: str) -> None:
        """Count one request of a client.

        Raises
        ------
        Problem
            If it was one too many.
        """
        if rate and not self._limiter.hit(parse(rate), what, client):
            text = f"Too many {what} in a short time. Please wait a minute."
            raise Problem(429, "too_many", text, 60)


def _provider_of(settings: ServiceSettings) -> OidcProvider | None:
    if settings.oidc is None:
        return None
    from braincase.web.security.oidc_client import OidcProvider  # its libraries, only if needed

    return OidcProvider(read_oidc(settings.oidc, settings))


def _bearer(request: Request) -> str:
    """Return the API token of a request, or an empty text where it has none."""
    values = request.headers.getlist("authorization")
    if len(values) != 1 or not values[0].lower().startswith("bearer "):
        return ""
    return values[0][len("bearer ") :].strip()


def _password_version(user: User) -> str:
    """Return a hash that changes with a user's password, so that older sessions end."""
    return hashlib.sha256(user.hashed.encode()).hexdigest()[:16]


def require_role(role: Role) -> Callable[[Request], Principal]:
    """Return a FastAPI dependency that admits users with at least this role."""

    def person_of(request: Request) -> Principal:
        gate: Gate = request.app.state.service.gate
        principal = gate.authenticate(request)
        if not principal.at_least(role):
            text = f"This takes the role of a {role}; you are a {principal.role}."
            raise Problem(403, "role", text)
        return principal

    return person_of


def require_metrics_access(request: Request) -> None:
    """Admit a monitoring program with the configured bearer token; else administrators only."""
    gate: Gate = request.app.state.service.gate
    if not accepts(gate.metrics_token, request.headers.getlist("authorization")):
        require_role("admin")(request)


MetricsAccess = Annotated[None, Depends(require_metrics_access)]
Reader = Annotated[Principal, Depends(require_role("reader"))]
Curator = Annotated[Principal, Depends(require_role("curator"))]

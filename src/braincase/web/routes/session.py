"""Session endpoints: log in, log out, and who is logged in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fastapi import Request, Response

from braincase.web import schema
from braincase.web.problems import Problem
from braincase.web.routes.archive import may_link
from braincase.web.security.client_address import client_address, network_of
from braincase.web.security.gate import Principal, Reader
from braincase.web.security.users import set_password
from braincase.web.service import CurrentService, Service


def me(service: CurrentService, principal: Reader) -> schema.MeBody:
    """Return the current user, their role, and the CSRF token that changes need."""
    return me_body(service, principal)


def me_body(service: Service, principal: Principal) -> schema.MeBody:
    """Return the current user as JSON."""
    return schema.MeBody(
        user=principal.name,
        role=principal.role,
        csrf=service.gate.csrf(principal),
        shown=principal.shown,
        login=service.settings.signs_in,
        password=service.settings.users is not None and principal.external is None,
        opens_viewer=bool(service.settings.viewer) and may_link(service, principal),
        finds_studies=may_link(service, principal),
    )


def login(
    credentials: schema.LoginRequest, request: Request, response: Response, service: CurrentService
) -> schema.MeBody:
    """Begin a session."""
    if service.settings.users is None:
        raise Problem(404, "no_users", "This service knows no users with passwords.")
    principal, cookie = _checked(service, request, credentials.user, credentials.password)
    service.gate.set_cookie(request, response, cookie)
    service.note(principal, "login", client=client_address(request.scope, service.settings))
    return me_body(service, principal)


def _checked(service: Service, request: Request, name: str, password: str) -> tuple[Principal, str]:
    """Check name and password, slowing guesses down; return the user and a session's cookie."""
    client = client_address(request.scope, service.settings)
    exists = name in service.gate.users()  # a mistyped name may be a password
    user = name if exists else "unknown"
    throttle, network = service.gate.throttle, network_of(client)
    if wait := throttle.begin(name, network):
        service.once.write(user, "login refused", client=client, reason="too many")
        text = f"Too many wrong logins. Please wait {math.ceil(wait)} seconds."
        raise Problem(429, "too_many", text, math.ceil(wait))
    try:
        checked = service.gate.login(name, password)
    except Problem:
        service.audit.write(user, "login refused", client=client, reason="wrong")
        raise
    throttle.succeed(name, network)
    return checked


def change_password(
    passwords: schema.PasswordRequest,
    request: Request,
    response: Response,
    service: CurrentService,
    principal: Reader,
) -> schema.MeBody:
    """Change one's own password; all sessions and API tokens end but this session."""
    users = own_users_file(service, principal)
    _checked(service, request, principal.name, passwords.old)
    with service.recorded(principal, "change password"), changing_users():
        set_password(users, principal.name, passwords.new)
        service.gate.sessions.end_all(principal.name)
    again, cookie = service.gate.login(principal.name, passwords.new)
    service.gate.set_cookie(request, response, cookie)
    return me_body(service, again)


@contextmanager
def changing_users() -> Iterator[None]:
    """Turn a file of users that cannot be written into a problem."""
    try:
        yield
    except OSError as error:
        text = f"The file of users cannot be changed here ({error.strerror})."
        raise Problem(503, "users", text) from None


def list_sessions(service: CurrentService, principal: Reader) -> list[schema.SessionBody]:
    """List one's own sessions, the most recently used first."""
    return [
        schema.SessionBody(
            begun=_utc(session.begun), used=_utc(session.used), current=key == principal.session
        )
        for key, session in service.gate.sessions.of(principal.name).items()
    ]


def end_sessions(service: CurrentService, principal: Reader) -> schema.DoneBody:
    """End all of one's own sessions, on every machine."""
    service.note(principal, "end sessions")
    service.gate.sessions.end_all(principal.name)
    return schema.DoneBody(version="1")


def own_users_file(service: Service, principal: Principal) -> Path:
    """Return the file of users, for one who changes what is theirs in it in a session.

    Raises
    ------
    Problem
        If there is none, or they came with an API token.
    """
    if service.settings.users is None:
        raise Problem(404, "no_users", "This service knows no users with passwords.")
    if principal.external is not None:
        raise Problem(404, "no_users", "You have no password or API token here.")
    if principal.token:
        text = "Passwords and tokens are changed in a session, not with an API token."
        raise Problem(403, "token", text)
    return service.settings.users


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def logout(
    request: Request, response: Response, service: CurrentService, principal: Reader
) -> schema.LogoutBody:
    """End the session; it does not end that at the OpenID provider, but says where that is done."""
    service.gate.logout(principal, request, response)
    service.note(principal, "logout")
    oidc = service.gate.oidc if principal.external else None
    return schema.LogoutBody(version="1", provider_logout=oidc.logout_address if oidc else None)

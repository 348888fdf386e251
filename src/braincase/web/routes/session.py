"""Session endpoints: log in, log out, and who is logged in."""

from __future__ import annotations

import math

from fastapi import Request, Response

from braincase.web import schema
from braincase.web.problems import Problem
from braincase.web.security.client_address import client_address, network_of
from braincase.web.security.gate import Principal, Reader
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
        login=service.settings.users is not None,
    )


def login(
    credentials: schema.LoginRequest, request: Request, response: Response, service: CurrentService
) -> schema.MeBody:
    """Begin a session."""
    if service.settings.users is None:
        raise Problem(404, "no_users", "This service knows no users with passwords.")
    client = client_address(request.scope, service.settings)
    exists = credentials.user in service.gate.users()  # a mistyped name may be a password
    user = credentials.user if exists else "unknown"
    throttle, network = service.gate.throttle, network_of(client)
    if wait := throttle.begin(credentials.user, network):
        service.audit.write(user, "login refused", client=client, reason="too many")
        text = f"Too many wrong logins. Please wait {math.ceil(wait)} seconds."
        raise Problem(429, "too_many", text, math.ceil(wait))
    try:
        principal, cookie = service.gate.login(credentials.user, credentials.password)
    except Problem:
        service.audit.write(user, "login refused", client=client, reason="wrong")
        raise
    throttle.succeed(credentials.user, network)
    service.gate.set_cookie(response, cookie)
    service.audit.write(principal.name, "login", client=client)
    return me_body(service, principal)


def logout(response: Response, service: CurrentService, principal: Reader) -> schema.HealthBody:
    """End the session."""
    service.gate.logout(principal, response)
    service.note(principal, "logout")
    return schema.HealthBody(version="1")

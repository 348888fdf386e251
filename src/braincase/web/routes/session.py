"""Coming in and going out."""

from __future__ import annotations

from fastapi import Request, Response

from braincase.web import schema
from braincase.web.problems import Problem
from braincase.web.security.gate import Person, Reader
from braincase.web.service import Here, Service


def me(here: Here, person: Reader) -> schema.Me:
    """Tell who is asking, what they may do, and the token that changes need."""
    return me_record(here, person)


def me_record(here: Service, person: Person) -> schema.Me:
    """Return what a person is told of themselves."""
    return schema.Me(
        user=person.name,
        role=person.role,
        csrf=here.gate.csrf(person),
        login=here.settings.users is not None,
    )


def login(wish: schema.Login, request: Request, response: Response, here: Here) -> schema.Me:
    """Begin a session."""
    if here.settings.users is None:
        raise Problem(404, "no_users", "This service knows no users with passwords.")
    client = request.client.host if request.client else "unknown"
    for whose in (client, f"user:{wish.user}"):
        here.gate.rates.spend(here.settings.limits.logins, "logins", whose)
    try:
        person, cookie = here.gate.login(wish.user, wish.password)
    except Problem:
        known = wish.user in here.gate.users()  # a mistyped name may be a password
        here.audit.write(wish.user if known else "unknown", "login refused", client=client)
        raise
    here.gate.set_cookie(response, cookie)
    here.audit.write(person.name, "login", client=client)
    return me_record(here, person)


def logout(response: Response, here: Here, person: Reader) -> schema.Health:
    """End the session."""
    here.gate.logout(person, response)
    here.audit.write(person.name, "logout")
    return schema.Health(version="1")

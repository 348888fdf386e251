"""Endpoints of one's own API tokens: list, make (told once), revoke."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from braincase.errors import UsageError
from braincase.web import schema
from braincase.web.problems import not_found
from braincase.web.routes.session import changing_users, own_users_file
from braincase.web.security.gate import Reader
from braincase.web.security.users import add_token, revoke_token
from braincase.web.service import CurrentService


def list_tokens(service: CurrentService, principal: Reader) -> list[schema.TokenBody]:
    """List one's own API tokens, never their texts."""
    own_users_file(service, principal)
    user = service.gate.users()[principal.name]
    return [
        schema.TokenBody(id=token.id, note=token.note, made=token.made, until=token.until)
        for token in user.tokens.values()
        if not token.is_over
    ]


def make_token(
    wanted: schema.TokenRequest, service: CurrentService, principal: Reader
) -> schema.NewTokenBody:
    """Make an API token with one's own rights."""
    users = own_users_file(service, principal)
    details = {"note": wanted.note, "days": wanted.days}
    with service.recorded(principal, "make token", **details) as result, changing_users():
        text = add_token(users, principal.name, wanted.note, wanted.days)
        result["made"] = text.split("_")[1]  # its id
    return schema.NewTokenBody(token=text)


def revoke(
    token: Annotated[str, Path(max_length=40)], service: CurrentService, principal: Reader
) -> schema.DoneBody:
    """Revoke one of one's own API tokens."""
    users = own_users_file(service, principal)
    if token not in service.gate.users()[principal.name].tokens:
        raise not_found("such token of yours")
    with service.recorded(principal, "revoke token", revoked=token), changing_users():
        try:
            revoke_token(users, token, principal.name)
        except UsageError:  # revoked elsewhere this moment
            raise not_found("such token of yours") from None
    return schema.DoneBody(version="1")

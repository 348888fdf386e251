"""Roles from groups (role mapping): which group of a provider or proxy gives which role."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

from braincase.errors import UsageError
from braincase.web.schema import Role

ROLES: tuple[Role, ...] = get_args(Role)


def role_of(groups: object, roles: Mapping[str, Role]) -> Role | None:
    """Return the highest role that one group, or a list of groups, gives; None for no role."""
    given = groups if isinstance(groups, list) else [groups]
    found = {roles.get(str(group)) for group in given}
    return next((role for role in reversed(ROLES) if role in found), None)


def check_roles(path: Path, roles: object) -> dict[str, Role]:
    """Return the table ``[roles]`` of a configuration: a role for each group.

    Raises
    ------
    UsageError
        If it is no table, or names a role that there is not.
    """
    if not isinstance(roles, dict):
        raise UsageError(path, "'roles' that is no table", "[roles] with a role for each group")
    if bad := sorted({str(role) for role in roles.values()} - set(ROLES)):
        raise UsageError(path, f"role {bad[0]!r}", f"one of {', '.join(ROLES)}")
    return cast(dict[str, Role], roles)


def check_keys(
    path: Path, config: Mapping[str, object], allowed: set[str], needed: set[str]
) -> None:
    """Refuse a configuration with an unknown key, or without a needed one.

    Raises
    ------
    UsageError
        In these cases; it names the key.
    """
    if unknown := sorted(set(config) - allowed):
        raise UsageError(path, f"unknown key {unknown[0]!r}", f"of {', '.join(sorted(allowed))}")
    if missing := sorted(needed - set(config)):
        raise UsageError(path, f"no {missing[0]!r}", ", ".join(sorted(needed)))

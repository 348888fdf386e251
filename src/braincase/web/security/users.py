"""The file of users: names, roles and Argon2id password hashes.

Passwords are kept as Argon2id hashes (RFC 9106; argon2-cffi's defaults: 64 MiB, 3 passes), so that
the file, if it gets lost, costs an attacker that much for every guess.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from braincase.errors import ParameterError, UsageError
from braincase.files import atomic_write
from braincase.web.schema import Role

LEAST_PASSWORD = 10
_hasher = PasswordHasher()
#: Hashes computed at once; each takes 64 MiB.
_hashing = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class User:
    """One user: `hashed` is the Argon2id hash of the password."""

    name: str
    role: Role
    hashed: str


def read_users(path: Path) -> dict[str, User]:
    """Read a file of users.

    Raises
    ------
    UsageError
        If it is missing or damaged, or others on this machine may read it.
    """
    try:
        if path.stat().st_mode & 0o077:
            found = "a file that others on this machine may read or change"
            raise UsageError(path, found, "its owner only", f"chmod 600 {path}")
        entries = json.loads(path.read_text(encoding="utf-8"))
        users = {str(n): User(str(n), u["role"], str(u["password"])) for n, u in entries.items()}
    except FileNotFoundError:
        advice = f"Make it with: braincase user add NAME --users {path}"
        raise UsageError(path, "no such file", "a file of users", advice) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        found = f"no file of users ({type(error).__name__})"
        raise UsageError(path, found, "what `braincase user add` writes") from None
    for user in users.values():
        _check_role(user.role)
    return users


def add_user(path: Path, name: str, password: str, role: str, force: bool = False) -> None:
    """Add a user to a file, which is made if it is not there.

    Raises
    ------
    UsageError
        If the name is taken and `force` is false, or name, role or password cannot be used.
    """
    users = read_users(path) if path.exists() else {}
    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise UsageError("NAME", repr(name), "a name of printable letters")
    checked_role = _check_role(role)
    if name in users and not force:
        raise UsageError(path, f"{name} is a user already", "", "Use --force to replace.")
    if len(password) < LEAST_PASSWORD:
        found = f"{len(password)} characters"
        raise UsageError("password", found, f"at least {LEAST_PASSWORD}")
    _write(path, {**users, name: User(name, checked_role, _hasher.hash(password))})


def remove_user(path: Path, name: str) -> None:
    """Remove a user from a file; open sessions end at once.

    Raises
    ------
    UsageError
        If there is no such user.
    """
    users = read_users(path)
    if name not in users:
        raise UsageError(path, f"no user {name!r}", f"one of {', '.join(users)}")
    _write(path, {key: user for key, user in users.items() if key != name})


def verified(users: dict[str, User], name: str, password: str) -> User | None:
    """Verify a password and return its user; an unknown name takes just as long."""
    user = users.get(name)
    with _hashing:
        try:
            _hasher.verify(user.hashed if user else _nobody(), password)
        except (VerificationError, InvalidHashError):
            return None
    return user


@cache
def _nobody() -> str:
    """Return the hash of a password that nobody knows."""
    return _hasher.hash(os.urandom(16).hex())


def _write(path: Path, users: dict[str, User]) -> None:
    content = {n: {"role": u.role, "password": u.hashed} for n, u in sorted(users.items())}
    with atomic_write(path) as aside:
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _check_role(role: str) -> Role:
    if role not in get_args(Role):
        raise ParameterError("role", repr(role), " or ".join(get_args(Role)))
    return cast(Role, role)

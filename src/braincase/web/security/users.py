"""The file of users: names, roles, Argon2id password hashes, and hashes of API tokens.

Passwords are kept as Argon2id hashes (RFC 9106; argon2-cffi's defaults: 64 MiB, 3 passes), so that
the file, if it gets lost, costs an attacker that much for every guess.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from braincase.errors import ParameterError, UsageError
from braincase.files import atomic_write, check_regular
from braincase.json_values import parse_json
from braincase.web.schema import Role
from braincase.web.security.api_token import Token, make_token, split_token

#: Of the file; the first one had no number, and was the users alone.
FORMAT = 2
#: What the names of people begin with whom an OpenID provider signs in: no user is taken for one.
EXTERNAL = "oidc:"
LEAST_PASSWORD = 12
#: Of 0 to 4 as zxcvbn estimates: 3 takes more than 10^8 guesses. Letters that it looks at.
LEAST_SCORE, MOST_SCORED = 3, 72
#: Days that an API token may be given, and tokens that a user may have.
MOST_DAYS, MOST_TOKENS = 3650, 20
_hasher = PasswordHasher()
#: Hashes computed at once; each takes 64 MiB.
_hashing = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class User:
    """One user: `hashed` is the Argon2id hash of the password; `tokens` by their ids."""

    name: str
    role: Role
    hashed: str
    tokens: Mapping[str, Token] = field(default_factory=dict)


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
        entries = parse_json(check_regular(path).read_text(encoding="utf-8"))
        if isinstance(found := entries.get("format"), int):  # the first format has users only
            if found != FORMAT:
                raise UsageError(path, f"format {found}", f"{FORMAT}", "Update braincase.")
            entries = entries["users"]
        users = {str(name): _user_of(str(name), entry) for name, entry in entries.items()}
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
    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise UsageError("NAME", repr(name), "a name of printable letters")
    if name.startswith(EXTERNAL):
        raise UsageError("NAME", repr(name), f"a name without {EXTERNAL}: of an OpenID provider")
    checked_role = _check_role(role)
    with _changing(path):
        users = read_users(path) if path.exists() else {}
        if name in users and not force:
            raise UsageError(path, f"{name} is a user already", "", "Use --force to replace.")
        _check_password(name, password)
        _write(path, {**users, name: User(name, checked_role, _hasher.hash(password))})


def set_password(path: Path, name: str, password: str) -> None:
    """Give a user another password; their sessions and API tokens end.

    Raises
    ------
    UsageError
        If there is no such user, or the password is weak.
    """
    with _changing(path):
        user = _existing(path, name)
        _check_password(name, password)
        changed = User(name, user.role, _hasher.hash(password))
        _write(path, {**read_users(path), name: changed})


def add_token(path: Path, name: str, note: str = "", days: float | None = None) -> str:
    """Give a user a new API token and return it; only its hash is kept.

    Parameters
    ----------
    path
        The file of users.
    name
        Whose rights it gives.
    note
        What it is for.
    days
        After how many days it ends; never if None.

    Raises
    ------
    UsageError
        If there is no such user, or they have `MOST_TOKENS` already.
    ParameterError
        If `days` is no time that a token may have.
    """
    if days is not None and not 0 < days <= MOST_DAYS:
        raise ParameterError("days", f"{days:g}", f"more than 0, at most {MOST_DAYS}")
    with _changing(path):
        user = _existing(path, name)
        made, text = make_token(note, days)
        if sum(not token.is_over for token in user.tokens.values()) >= MOST_TOKENS:
            advice = "Revoke one that is not needed."
            raise UsageError("token", f"{MOST_TOKENS} tokens already", "fewer", advice)
        changed = replace(user, tokens={**user.tokens, made.id: made})
        _write(path, {**read_users(path), name: changed})
    return text


def revoke_token(path: Path, token_id: str, name: str | None = None) -> str:
    """Revoke an API token and return whose it was; it opens nothing any more.

    With a `name` only that user's tokens are looked at.

    Raises
    ------
    UsageError
        If there is no such token.
    """
    with _changing(path):
        users = read_users(path)
        for user in users.values():
            if token_id in user.tokens and name in (None, user.name):
                tokens = {key: token for key, token in user.tokens.items() if key != token_id}
                _write(path, {**users, user.name: replace(user, tokens=tokens)})
                return user.name
    raise UsageError(path, f"no token {token_id!r}", "an id of `braincase user token list`")


def remove_user(path: Path, name: str) -> None:
    """Remove a user from a file; open sessions end at once.

    Raises
    ------
    UsageError
        If there is no such user.
    """
    with _changing(path):
        _existing(path, name)
        users = read_users(path)
        _write(path, {key: user for key, user in users.items() if key != name})


def user_of_token(users: Mapping[str, User], text: str) -> tuple[User, Token] | None:
    """Return the user of an API token, and which token it is."""
    parts = split_token(text)
    if parts is None:
        return None
    for user in users.values():
        token = user.tokens.get(parts[0])
        if token is not None and token.accepts(parts[1]):
            return user, token
    return None


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


def _existing(path: Path, name: str) -> User:
    users = read_users(path)
    if name not in users:
        raise UsageError(path, f"no user {name!r}", f"one of {', '.join(users)}")
    return users[name]


def _check_password(name: str, password: str) -> None:
    """Refuse a password that is short, common, or easily guessed from patterns or the name."""
    if len(password) < LEAST_PASSWORD:
        found = f"{len(password)} characters"
        raise UsageError("password", found, f"at least {LEAST_PASSWORD}")
    from zxcvbn import zxcvbn  # its lists of common passwords and words take a moment

    told = zxcvbn(password[:MOST_SCORED], user_inputs=[name, "braincase"])
    if told["score"] < LEAST_SCORE:
        advice = "Four or more unrelated words are long and easy to keep."
        raise UsageError("password", "one that is easily guessed", "an uncommon one", advice)


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Hold the lock of a file of users, so that no change of two at once is lost."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _user_of(name: str, entry: Mapping[str, Any]) -> User:
    tokens = {str(key): _token_of(str(key), t) for key, t in entry.get("tokens", {}).items()}
    return User(name, entry["role"], str(entry["password"]), tokens)


def _token_of(key: str, entry: Mapping[str, Any]) -> Token:
    until = str(entry.get("until", ""))  # tokens of earlier versions have no end
    return Token(key, str(entry["sha256"]), str(entry["made"]), str(entry["note"]), until)


def _entry(user: User) -> dict[str, object]:
    tokens = {
        token.id: {"sha256": token.hashed, "made": token.made, "note": token.note}
        | ({"until": token.until} if token.until else {})
        for token in user.tokens.values()
    }
    return {"role": user.role, "password": user.hashed, **({"tokens": tokens} if tokens else {})}


def _write(path: Path, users: Mapping[str, User]) -> None:
    entries = {name: _entry(user) for name, user in sorted(users.items())}
    content = {"format": FORMAT, "users": entries}
    with atomic_write(path) as aside:
        aside.chmod(0o600)
        aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _check_role(role: str) -> Role:
    if role not in get_args(Role):
        raise ParameterError("role", repr(role), " or ".join(get_args(Role)))
    return cast(Role, role)

"""The bearer token with which a monitoring program reads `/metrics`, and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import stat
from collections.abc import Sequence
from pathlib import Path

from braincase.errors import UsageError
from braincase.files import check_regular

#: Characters; `openssl rand -hex 32` gives 64.
LEAST_TOKEN = 32
_SCHEME = "bearer "


def read_token(path: Path) -> bytes:
    """Return the SHA-256 digest of the bearer token in a file.

    Raises
    ------
    UsageError
        If the file cannot be read, holds no token that is hard to guess, or is everybody's to read.
    """
    advice = f"Make one with `openssl rand -hex 32 > {path}` and `chmod 640`."
    try:
        mode, token = path.stat().st_mode, check_regular(path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(path, f"cannot be read ({error})", "a file with a token", advice) from None
    if len(token) < LEAST_TOKEN or len(token.split()) != 1:
        found = f"{len(token)} characters" if len(token.split()) == 1 else "not one word"
        raise UsageError(path, found, f"one word of at least {LEAST_TOKEN} characters", advice)
    if mode & stat.S_IROTH:
        found = "a token that everybody on this machine can read"
        raise UsageError(path, found, "mode 640 or less", f"Run `chmod o= {path}`.")
    return digest_of(token)


def accepts(path: Path | None, authorizations: Sequence[str]) -> bool:
    """Return whether a request's Authorization headers carry the bearer token of a file.

    The file is read each time, so that a new token counts at once; one that cannot be used any more
    lets nobody in.
    """
    if path is None or len(authorizations) != 1:
        return False
    (header,) = authorizations
    if not header.lower().startswith(_SCHEME):
        return False
    try:
        return hmac.compare_digest(read_token(path), digest_of(header[len(_SCHEME) :].strip()))
    except UsageError:
        return False


def digest_of(token: str) -> bytes:
    """Return a hash, so that comparing takes as long whatever was sent, and however long it is."""
    return hashlib.sha256(token.encode()).digest()

"""The hash chain of an audit log: SHA-256 of the line before in each line, and its verification.

The chain shows lines that were changed, taken out or put in between. It cannot show that the end
was cut off, or that everything was written anew: keep the last hash elsewhere and compare it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from braincase.errors import AuditError, UsageError
from braincase.files import check_regular
from braincase.json_values import parse_json

#: What the first line of a log holds instead of a hash.
FIRST = ""


@dataclass(frozen=True)
class Chain:
    """A log whose chain holds.

    Parameters
    ----------
    lines
        Events in it.
    unchained
        Of those, from an earlier release without a chain.
    torn
        Lines that a full disk or a power cut broke off.
    last
        The hash of the last line.
    """

    lines: int
    unchained: int
    torn: int
    last: str


def hash_of(line: bytes) -> str:
    """Return the SHA-256 of one line without its end."""
    return hashlib.sha256(line).hexdigest()


def last_line(content: bytes) -> bytes:
    """Return the line of the last whole event in a piece of a log, empty if there is none."""
    for line in reversed(content.split(b"\n")):
        if line and event_of(line) is not None:
            return line
    return b""


def verify_chain(path: Path) -> Chain:
    """Verify that no line of an audit log was changed, taken out or put in.

    Raises
    ------
    UsageError
        If it cannot be read.
    AuditError
        If the chain is broken; it says at which line.
    """
    try:
        with check_regular(path).open("rb") as file:
            return _verified(path, (line.rstrip(b"\n") for line in file))
    except OSError as error:
        raise UsageError(path, f"cannot be read ({error.strerror})", "an audit log") from None


def _verified(path: Path, lines: Iterable[bytes]) -> Chain:
    previous, events, unchained, torn = FIRST, 0, 0, 0
    for number, line in enumerate(lines, start=1):
        event = event_of(line)
        if event is None:
            torn += bool(line)
            continue
        if "previous" not in event and events == unchained:
            unchained += 1
        elif event.get("previous") != previous:
            found = f"line {number} does not follow the line before it"
            raise AuditError(path, found, "an unbroken chain of hashes", "It was changed.")
        events, previous = events + 1, hash_of(line)
    return Chain(events, unchained, torn, previous)


def event_of(line: bytes) -> dict[str, object] | None:
    """Return a whole line's event; None for a line that was broken off."""
    try:
        event = parse_json(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None

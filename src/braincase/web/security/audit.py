"""The audit log: who did and saw what, and when, as append-only JSON lines in a hash chain.

A line names a user, an action, and pseudonymous scan ids; never a file's name, a DICOM value, a
password or a code. The file is opened for appending only and belongs to the service's user alone.
Each line holds the SHA-256 of the line before it, so that one that was changed or taken out shows.
What cannot be written down is not done.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from braincase.errors import AuditError, UsageError
from braincase.files import sync_to_disk
from braincase.web.security.audit_chain import FIRST, hash_of, last_line

#: Bytes at the end of a log among which its last line is looked for first.
TAIL = 1 << 16


class AuditLog:
    """An append-only log; every line is on the disk before the answer goes out."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the log for appending.

        Raises
        ------
        UsageError
            If it cannot be written.
        """
        self.path = path or _usual_path()
        self._lock = threading.Lock()
        self._size, self._previous, self._torn = -1, FIRST, False
        #: Whether the last line could be written; for health checks.
        self.works = True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            is_new = not self.path.exists()
            self._descriptor = os.open(self.path, flags, 0o600)
            if is_new:  # its name too outlasts a power cut
                sync_to_disk(self.path.parent)
        except OSError as error:
            found = f"an audit log that cannot be written ({error.strerror})"
            raise UsageError(self.path, found, "", "Name another with --audit.") from None

    def write(self, user: str, action: str, **details: object) -> None:
        """Append one event and see it to the disk.

        Raises
        ------
        AuditError
            If it cannot be written, such as on a full disk.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"at": at, "user": user, "action": action, **details}
        with self._lock:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # the command line writes it too
                try:
                    self._append(event)
                finally:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                self.works = True
            except OSError as error:
                self.works = False
                found = f"cannot be written ({error.strerror})"
                advice = "Nothing was done that is not in it."
                raise AuditError(self.path, found, "an audit log", advice) from None

    @contextmanager
    def recorded(self, user: str, action: str, **details: object) -> Iterator[dict[str, object]]:
        """Write an intent, let the block do it, and write its result; a change is never unlogged.

        The dictionary that is yielded takes what only the result knows. A block that fails is
        noted as failed with the kind of its exception.

        Raises
        ------
        AuditError
            If the intent cannot be written: the block is not run.
        """
        self.write(user, action, stage="intent", **details)
        result: dict[str, object] = {}
        try:
            yield result
        except BaseException as error:
            failed = {"stage": "failed", "reason": type(error).__name__}
            self.write(user, action, **details, **failed)
            raise
        try:
            self.write(user, action, **{**details, **result}, stage="done")
        except AuditError as error:  # it is done, and the intent is in the log
            print(f"braincase: {error}", file=sys.stderr)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, event: dict[str, object]) -> None:
        self._catch_up()
        line = json.dumps({**event, "previous": self._previous}, ensure_ascii=True).encode()
        content = (b"\n" if self._torn else b"") + line + b"\n"
        while content:  # a write may be short, as on a disk that is almost full
            self._size = -1
            content = content[os.write(self._descriptor, content) :]
        os.fdatasync(self._descriptor)
        self._size = os.fstat(self._descriptor).st_size
        self._previous, self._torn = hash_of(line), False

    def _catch_up(self) -> None:
        """Read the last line again where the file is not as this log left it."""
        size = os.fstat(self._descriptor).st_size
        if size == self._size:
            return
        line, most, start, self._torn = b"", TAIL, size, False
        while not line and start:  # a line may be long: an erasure names every scan
            start = max(size - most, 0)
            tail = os.pread(self._descriptor, size - start, start)
            line = last_line(tail.partition(b"\n")[2] if start else tail)
            self._torn, most = not tail.endswith(b"\n"), 4 * most
        self._previous = hash_of(line) if line else FIRST


def _usual_path() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "braincase" / "audit.jsonl"

"""The audit log: who searched what, and when, as append-only JSON lines.

A line names a user, an action, and pseudonymous scan ids; never a file's name, a DICOM value, a
password or a code. The file is opened for appending only and belongs to the service's user alone.
"""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from braincase.errors import UsageError


class AuditLog:
    """An append-only log; every line is on the disk before the answer goes out."""

    def __init__(self, path: Path | None) -> None:
        """Open the log for appending.

        Raises
        ------
        UsageError
            If it cannot be written.
        """
        self.path = path or _usual_path()
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._descriptor = os.open(self.path, flags, 0o600)
        except OSError as error:
            found = f"an audit log that cannot be written ({error.strerror})"
            raise UsageError(self.path, found, "", "Name another with --audit.") from None

    def write(self, user: str, action: str, **details: object) -> None:
        """Append one event and see it to the disk."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "user": user, "action": action, **details}, ensure_ascii=True)
        with self._lock:
            os.write(self._descriptor, line.encode() + b"\n")  # one write: lines never mix
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1


def _usual_path() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "braincase" / "audit.jsonl"

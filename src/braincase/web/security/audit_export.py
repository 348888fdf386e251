"""Audit export (IHE ATNA, DICOM PS3.15 A.5 field names): JSON or CSV for a repository."""

from __future__ import annotations

import csv
import io
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from braincase.errors import UsageError
from braincase.files import check_regular
from braincase.json_values import to_json_object
from braincase.labels import safe_cell
from braincase.version import __version__
from braincase.web.security.audit_chain import event_of

#: DICOM's codes (DCM) of kinds of events.
_USER = ("110114", "User Authentication")
_ACCESSED = ("110103", "DICOM Instances Accessed")
_RECORD = ("110110", "Patient Record")
_QUERY, _EXPORT = ("110112", "Query"), ("110106", "Export")
_ALERT, _IMPORT = ("110113", "Security Alert"), ("110107", "Import")
#: Event and EventActionCode (create, read, update, delete, execute) of each action of the log.
KINDS: Mapping[str, tuple[tuple[str, str], str]] = {
    "login": (_USER, "E"),
    "login refused": (_USER, "E"),
    "logout": (_USER, "E"),
    "end sessions": (_USER, "E"),
    "change password": (_USER, "U"),
    "denied": (_ALERT, "E"),
    "search": (_QUERY, "E"),
    "view": (_QUERY, "R"),
    "view case": (_ACCESSED, "R"),
    "open other's upload": (_ACCESSED, "R"),
    "open viewer": (_ACCESSED, "R"),
    "open study": (_ACCESSED, "R"),
    "report": (_EXPORT, "R"),
    "table": (_EXPORT, "R"),
    "upload": (_IMPORT, "C"),
    "cancel": (_RECORD, "D"),
    "add": (_RECORD, "C"),
    "remove": (_RECORD, "U"),
    "erase": (_RECORD, "D"),
}
#: EventOutcomeIndicator: success, minor failure (refused), serious failure.
SUCCESS, MINOR, SERIOUS = 0, 4, 8
#: Fields of a line that have a place of their own in an event.
PLACED = ("at", "user", "action", "client", "previous", "stage", "scan_id", "scan_ids", "case")


@dataclass(frozen=True)
class AtnaEvent:
    """One event by the field names of the DICOM audit message (ParticipantObject: a case).

    `ParticipantObjectTypeCode` 2 is a system object, `ParticipantObjectTypeCodeRole` 3 a report or
    image; `EventDetail` is what else the log says, as JSON.
    """

    EventDateTime: str
    EventID: str
    EventIDMeaning: str
    EventTypeCode: str
    EventActionCode: str
    EventOutcomeIndicator: int
    UserID: str
    NetworkAccessPointID: str
    AuditSourceID: str
    ParticipantObjectTypeCode: int | None
    ParticipantObjectTypeCodeRole: int | None
    ParticipantObjectID: str
    EventDetail: str


def read_events(
    path: Path, user: str | None = None, scan: str | None = None, since: str | None = None
) -> Iterator[AtnaEvent]:
    """Yield the events of an audit log, one for each case that an event is about.

    The intent of a change is left out where its result follows; lines broken off are passed over.

    Parameters
    ----------
    path
        The log.
    user, scan
        Only events of this user, or about this case.
    since
        Only events from this day or moment on (ISO 8601).

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    try:
        with check_regular(path).open("rb") as file:
            for event in filter(None, (event_of(line) for line in file)):
                if _is_intent(event) or (since and str(event.get("at", "")) < since):
                    continue
                yield from (
                    one
                    for one in _atna(event)
                    if user in (None, one.UserID) and scan in (None, one.ParticipantObjectID)
                )
    except OSError as error:
        raise UsageError(path, f"cannot be read ({error.strerror})", "an audit log") from None


def events_as_text(events: Iterator[AtnaEvent], form: str) -> str:
    """Return events as JSON (one array) or CSV with a header; no cell is a formula."""
    rows = [to_json_object(event) for event in events]
    if form == "json":
        return json.dumps(rows, indent=2, ensure_ascii=False)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [part.name for part in fields(AtnaEvent)]
    writer.writerow(names)
    for row in rows:
        writer.writerow(safe_cell("" if row[name] is None else str(row[name])) for name in names)
    return out.getvalue().rstrip("\n")


def _is_intent(event: Mapping[str, object]) -> bool:
    return event.get("stage") == "intent"


def _atna(event: Mapping[str, object]) -> Iterator[AtnaEvent]:
    action = str(event.get("action", ""))
    kind, code = KINDS.get(action, (_RECORD, "E"))
    outcome = SERIOUS if event.get("stage") == "failed" else SUCCESS
    outcome = MINOR if action in ("denied", "login refused") else outcome
    detail = {name: value for name, value in event.items() if name not in PLACED}
    for case in _cases(event):
        yield AtnaEvent(
            EventDateTime=str(event.get("at", "")),
            EventID=kind[0],
            EventIDMeaning=kind[1],
            EventTypeCode=action,
            EventActionCode=code,
            EventOutcomeIndicator=outcome,
            UserID=str(event.get("user", "")),
            NetworkAccessPointID=str(event.get("client", "")),
            AuditSourceID=f"braincase {__version__} on {socket.gethostname()}",
            ParticipantObjectTypeCode=2 if case else None,
            ParticipantObjectTypeCodeRole=3 if case else None,
            ParticipantObjectID=case,
            EventDetail=json.dumps(detail, ensure_ascii=False) if detail else "",
        )


def _cases(event: Mapping[str, object]) -> list[str]:
    """Return the cases that an event is about, or one empty text."""
    several = event.get("scan_ids")
    found = [event.get("scan_id"), event.get("case")]
    found += several if isinstance(several, list) else []
    return [str(case) for case in found if case] or [""]

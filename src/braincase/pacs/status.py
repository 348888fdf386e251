"""Status of a node: every study with its state, what went wrong and what comes next."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from braincase.json_values import Json
from braincase.pacs.ledger import ENDS, Ledger


def status_of(spool: Path) -> dict[str, Json]:
    """Return the state of all studies and the counted events, as plain JSON values.

    Raises
    ------
    UsageError
        If no node has run there.
    """
    with closing(Ledger(spool, read_only=True)) as ledger:
        now = time.time()
        studies: list[Json] = []
        for study in ledger.studies():
            instances, size = ledger.size_of(study.study)
            waits = None if study.state in ENDS else max(study.next_try, 0.0) or None
            studies.append({
                "study": study.study,
                "state": study.state,
                "instances": instances,
                "bytes": size,
                "received": _clock(study.first),
                "ended": _clock(study.ended),
                "gallery_version": study.version,
                "results": study.results,
                "unsent": len(ledger.unsent(study.study)),
                "failed_tries": study.attempts,
                "next_try_s": round(waits - now, 1) if waits and waits > now else None,
                "problem": study.problem,
            })  # fmt: skip
        return {"studies": studies, "events": dict(ledger.events())}


def lines_of(status: dict[str, Json]) -> list[str]:
    """Return a status as lines of a table."""
    rows: list[tuple[str, ...]] = [
        ("study", "state", "instances", "results", "received", "tries", "what")
    ]
    studies, events = status["studies"], status["events"]
    assert isinstance(studies, list)
    assert isinstance(events, dict)
    for study in studies:
        assert isinstance(study, dict)
        what = str(study["problem"])
        if study["next_try_s"] is not None:
            what += f" (next try in {study['next_try_s']:.0f} s)"
        names = ("study", "state", "instances", "results", "received", "failed_tries")
        rows.append((*(str(study[name]) for name in names), what))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]
    return [*lines, *(f"{name}: {count}" for name, count in events.items())]


def _clock(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))

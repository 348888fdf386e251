"""Private temporary folders of the service; those that a killed service left behind are removed."""

from __future__ import annotations

from pathlib import Path

from braincase.sources.scratch import make_scratch


def private_folder(what: str) -> Path:
    """Return a new folder that only this user can open and that this process holds."""
    return make_scratch(f"web-{what}")

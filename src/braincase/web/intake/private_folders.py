"""Private temporary folders, and the removal of those that a killed service left behind."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

PREFIX = "braincase-web"


def private_folder(what: str) -> Path:
    """Return a new folder that only this user can open, named after this process."""
    remove_orphans()
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-{what}-"))


def remove_orphans() -> None:
    """Remove this user's folders whose process is gone: they may hold scans of patients."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*"):
        name = re.match(rf"{PREFIX}-(\d+)-", folder.name)
        if name and folder.lstat().st_uid == os.getuid() and not _runs(int(name[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, as somebody else
        return True
    return True

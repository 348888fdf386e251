"""What a model folder says of itself, read without loading the model (and so without torch)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from braincase.errors import ModelError

ABOUT = "model.json"


def read_about(folder: Path) -> dict[str, Any]:
    """Read ``model.json`` alone.

    Raises
    ------
    ModelError
        If it is missing, damaged or of another format.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if about["format"] == 1:
            return dict(about)
        raise ModelError(folder, f"model format {about['format']}", "1", "Update braincase.")
    except FileNotFoundError as error:
        advice = "Train one with `braincase train`."
        raise ModelError(folder, "no model.json", "a model folder", advice) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(folder / ABOUT, f"cannot be read ({error})", "JSON") from error

"""Purpose statement: what Braincase is for, as every page, report, card and command says it.

`purpose.json` beside this file is the only place where the sentence is written; the reading room's
page is built from the same file.
"""

from __future__ import annotations

import json
from pathlib import Path

#: In English, with its full stop.
_TEXTS = json.loads(Path(__file__).with_name("purpose.json").read_text("utf-8"))
PURPOSE: str = _TEXTS["en"]
PURPOSE_JA: str = _TEXTS["ja"]

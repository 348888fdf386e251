"""Purpose statement: what Braincase is for, as every page, report, card and command says it.

`purpose.json` beside this file is the only place where the sentence is written; the reading room's
page is built from the same file.
"""

from __future__ import annotations

import json
from pathlib import Path

#: In English, with its full stop.
PURPOSE: str = json.loads(Path(__file__).with_name("purpose.json").read_text("utf-8"))["en"]

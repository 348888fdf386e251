"""The OpenAPI schema as a file, from which the TypeScript types of the page are generated.

``python -m braincase.web.openapi`` writes it again; no gallery is opened and no server started.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from braincase.files import write_text
from braincase.web.app import routed_app

#: Where the frontend keeps it, in a source tree.
OPENAPI_FILE = Path(__file__).parent / "frontend" / "openapi.json"


def openapi_text() -> str:
    """Return the OpenAPI schema of the service as JSON text."""
    return json.dumps(routed_app().openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]) if len(sys.argv) > 1 else OPENAPI_FILE, openapi_text())

"""Pseudonymous coarse groups (keyed hashes): all that an engine outside sees of the labels.

A group is a combination of the labels in `COARSE`, age by decade. An engine outside gets an opaque
number for it, made with the gallery's own secret: it tells cases of one group from those of another
and nothing else. A filter is evaluated on the record; the groups in which it selects anything are
then a superset that the engine can look at alone.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping

from braincase.labels import Value

COARSE = ("diagnosis", "sex")
DECADE = "age"


def coarse_text(labels: Mapping[str, Value]) -> str:
    """Return the group of a case as text, the same for the same labels always."""
    age = labels.get(DECADE)
    decade = ""
    if isinstance(age, int | float) and math.isfinite(age):
        decade = str(int(age // 10))
    return "\n".join([*(str(labels.get(name) or "") for name in COARSE), decade])


def keyed_hash(secret: bytes, text: str) -> int:
    """Return an HMAC of a text as a number of 63 bits, meaningless without the secret."""
    digest = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") >> 1

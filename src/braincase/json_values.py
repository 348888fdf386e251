"""JSON: the type of its values, and how records, arrays and numbers are serialised to it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

#: What a JSON text can hold.
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
#: A JSON object that is only read.
JsonObject: TypeAlias = Mapping[str, Json]


@runtime_checkable
class _Listable(Protocol):
    """An array, or one number of an array."""

    def tolist(self) -> object:
        """Return it as plain Python values."""


def parse_json(text: str | bytes) -> Any:
    """Parse JSON that anybody may have written.

    Raises
    ------
    ValueError
        If it is no JSON, or nested deeper than Python can follow.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def to_json(value: object) -> Json:
    """Serialise a value to plain JSON types.

    Records (dataclasses) become objects of their fields; arrays, tuples and NumPy numbers become
    lists and numbers; paths become text. A number that is not finite becomes null: JSON has no NaN.

    Raises
    ------
    TypeError
        If it holds something that JSON has no word for.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): to_json(inner) for key, inner in value.items()}
        case list() | tuple():
            return [to_json(inner) for inner in value]
        case Path():
            return str(value)
    # NumPy's arrays and numbers, without importing it: ``--help`` does not wait for it.
    if isinstance(value, _Listable) and not isinstance(value, type):
        return to_json(value.tolist())
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: to_json(getattr(value, part.name)) for part in fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def canonical_json(value: object) -> str:
    """Return JSON text that is equal for equal values, whatever the order of their keys."""
    return json.dumps(to_json(value), sort_keys=True)


def to_json_object(value: object) -> dict[str, Json]:
    """Serialise a record or a mapping to a JSON object; see `to_json`."""
    content = to_json(value)
    if not isinstance(content, dict):
        raise TypeError(f"{type(value).__name__} is no JSON object")
    return content

"""Options that the commands have in common, comma lists, JSON output, and names of options."""

from __future__ import annotations

import json
import re
import sys
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Workers = Annotated[int, typer.Option(help="Processes; 0 means one a core.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Label = Annotated[str, typer.Option(help="Column that holds the classes.")]
Classes = Annotated[str, typer.Option(help="Its values to tell apart, such as CN,AD; default all.")]
GalleryOption = Annotated[
    str,
    typer.Option(
        "--gallery",
        envvar="BRAINCASE_GALLERY",
        help="A folder, or a milvus:// URL.",
    ),
]
MODEL_VARIABLE = "BRAINCASE_MODEL"
Force = Annotated[bool, typer.Option(help="Write over what is there.")]


def comma_list(text: str) -> list[str]:
    """Return the parts of ``a, b`` without blanks; none of an empty text."""
    return [part.strip() for part in text.split(",") if part.strip()]


def print_json(content: object) -> None:
    """Print plain JSON values for people and programs, valid whatever the terminal can show."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = json.dumps(content, indent=2)
    print(text)


#: Parameters of the library that the command line calls otherwise than by their own name.
_CALLED = {
    "extraction": "--brain-extraction",
    "k": "-k",
    "mask": "--region-mask",
    "protocols": "--protocol",
    "regions": "--region",
    "scan_id": "scan",
}


def options_of(parameters: str) -> str:
    """Return the command line's words for parameters of the library, given with commas."""
    names = [name.strip() for name in parameters.split(",")]
    return ", ".join(_CALLED.get(name, f"--{name.replace('_', '-')}") for name in names)


def with_options(advice: str) -> str:
    """Return an advice of the library with ``--option`` for each `parameter` in backticks."""
    return re.sub(r"`(\w+)`", lambda match: options_of(match[1]), advice)

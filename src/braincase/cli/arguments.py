"""Options that the commands have in common, comma lists, JSON output, and names of options."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from braincase.cohort.view import ViewChoice

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
View = Annotated[
    str | None,
    typer.Option(
        help="View volume of the whole scan beside each standard volume, to look at: 1mm (about"
        " 5 MB a scan), 2mm (0.6 MB) or none. A whole head shows the face. If not given: 1mm, of"
        " new scans only."
    ),
]
ViewBrainOnly = Annotated[
    bool,
    typer.Option("--view-brain-only", help="Views without skull and face (1mm: about 2 MB)."),
]
#: What is said once where views of whole heads are made.
FACES = (
    "note: view volumes show whole heads, and a face can be rendered from one; --view-brain-only"
    " makes them without, --view none makes none"
)


class WholeHelp(TyperGroup):
    """A group whose help shows what each of its commands does, not cut off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands."""
        with formatter.section("Commands"):
            rows = [(name, one.get_short_help_str(300)) for name, one in self.commands.items()]
            formatter.write_dl(rows)


Site = Annotated[
    str | None,
    typer.Option(help="Name to put before each subject (B: 01 becomes B01), to tell sites apart."),
]


def comma_list(text: str) -> list[str]:
    """Return the parts of ``a, b`` without blanks; none of an empty text."""
    return [part.strip() for part in text.split(",") if part.strip()]


def chosen_view(view: str | None, brain_only: bool) -> ViewChoice | None:
    """Return the view volumes that are wanted; say, on standard error, what they can show."""
    from braincase.cohort.view import view_choice

    choice = view_choice(view or "1mm", brain_only)
    if choice is not None and not choice.brain_only:
        print(FACES, file=sys.stderr)
    return choice


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

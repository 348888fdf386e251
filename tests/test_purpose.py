"""What the software is for is written once, and said in the same words everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

from typer.testing import CliRunner

import braincase
from braincase.cli.main import app
from braincase.purpose import PURPOSE

PACKAGE = Path(braincase.__file__).parent
ROOT = PACKAGE.parents[1]
#: Words that only a sentence about the intended use has.
ABOUT_USE = re.compile(
    r"not a (medical device|diagnosis)|for research\. not|研究用ソフトウェア", re.I
)


def test_no_source_says_it_in_words_of_its_own() -> None:
    sources = [
        path
        for kind in ("py", "html", "ts", "tsx")
        for path in PACKAGE.rglob(f"*.{kind}")
        if "node_modules" not in path.parts and "static" not in path.parts
    ]
    assert len(sources) > 100
    told = [str(path) for path in sources if ABOUT_USE.search(path.read_text("utf-8"))]
    assert told == []


def test_the_manual_says_it_in_the_same_words() -> None:
    both = json.loads((PACKAGE / "purpose.json").read_text("utf-8"))
    assert both["en"] == PURPOSE
    for name, sentence in (
        ("README.md", both["en"]),
        ("README.ja.md", both["ja"]),
        ("docs/web.md", both["en"]),
        ("docs/tutorial.md", both["en"]),
    ):
        text = " ".join((ROOT / name).read_text("utf-8").split())
        assert sentence in text, name
        assert len(ABOUT_USE.findall(text)) == len(ABOUT_USE.findall(sentence)), name


def test_the_command_says_it() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert PURPOSE in " ".join(shown.split())

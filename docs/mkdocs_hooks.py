"""MkDocs hooks: files of the root and the notebook become pages, the command line tells itself.

`README.md`, `CONTRIBUTING.md` and the like stand in the root, where GitHub shows them; here they
become pages, with their links led to the site. The notebook becomes a page with its cells. The
marker in `cli.md` is replaced by the help of every command.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.main import get_command

from braincase.cli.main import app

ROOT = Path(__file__).parents[1]
#: Files of the root and the pages they become.
ROOT_PAGES = {
    "README.md": "index.md",
    "README.ja.md": "ja.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "CITATION.cff": "CITATION.cff",
}
COMMANDS = "<!-- commands -->"
NOTEBOOK = "notebook.ipynb"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and that of the notebook."""
    for name, page in ROOT_PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=links_to_the_site(text)))
    cells = json.loads((ROOT / "docs" / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    page = NOTEBOOK.replace(".ipynb", ".md")
    files.append(File.generated(config, page, content="\n\n".join(map(cell_text, cells))))
    return files


def cell_text(cell: dict[str, Any]) -> str:
    """Return a notebook's cell as Markdown."""
    text = "".join(cell["source"])
    return text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"


def links_to_the_site(text: str) -> str:
    """Lead the links of a file of the root to the pages of the site."""
    text = re.sub(r"\]\(docs/decisions/?\)", "](decisions/README.md)", text)
    text = text.replace("](docs/", "](")
    for name, page in ROOT_PAGES.items():
        text = re.sub(rf"\]\({re.escape(name)}(#[^)]*)?\)", rf"]({page}\1)", text)
    return text


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to files of the root to their pages, and write down the commands."""
    for name, target in ROOT_PAGES.items():
        markdown = markdown.replace(f"](../{name}", f"]({target}")
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, "\n".join(command_lines()))
    return markdown


def command_lines() -> Iterator[str]:
    """Yield the help of every command as Markdown."""
    for path, command in commands_of(get_command(app), "braincase"):
        context = command.make_context(path, [], resilient_parsing=True)
        usage = " ".join(command.collect_usage_pieces(context))
        records = (parameter.get_help_record(context) for parameter in command.params)
        rows = [table_row(*record) for record in records if record is not None]
        yield f"## {path}\n\n{inspect.cleandoc(command.help or '')}\n"
        yield f"```text\n{path} {usage}\n```\n"
        yield "\n".join(["| argument or option | does |", "|---|---|", *rows, ""])


def commands_of(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with its full name; typer carries its own click."""
    for name, child in getattr(command, "commands", {}).items():
        yield from commands_of(child, f"{path} {name}")
    if not hasattr(command, "commands"):
        yield path, command


def table_row(name: str, text: str) -> str:
    """Return a table row for an option or an argument."""
    cells = (" ".join(cell.split()).replace("|", "\\|") for cell in (f"`{name}`", text))
    return f"| {' | '.join(cells)} |"

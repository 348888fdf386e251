"""The documentation against the code: names, files, options, the picture, and the built site."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from typer.main import get_command

import braincase
import braincase.errors
from braincase.cli.main import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "braincase"
#: Pages that speak of the code as it is; decisions and the list of changes speak of the past.
PAGES = (*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
GLOSSARY_ROW = re.compile(r"^\| (.+?) \| .+ \|$", re.MULTILINE)


def script(name: str) -> ModuleType:
    """Import a script of the documentation."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_spans(page: Path) -> Iterator[str]:
    """Yield what a page sets in `code`, outside of examples."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", text)


def glossary_words() -> list[str]:
    """Return the words of the glossary, as they are written."""
    cells = GLOSSARY_ROW.findall((DOCS / "glossary.md").read_text("utf-8"))
    return [word for cell in cells if cell != "word" for word in cell.split(", ")]


def test_picture_and_tables_of_the_architecture_are_those_of_the_code() -> None:
    drawn = script("architecture")
    advice = "differs from the code: run python docs/architecture.py"
    assert drawn.PICTURE.read_text("utf-8") == drawn.picture(), advice
    text = drawn.PAGE.read_text("utf-8")
    assert text == drawn.page(text), advice


def test_no_arrow_is_drawn_where_a_longer_way_leads_and_every_import_is_reached() -> None:
    drawn = script("architecture")
    edges = {"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}
    assert drawn.without_shortcuts(edges) == {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set()}
    assert drawn.floors_of(edges) == {"a": 3, "b": 2, "c": 1, "d": 0}


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    text = (DOCS / "api.md").read_text("utf-8")
    listed = re.findall(r"^::: braincase\.(\w+)$", text, re.MULTILINE)
    assert sorted(listed) == sorted([*braincase.__all__, "errors"])


def test_every_public_class_is_in_the_glossary() -> None:
    words = {word.strip("`") for word in glossary_words()}
    public = {name: getattr(braincase, name) for name in braincase.__all__}
    missing = [name for name, value in public.items() if isinstance(value, type)]
    assert [name for name in missing if name not in words] == []


def test_the_glossary_has_each_word_once() -> None:
    words = glossary_words()
    assert len(words) > 80
    assert sorted(words) == sorted(set(words))


def test_every_file_and_test_that_a_page_names_is_there() -> None:
    places = (ROOT, ROOT / "src", SOURCE, SOURCE / "web", SOURCE / "web" / "frontend" / "src")
    wrong, seen = [], 0
    for page in PAGES:
        for span in code_spans(page):
            match = re.fullmatch(r"([\w./-]+\.(?:py|tsx?|toml|json|md))(?:::(\w+))?", span)
            if match is None or "/" not in span or span.startswith(("../", "~", "demo/")):
                continue
            if re.search(r"/[A-Z]{4,}\.", span):  # a place for a name of the reader's own
                continue
            seen += 1
            path = next((p / match[1] for p in places if (p / match[1]).is_file()), None)
            if path is None or (match[2] and f"def {match[2]}(" not in path.read_text("utf-8")):
                wrong.append(f"{page.name}: {span}")
    assert not wrong, f"a page names a file or test that is not there: {wrong}"
    assert seen > 100


def test_every_dotted_name_that_a_page_uses_is_in_the_code() -> None:
    wrong, seen = [], 0
    for page in PAGES:
        for span in code_spans(page):
            if re.fullmatch(r"braincase(\.\w+)+", span):
                seen += 1
                if not is_in_the_code(span):
                    wrong.append(f"{page.name}: {span}")
    assert not wrong, f"a page uses a name that is not there: {wrong}"
    assert seen > 20


def is_in_the_code(name: str) -> bool:
    """Whether a dotted name is a package, a file, something a file defines, or a public name."""
    parts = name.split(".")[1:]
    if len(parts) == 1 and parts[0] in braincase.__all__:
        return True
    path = SOURCE.joinpath(*parts)
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    home = SOURCE.joinpath(*parts[:-1])
    home = home / "__init__.py" if home.is_dir() else home.with_suffix(".py")
    return home.is_file() and parts[-1] in names_of(home)


def names_of(path: Path) -> set[str]:
    """Return what a file defines or imports at its top."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_the_table_of_search_options_is_that_of_the_command() -> None:
    text = (DOCS / "search-reference.md").read_text("utf-8")
    table = text[text.index("## Options") : text.index("## Promises")]
    listed = set(re.findall(r"--[a-z][a-z-]*", table.split("In Python")[0]))
    command = get_command(app).commands["search"]  # type: ignore[attr-defined]
    options = {name for parameter in command.params for name in parameter.opts if "--" in name}
    assert listed <= options
    assert options - listed <= {"--gallery", "--model", "--force"}


def test_every_decision_is_in_their_list() -> None:
    folder = DOCS / "decisions"
    text = (folder / "README.md").read_text("utf-8")
    linked = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", text)
    assert sorted(linked) == sorted(path.name for path in folder.glob("0*.md"))


def test_nothing_cites_a_file_outside_of_the_repository() -> None:
    tracked = [*PAGES, *DOCS.glob("decisions/*.md"), *SOURCE.rglob("*.py")]
    assert [str(path) for path in tracked if "DESIGN" in path.read_text("utf-8")] == []


def test_the_citation_names_software_and_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["type"] == "software"
    assert citation["references"][0]["authors"][0]["family-names"] == "Onga"


class Ids(HTMLParser):
    """All ids and addresses of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loads: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.ids.add(given.get("id") or "")
        if tag in ("script", "img") or (tag, given.get("rel")) == ("link", "stylesheet"):
            self.loads.add(given.get("src") or given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it: a warning is a failure."""
    pytest.importorskip("material", reason="the extra 'docs' is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_shows_every_public_name(site: Path) -> None:
    ids = Ids(site / "api.html").ids
    assert [name for name in braincase.__all__ if f"braincase.{name}" not in ids] == []
    errors = {name for name in vars(braincase.errors) if name.endswith("Error")}
    assert len(errors) > 10
    assert [
        name for name in errors if not {f"braincase.{name}", f"braincase.errors.{name}"} & ids
    ] == []


def test_the_site_shows_every_command_and_the_files_of_the_root(site: Path) -> None:
    text = (site / "cli.html").read_text("utf-8")
    assert "braincase gallery sync" in text
    assert "--similar-by" in text
    for page in ("index", "ja", "contributing", "security", "changelog", "notebook"):
        assert (site / f"{page}.html").is_file(), page


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = {load for path in site.rglob("*.html") for load in Ids(path).loads}
    assert len(loads) > 3
    assert [load for load in loads if re.match(r"(https?:)?//", load)] == []

"""The order of the rooms: imports run down, never in a circle, and torch stays in one room."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from conftest import LONGEST

SOURCE = Path(__file__).parents[1] / "src" / "braincase"

#: From the bottom of the house to the top; a file may import its own room and those before it.
ROOMS: tuple[str, ...] = (
    *(
        "errors",
        "purpose",
        "version",
        "labels",
        "json_values",
        "rounding",
        "files",
        "progress",
        "parallel",
    ),  # the ground
    "images",
    "volumetry",
    "sources",
    "cohort",
    "gallery",
    "preprocess",
    "simulate",
    "models",
    "population",
    "search",
    "answer",
    "evaluate",
    "bench",
    "report",
    "workflows",
    "web",
    "pacs",
    "cli",
    "__main__",
)

#: The one exception: it moves arrays to a torch device that its caller names, and imports it then.
PUTS_ON_DEVICE = SOURCE / "preprocess" / "prepare_volume.py"


def room_of(path: Path) -> str:
    """The module or package directly below ``braincase``."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    """The dotted name of a file."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in SOURCE.rglob("*.py")}


@cache
def import_statements(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """All of a file; each is read once, which takes most of the time of these tests."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]


def imports_of(path: Path) -> list[tuple[str, int]]:
    """Modules of Braincase that a file imports anywhere, for type checkers too, with their lines.

    Only the file itself counts that gives the name: ``from braincase.gallery import exact`` is an
    import of ``braincase.gallery.exact``.
    """
    imported = []
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            imported += [(alias.name, node.lineno) for alias in node.names]
        elif node.module:
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides where it leads"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                imported.append((inner if inner in FILES else node.module, node.lineno))
    return [(name, line) for name, line in imported if name in FILES]


def test_every_file_stands_in_a_room() -> None:
    rooms = {room_of(path) for path in FILES.values()} - {"__init__"}
    assert rooms == set(ROOMS)


def test_no_import_runs_up() -> None:
    floor = {f"braincase.{name}": i for i, name in enumerate(ROOMS)}
    wrong = [
        f"{path.relative_to(SOURCE)}:{line} imports {name}"
        for path in FILES.values()
        if path != SOURCE / "__init__.py"
        for name, line in imports_of(path)
        # `braincase` itself is the front door: nothing in the house goes out through it.
        if name == "braincase"
        or floor[".".join(name.split(".")[:2])] > floor[f"braincase.{room_of(path)}"]
    ]
    assert not wrong, wrong


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {
        name: {other for other, _ in imports_of(path) if other != name}
        for name, path in FILES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle: {' -> '.join(error.args[1])}") from None


def typescript_imports(path: Path) -> set[Path]:
    """Files of the frontend that a file of it imports, for types alone or when needed too."""
    text = path.read_text(encoding="utf-8")
    imported = set()
    for name in re.findall(r"""(?:\bfrom|\bimport\(|^import)\s*["'](\.[^"']*)["']""", text, re.M):
        place = (path.parent / name).resolve()
        options = (place, *(place.with_name(place.name + end) for end in (".ts", ".tsx")))
        options = (*options, place / "index.ts", place / "index.tsx")
        (file,) = [option for option in options if option.is_file()]
        imported.add(file)
    return imported


def test_no_files_of_the_frontend_import_each_other_in_a_circle() -> None:
    source = SOURCE / "web" / "frontend" / "src"
    files = [*source.rglob("*.ts"), *source.rglob("*.tsx")]
    graph = {path: typescript_imports(path) for path in files}
    assert sum(len(imported) for imported in graph.values()) > len(files), "imports are not seen"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(str(path.relative_to(source)) for path in error.args[1])
        raise AssertionError(f"a circle: {circle}") from None


def test_torch_stays_in_one_room() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in FILES.values()
        if room_of(path) != "models" and path != PUTS_ON_DEVICE
        for node in import_statements(path)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
        if name.split(".")[0] in ("torch", "lightning_fabric")
    ]
    assert not wrong, wrong


def test_modules_stay_short() -> None:
    long = {
        str(path.relative_to(SOURCE)): lines
        for path in FILES.values()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long, f"is there a second idea in {long}?"


def test_the_files_of_tests_that_begin_first_exist() -> None:
    files = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert {f"test_{name}" for name in LONGEST} <= files
    assert len(set(LONGEST)) == len(LONGEST)

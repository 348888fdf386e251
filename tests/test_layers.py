"""A file imports only what stands above it in the flow (DESIGN section 2); torch stays inside."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "braincase"

#: From the top of the flow to the bottom; a module may import its own layer and those above it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "purpose"),
    ("geometry", "atomic", "progress", "parallel"),
    ("header", "volume", "sources"),
    ("packed", "derivatives", "packing", "cohort", "splits", "metrics", "ranking"),
    ("simulate", "preprocess"),
    ("settings", "about"),
    ("augment", "model", "losses", "checkpoint", "embed", "train", "card", "sight"),
    ("gallery", "regions", "search", "indexing", "raw_indexing"),
    ("evaluate",),
    ("explain", "neighbours", "normative", "outcome", "refine", "typicality"),
    ("learned", "normal", "alike"),
    ("pictures", "explain_picture"),
    ("report",),
    ("experiment", "query", "ask", "answer", "explain_hits", "wording"),
    ("api",),
    ("demo", "web"),
    ("cli_words", "cli_search", "cli_web", "cli_gallery"),
    ("cli", "__main__"),
)
TORCH = {"augment", "model", "losses", "train", "checkpoint", "embed", "sight"}


def top_name(path: Path) -> str:
    """The module or package directly below ``braincase``."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[tuple[str, int]]:
    """Absolute names imported anywhere in a file, with their lines."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append((node.module, node.lineno))
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def test_every_module_has_a_layer() -> None:
    names = {top_name(p) for p in SOURCE.rglob("*.py")} - {"__init__"}
    known = {name for layer in LAYERS for name in layer}
    assert names <= known, f"give {sorted(names - known)} a place in LAYERS"


def test_no_import_goes_upward() -> None:
    level = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    wrong = [
        f"{path.relative_to(SOURCE)}:{line} imports {name}"
        for path in SOURCE.rglob("*.py")
        for name, line in imports_of(path)
        if name.startswith("braincase.")
        and top_name(path) in level
        and level.get(name.split(".")[1], -1) > level[top_name(path)]
    ]
    assert not wrong, wrong


def test_only_the_learning_half_reaches_torch() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        if top_name(path) not in TORCH
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
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
        for path in SOURCE.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long, f"is there a second idea in {long}?"

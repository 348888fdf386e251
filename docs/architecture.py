"""Dependency graph of the packages, drawn from the imports, for architecture.md.

``python docs/architecture.py`` writes picture and tables anew (so does ``make docs``);
``tests/test_docs.py`` fails where they differ from the code.
"""

from __future__ import annotations

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import test_layers as layers  # noqa: E402

PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
MARKS = ("<!-- {name}: written by docs/architecture.py -->", "<!-- end of {name} -->")

PACKAGES = tuple(name for name in layers.ROOMS if (layers.SOURCE / name).is_dir())
#: The rooms that are one file each; the picture shows them as one box.
GROUND = tuple(name for name in layers.ROOMS if name not in (*PACKAGES, "__main__"))
#: Where a room stands from left to right; its height follows from what it imports.
COLUMNS = {
    "images": 2, "gallery": 3, "sources": 2, "volumetry": 4.5, "cohort": 2, "simulate": 4.5,
    "preprocess": 1, "models": 2, "population": 3, "evaluate": 3.4, "bench": 4, "search": 2,
    "answer": 2, "report": 2, "workflows": 1.5, "web": 2.5, "pacs": 3.5,
    "cli": 2,
}  # fmt: skip
BOX, STEP, MARGIN = (132, 40), (160, 76), 16


def imports_between_packages() -> dict[str, set[str]]:
    """Return which packages each package imports, anywhere in its files."""
    edges: dict[str, set[str]] = {name: set() for name in PACKAGES}
    for path in layers.FILES.values():
        room = layers.room_of(path)
        for module, _ in layers.imports_of(path):
            target = module.split(".")[1] if "." in module else ""
            if room in edges and target in edges and target != room:
                edges[room].add(target)
    return edges


def floors_of(edges: dict[str, set[str]]) -> dict[str, int]:
    """Return the length of the longest chain of imports below each package."""
    floors: dict[str, int] = {}
    for name in TopologicalSorter(edges).static_order():
        floors[name] = max((floors[below] + 1 for below in edges[name]), default=0)
    return floors


def without_shortcuts(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the transitive reduction: no arrow where a longer way leads to the same package."""
    reach: dict[str, set[str]] = {}
    for name in TopologicalSorter(edges).static_order():
        reach[name] = set(edges[name]).union(*(reach[below] for below in edges[name]))
    return {
        name: {b for b in below if not any(b in reach[via] for via in below)}
        for name, below in edges.items()
    }


def picture() -> str:
    """Return the graph as SVG: a box a package, an arrow from a package to what it imports."""
    edges = imports_between_packages()
    floors = floors_of(edges)
    top = max(floors.values())

    def corner(name: str) -> tuple[float, float]:
        return MARGIN + COLUMNS[name] * STEP[0], MARGIN + (top - floors[name]) * STEP[1]

    lines = []
    for name, below in without_shortcuts(edges).items():
        x, y = corner(name)
        for target in sorted(below):
            u, v = corner(target)
            ends = f'x1="{x + BOX[0] / 2:g}" y1="{y + BOX[1]:g}" x2="{u + BOX[0] / 2:g}" y2="{v:g}"'
            lines.append(f'<line class="arrow" {ends}/>')
    width = MARGIN + max(COLUMNS.values()) * STEP[0] + BOX[0] + MARGIN
    ground = MARGIN + (top + 1) * STEP[1]
    boxes = [_box(*corner(name), BOX[0], name) for name in PACKAGES]
    boxes.append(_box(MARGIN, ground, width - 2 * MARGIN, ", ".join(GROUND)))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" '
            f'height="{ground + BOX[1] + MARGIN:g}" role="img">',
            "<title>Packages of Braincase and what each imports</title>",
            "<style>rect{fill:#f3f6fa;stroke:#37506b}text{fill:#14202c;text-anchor:middle;",
            "font:14px sans-serif}.arrow{stroke:#37506b;marker-end:url(#head)}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8"',
            'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#37506b"/>',
            "</marker></defs>",
            '<rect width="100%" height="100%" style="fill:#fff;stroke:none"/>',
            *lines,
            *boxes,
            "</svg>\n",
        ]
    )


def _box(x: float, y: float, width: float, text: str) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{BOX[1]}" rx="6"/>'
        f'<text x="{x + width / 2:g}" y="{y + BOX[1] / 2 + 5:g}">{text}</text>'
    )


def first_line(path: Path) -> str:
    """Return the first line of a file's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0].replace("|", "\\|")


def tables() -> dict[str, str]:
    """Return the generated parts of the page by name."""
    edges = imports_between_packages()
    floors = floors_of(edges)
    rooms = ["| room | what it is | floor | imports |", "|---|---|---|---|"]
    for name in sorted(PACKAGES, key=lambda name: (floors[name], layers.ROOMS.index(name))):
        what = first_line(layers.SOURCE / name / "__init__.py")
        below = sorted(edges[name], key=layers.ROOMS.index)
        rooms.append(f"| `{name}/` | {what} | {floors[name]} | {', '.join(below)} |")
    ground = ["| file | what it is |", "|---|---|"]
    ground += [f"| `{name}.py` | {first_line(layers.SOURCE / f'{name}.py')} |" for name in GROUND]
    files = []
    for name in PACKAGES:
        files += [f"**`{name}/`**", ""]
        files += [
            f"- `{path.relative_to(layers.SOURCE)}`: {first_line(path)}"
            for path in sorted((layers.SOURCE / name).rglob("*.py"))
            if path.name != "__init__.py"
        ]
        files.append("")
    return {"rooms": "\n".join(rooms), "ground": "\n".join(ground), "files": "\n".join(files[:-1])}


def page(text: str) -> str:
    """Return the page with its generated parts written anew."""
    for name, table in tables().items():
        start, end = (mark.format(name=name) for mark in MARKS)
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n\n{table}\n\n{end}{after}"
    return text


def main() -> None:
    """Write picture and page."""
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

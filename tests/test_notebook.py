"""The notebook of the documentation runs, cell by cell, and shows what a notebook shows."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from braincase.cohort.cohort import Cohort

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def shown_by(source: str, names: dict[str, Any]) -> object:
    """Run a cell and return the value of its last line, which a notebook shows."""
    *lines, last = ast.parse(source).body
    exec(compile(ast.Module(lines, []), "cell", "exec"), names)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    exec(compile(ast.Module([last], []), "cell", "exec"), names)
    return None


def test_the_notebook_runs(tiny: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tiny.folder, tmp_path / "cohort")  # the same people: nothing to simulate
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    names: dict[str, Any] = {}
    shown, with_pictures = [], 0
    for cell in cells:
        if cell["cell_type"] == "code":
            value = shown_by("".join(cell["source"]), names)
            shown.append(value)
            page = (hasattr(value, "_repr_html_") and value._repr_html_()) or ""
            with_pictures += "data:image/jpeg;base64," in page
    assert with_pictures == 4
    assert any(isinstance(value, Figure) for value in shown)
    tables = [value for value in shown if isinstance(value, pd.DataFrame)]
    assert len(tables[-1]) == 5
    assert (tables[-1]["age"] > 60).all()


def test_the_notebook_is_kept_without_outputs() -> None:
    content = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 8
    assert [cell["outputs"] or cell["execution_count"] for cell in code if cell["outputs"]] == []

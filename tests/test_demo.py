"""The demo, from nothing to the report, on the smallest cohort and untrained-in-earnest models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from braincase.cohort.cohort import Cohort
from braincase.workflows.demo import run_demo

QUICK = 'name = "{name}"\nchannels = 4\nepochs = 1\nbatch_size = 8\nalpha = {alpha}\n'


def test_the_demo_leaves_report_gallery_and_pictures_and_says_where(
    tiny: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = []
    for name, alpha in (("plain", 0.0), ("braincase", 1.0)):
        path = tmp_path / f"{name}.toml"
        path.write_text(QUICK.format(name=name, alpha=alpha))
        settings.append(str(path))
    folder = tmp_path / "demo"
    # As after a demo that was stopped in its second part: the people are simulated already.
    shutil.copytree(tiny.folder, folder / "cohort")
    images = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nii.gz")}
    run_demo(folder, size="tiny", settings=settings, view=None)  # views: tests/test_view.py
    assert {path: path.stat().st_mtime_ns for path in images} == images
    said = capsys.readouterr().out
    assert "simulated" in said
    for place in ("report/report.html", "search.html", "search.png", "gallery"):
        assert (folder / place).exists()
        assert str(folder / place) in said
    assert "What the neighbours say" in (folder / "search.html").read_text()
    results = json.loads((folder / "report" / "results.json").read_text())
    assert set(results) == {"paper", "honest"}

"""Text files that no reader had thought of end in one line, never in a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import pytest

from braincase.errors import ModelError, ScanError, UsageError
from braincase.models.model import load_model
from braincase.models.settings import load_settings
from braincase.sources.find import find_scans
from markers import marker
from refusals import refused


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = 0000-00-00", 'name = "\ud800"'])
def test_settings_nested_too_deep_or_of_no_date(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with refused(UsageError, "not TOML"):
        load_settings(str(tmp_path / "a.toml"))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("fingerprint", None, "no fingerprint"),
        ("fingerprint", 3, "fingerprint = 3"),
        ("settings", [], "settings = "),
        ("resolution_mm", "4", "resolution_mm = "),
        ("recipe", None, "no recipe"),
        ("training", "", "training = "),
    ],
)
def test_a_model_whose_description_lacks_a_part(
    tmp_path: Path, web_model: Path, key: str, value: object, says: str
) -> None:
    shutil.copytree(web_model, tmp_path / "m")
    about = json.loads((tmp_path / "m" / "model.json").read_text())
    del about[key]
    if value is not None:
        about[key] = value
    (tmp_path / "m" / "model.json").write_text(json.dumps(about))
    with refused(ModelError, says):
        load_model(tmp_path / "m")


def test_a_model_described_by_brackets(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("[" * 100_000)
    with refused(ModelError, "cannot be read"):
        load_model(tmp_path)


def test_one_row_with_a_path_that_cannot_be_stops_no_other(tmp_path: Path) -> None:
    nib.Nifti1Image(*marker((16, 16, 16), (8.0, 8.0, 8.0))).to_filename(tmp_path / "a.nii.gz")
    rows = ["path,subject", f"{'a' * 5000}.nii,s1", "a.nii.gz,s2", f"{'../' * 3000}b.nii,s3"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    scans, census = find_scans(tmp_path / "t.csv")
    assert [scan.subject for scan in scans] == ["s2"]
    assert len(census.dropped) == 2
    assert all("File name too long" in why for _, why in census.dropped)


def test_no_words_of_a_file_reach_the_terminal_as_commands() -> None:
    error = ScanError("a\x1b]0;owned\x07.dcm", "modality \x1b[2J\u202e", "MR", "x\ud800")
    assert str(error) == "a?]0;owned?.dcm: modality ?[2J?; expected MR. x?"

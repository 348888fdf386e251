"""Text files that no reader had thought of end in one line, never in a traceback."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import braincase
from braincase.cohort.shards import open_shards, write_shards
from braincase.errors import CohortError, GalleryError, ModelError, ScanError, UsageError
from braincase.gallery import create_gallery, open_gallery
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


def test_a_sidecar_of_brackets_says_nothing_and_stops_nobody(tmp_path: Path) -> None:
    anat = tmp_path / "sub-1" / "anat"
    anat.mkdir(parents=True)
    nib.Nifti1Image(*marker((16, 16, 16), (8.0, 8.0, 8.0))).to_filename(anat / "sub-1_T1w.nii.gz")
    for name in ("dataset_description.json", "participants.json", "sub-1/anat/sub-1_T1w.json"):
        (tmp_path / name).write_text("[" * 100_000)
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-1\t70\n")
    scans, _ = find_scans(tmp_path, "bids")
    assert [scan.subject for scan in scans] == ["1"]


def test_json_is_parsed_in_one_place_only() -> None:
    """`json.loads` of brackets raises what no reader catches."""
    source = Path(braincase.__file__).parent
    own = {"json_values.py", "sandbox.py", "purpose.py", "messages.py"}  # the last catches it
    found = [
        path.name
        for path in source.rglob("*.py")
        if path.name not in own and re.search(r"\bjson\.loads?\(", path.read_text("utf-8"))
    ]
    assert not found, "use json_values.parse_json"


def test_packed_volumes_with_a_header_that_is_no_python(tmp_path: Path) -> None:
    write_shards(tmp_path, iter(np.zeros((2, 3, 4, 5), np.uint8)), (3, 4, 5))
    path = tmp_path / "volumes-000.npy"
    sound = path.read_bytes()
    end = sound.index(b"\n")
    for number in range(300):
        rng = np.random.default_rng(number)
        content = bytearray(sound)
        for place in rng.integers(10, end, 3):
            content[place] = int(rng.choice([0, 10, 34, 39, 40, 91, 123, 255]))
        path.write_bytes(content)
        with contextlib.suppress(CohortError):
            open_shards(tmp_path, [2], (3, 4, 5))


def test_a_gallery_whose_schema_is_no_text(tmp_path: Path) -> None:
    create_gallery(tmp_path / "g", "m" * 64, 4, 10)
    path = tmp_path / "g" / "gallery.sqlite3"
    content = path.read_bytes()
    place = content.index(b"CREATE TABLE")
    path.write_bytes(content[:place] + b"CREATE \xff\xfe\xfa" + content[place + 10 :])
    with refused(GalleryError, "damaged"):
        open_gallery(tmp_path / "g").info()


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

"""Text files that no reader had thought of end in one line, never in a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
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
from braincase.sources.dicom import read_series
from braincase.sources.find import find_scans
from markers import marker, write_dicom
from refusals import refused


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = 0000-00-00", 'name = "\ud800"'])
def test_settings_nested_too_deep_or_of_no_date(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with refused(UsageError, "cannot be read"):
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


@pytest.fixture
def soon() -> Iterator[None]:
    """Whoever waits for a pipe does not wait for ever."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for a pipe"))
    signal.alarm(30)
    yield
    signal.alarm(0)


def with_pipe(folder: Path, name: str) -> Path:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    return folder


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "name", ["sub-2/anat/sub-2_T1w.json", "sub-2/anat/sub-2_T1w.nii.gz", "participants.tsv"]
)
def test_a_pipe_in_a_data_set_is_told_and_waited_for_by_nobody(tmp_path: Path, name: str) -> None:
    for person in "12":
        anat = tmp_path / f"sub-{person}" / "anat"
        anat.mkdir(parents=True)
        image = nib.Nifti1Image(*marker((16, 16, 16), (8.0, 8.0, 8.0)))
        image.to_filename(anat / f"sub-{person}_T1w.nii.gz")
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8"}')
    scans, _ = find_scans(with_pipe(tmp_path, name), "bids")
    assert [s.subject for s in scans if not name.startswith(f"sub-{s.subject}/anat")][:1] == ["1"]


@pytest.mark.usefixtures("soon")
def test_a_pipe_among_dicom_files_and_in_a_table(tmp_path: Path) -> None:
    series = write_dicom(tmp_path / "s", *marker((16, 16, 64), (8.0, 8.0, 2.0)))
    with_pipe(series, "a.dcm")
    assert len(find_scans(series)[0]) == 1
    read_series(series)
    (tmp_path / "t.csv").write_text("path,subject\ns/a.dcm,s1\ns,s2\n")
    scans, census = find_scans(tmp_path / "t.csv")
    assert [scan.subject for scan in scans] == ["s2"]
    assert "pipe" in census.dropped[0][1]
    with_pipe(tmp_path, "t.csv")
    with refused(UsageError, "pipe, socket or device"):
        find_scans(tmp_path / "t.csv")


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_pipe_in_a_model(tmp_path: Path, web_model: Path, name: str) -> None:
    shutil.copytree(web_model, tmp_path / "m")
    with refused(ModelError, "pipe, socket or device"):
        load_model(with_pipe(tmp_path / "m", name))


def test_a_row_that_names_a_whole_disk_is_no_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`../../..` in a table is a folder too: the whole disk was looked through for DICOM."""
    monkeypatch.setattr("braincase.sources.dicom.MAX_SCAN_FILES", 20)
    for number in range(30):
        (tmp_path / f"{number}.txt").touch()
    with refused(ScanError, "a folder of 20 files or more"):
        read_series(tmp_path)

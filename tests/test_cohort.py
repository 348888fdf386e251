"""A cohort on disk: whole, resumable, readable by other tools, and honest about what it lost."""

import gzip
import json
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from braincase.cohort.cohort import (
    PreparedScan,
    finish_cohort,
    has_case,
    open_cohort,
    update_labels,
    write_case,
)
from braincase.cohort.derivatives import image_path, sidecar_path
from braincase.cohort.packing import packing_lock
from braincase.cohort.sidecar import read_sidecar
from braincase.errors import CohortError, ScanError, UsageError
from braincase.images.geometry import HALF_GRID, STANDARD_GRID, Grid
from braincase.sources.census import take_census
from braincase.sources.scan import Scan

RECIPE = {"intensity": "gamma18", "levels_mm": (8, 4), "n4": True}


def scan_of(subject: str, session: str | None = None, **labels) -> Scan:
    return Scan(Path(f"/raw/{subject}.nii"), subject, session, labels)


SCANS = (
    scan_of("010", "M12", diagnosis="AD", age=71.5, sex="F", site="01"),
    scan_of("010", "M00", diagnosis="AD", age=70.5, sex="F", site="01"),
    scan_of("002", "M00", diagnosis="CN", age=64.0, sex="M", site="02"),
    scan_of("002", "M12", diagnosis="CN", age=None, sex="M", site="02"),
    scan_of("003", "M00", diagnosis="CN", age=77.25, sex=None, site="1"),
)


def volume_of(scan: Scan, grid: Grid = HALF_GRID) -> np.ndarray:
    """A different image for every scan, the same in every run."""
    seed = list(scan.scan_id.encode())
    return np.random.default_rng(seed).integers(0, 256, grid.shape, dtype=np.uint8)


def put(folder: Path, scan: Scan, recipe=RECIPE, grid: Grid = HALF_GRID) -> Path:
    more = {"Recipe": recipe, "Transform": np.eye(4), "Quality": {"snr": np.float32(0.5)}}
    return write_case(folder, grid, PreparedScan(scan, volume_of(scan, grid), more))


@pytest.fixture
def folder(tmp_path) -> Path:
    for scan in SCANS:
        put(tmp_path / "cohort", scan)
    return tmp_path / "cohort"


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def census_of(folder: Path) -> dict:
    return json.loads((folder / "census.json").read_text())


def test_rows_are_sorted_and_each_holds_the_scan_that_was_written(folder):
    cohort = open_cohort(folder)
    by_id = {scan.scan_id: scan for scan in SCANS}
    assert list(cohort.table.scan_id) == sorted(by_id)
    assert len(cohort) == len(cohort.volumes) == len(SCANS)
    for row, scan_id in enumerate(cohort.table.scan_id):
        np.testing.assert_array_equal(cohort.volumes[row], volume_of(by_id[scan_id]))
        on_disk = nibabel.load(folder / cohort.table.image[row])
        np.testing.assert_array_equal(cohort.volumes[row], np.asarray(on_disk.dataobj))
    assert len(set(cohort.table.image_hash)) == len(SCANS)
    assert cohort.grid == HALF_GRID
    assert cohort.recipe == {"intensity": "gamma18", "levels_mm": [8, 4], "n4": True}


def test_labels_keep_their_types_through_the_disk(folder):
    for table in (open_cohort(folder).table, open_cohort(folder).table):  # made, then read
        first = table.iloc[0]
        assert (first.subject, first.session) == ("002", "M00")
        assert list(table.site) == ["02", "02", "1", "01", "01"]
        assert table.age.dtype == float
        assert pd.isna(table.age[1])
        assert pd.isna(table.sex[2])


def test_a_cohort_of_one_visit_without_session_names(tmp_path):
    put(tmp_path, scan_of("b", age=70))
    put(tmp_path, scan_of("a", age=60))
    table = open_cohort(tmp_path).table
    assert list(table.scan_id) == ["sub-a", "sub-b"]
    assert table.session.isna().all()
    assert (tmp_path / "participants.tsv").read_text() == (
        "participant_id\tage\nsub-a\t60\nsub-b\t70\n"
    )


def test_the_image_lies_in_mni_space_for_every_other_tool(folder):
    path = image_path(folder, HALF_GRID, SCANS[0])
    assert path.relative_to(folder).as_posix() == (
        "sub-010/ses-M12/anat/sub-010_ses-M12_space-MNI152NLin2009aSym_res-4_desc-brain_T1w.nii.gz"
    )
    image = nibabel.load(path)
    assert image.get_data_dtype() == np.uint8
    assert image.header["sform_code"] == image.header["qform_code"] == 4
    np.testing.assert_allclose(image.get_sform(), HALF_GRID.affine)
    np.testing.assert_allclose(image.get_qform(), HALF_GRID.affine)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_the_tables_are_bids_derivatives(folder):
    open_cohort(folder)
    description = json.loads((folder / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "braincase"
    assert (folder / "participants.tsv").read_text() == (
        "participant_id\tdiagnosis\tsex\tsite\n"
        "sub-002\tCN\tM\t02\n"
        "sub-003\tCN\tn/a\t1\n"
        "sub-010\tAD\tF\t01\n"
    )
    assert (folder / "sub-002" / "sub-002_sessions.tsv").read_text() == (
        "session_id\tage\nses-M00\t64.0\nses-M12\tn/a\n"
    )
    sidecar = json.loads(sidecar_path(image_path(folder, HALF_GRID, SCANS[0])).read_text())
    assert sidecar["SkullStripped"] is True
    assert sidecar["Labels"] == dict(SCANS[0].labels)
    assert sidecar["Transform"] == np.eye(4).tolist()


def test_whatever_is_not_bids_at_the_top_is_named_in_bidsignore(folder):
    open_cohort(folder)
    bids = {"dataset_description.json", "README.md", "participants.tsv", ".bidsignore"}
    others = {path.name for path in folder.iterdir() if not path.name.startswith("sub-")} - bids
    assert others == {"packed", "census.json"}
    assert others <= set((folder / ".bidsignore").read_text().splitlines())


def test_a_label_that_changes_between_visits_leaves_the_participants_table(folder):
    put(folder, scan_of("003", "M24", diagnosis="AD", age=79.25, sex=None, site="1"))
    open_cohort(folder)
    assert "diagnosis" not in (folder / "participants.tsv").read_text()
    assert (folder / "sub-003" / "sub-003_sessions.tsv").read_text() == (
        "session_id\tdiagnosis\tage\nses-M00\tCN\t77.25\nses-M24\tAD\t79.25\n"
    )


def test_a_person_without_sessions_beside_one_with_sessions_loses_no_label(folder):
    put(folder, scan_of("004", diagnosis="CN", age=50, sex="F", site="02"))
    open_cohort(folder)
    table = pd.read_csv(folder / "participants.tsv", sep="\t", dtype=str, keep_default_na=False)
    assert dict(zip(table.participant_id, table.age, strict=True)) == {
        "sub-002": "n/a",
        "sub-003": "n/a",
        "sub-004": "50",
        "sub-010": "n/a",
    }
    assert not (folder / "sub-004" / "sub-004_sessions.tsv").exists()


def test_equal_scans_give_equal_files(folder, tmp_path):
    for scan in reversed(SCANS):
        put(tmp_path / "again" / "cohort", scan)
    open_cohort(folder), open_cohort(tmp_path / "again" / "cohort")
    here, there = everything_in(folder), everything_in(tmp_path / "again" / "cohort")
    for files in (here, there):
        files.pop("packed/packed.json")  # holds the time stamps of the files
    assert here == there


def test_a_cohort_can_be_opened_by_a_relative_path(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert len(open_cohort(Path())) == len(SCANS)
    assert open_cohort(folder).table.image[0].startswith("sub-002/")


# Resuming


def test_a_case_counts_only_when_image_and_sidecar_are_there(folder):
    scan = SCANS[0]
    assert has_case(folder, HALF_GRID, scan, RECIPE)
    assert not has_case(folder, STANDARD_GRID, scan, RECIPE)
    assert not has_case(folder, HALF_GRID, scan_of("999"), RECIPE)
    image = image_path(folder, HALF_GRID, scan)
    sidecar = sidecar_path(image)
    whole = sidecar.read_text()
    sidecar.write_text(whole[:-20])
    assert not has_case(folder, HALF_GRID, scan, RECIPE)
    sidecar.unlink()
    assert not has_case(folder, HALF_GRID, scan, RECIPE)
    sidecar.write_text(whole)
    image.unlink()
    assert not has_case(folder, HALF_GRID, scan, RECIPE)


def test_a_case_of_another_recipe_does_not_count(folder):
    same = {"n4": True, "levels_mm": [8, 4], "intensity": "gamma18"}
    assert has_case(folder, HALF_GRID, SCANS[0], same)
    assert not has_case(folder, HALF_GRID, SCANS[0], {**RECIPE, "n4": False})


def test_labels_that_the_source_corrected_reach_the_table(folder):
    open_cohort(folder)
    sidecar = sidecar_path(image_path(folder, HALF_GRID, SCANS[2]))
    written = sidecar.stat().st_mtime_ns
    update_labels(folder, HALF_GRID, SCANS[2])
    assert sidecar.stat().st_mtime_ns == written  # nothing to pack again
    update_labels(folder, HALF_GRID, scan_of("002", "M00", diagnosis="AD", age=64.0))
    table = open_cohort(folder).table.set_index("scan_id")
    assert table.diagnosis["sub-002_ses-M00"] == "AD"
    assert has_case(folder, HALF_GRID, SCANS[2], RECIPE)


@pytest.mark.parametrize(
    ("told", "size"),
    [("1412.6", 1413.0), ("1e400", None), ("null", None), ('"large"', None), ("[1]", None)],
)
def test_the_measured_size_of_a_brain_is_a_label_where_it_is_a_number(folder, told, size):
    path = sidecar_path(image_path(folder, HALF_GRID, SCANS[0]))
    about = {**json.loads(path.read_text()), "Quality": {"Measures": {"brain_ml": "TOLD"}}}
    path.write_text(json.dumps(about).replace('"TOLD"', told))
    assert read_sidecar(path).scan.labels.get("brain_ml") == size
    # A column of that name in the source's own table is the user's.
    about["Labels"]["brain_ml"] = 1000
    path.write_text(json.dumps(about).replace('"TOLD"', told))
    assert read_sidecar(path).scan.labels["brain_ml"] == 1000


# Packing again


def test_an_unchanged_cohort_is_not_packed_again(folder):
    open_cohort(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    cohort = open_cohort(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    assert len(cohort) == len(SCANS)


def test_a_new_a_changed_and_a_removed_scan_are_noticed(folder):
    open_cohort(folder)
    put(folder, scan_of("001", diagnosis="CN"))
    assert open_cohort(folder).table.subject[0] == "001"
    image = image_path(folder, HALF_GRID, scan_of("001"))
    changed = np.zeros(HALF_GRID.shape, np.uint8)
    changed[3, 4, 5] = 200
    nibabel.save(nibabel.Nifti1Image(changed, HALF_GRID.affine), image)
    np.testing.assert_array_equal(open_cohort(folder).volumes[0], changed)
    image.unlink()
    sidecar_path(image).unlink()
    assert open_cohort(folder).table.subject[0] == "002"


@pytest.mark.parametrize("damaged", ["packed.json", "table.jsonl", "volumes-000.npy"])
def test_a_damaged_or_lost_packed_file_is_made_again(folder, damaged):
    open_cohort(folder)
    path = folder / "packed" / damaged
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert len(open_cohort(folder)) == len(SCANS)
    path.unlink()
    cohort = open_cohort(folder)
    assert path.exists()
    np.testing.assert_array_equal(cohort.volumes[3], volume_of(SCANS[1]))


def test_ranks_that_open_a_stale_cohort_together_pack_it_once(folder, capfd):
    with ThreadPoolExecutor(4) as pool:
        with packing_lock(folder / "packed"):
            opening = [pool.submit(open_cohort, folder) for _ in range(4)]
            time.sleep(0.5)  # all of them have found it stale by now, and wait
        cohorts = [future.result() for future in opening]
    assert capfd.readouterr().err.count(f"packing: {len(SCANS)}/{len(SCANS)}") == 1
    for cohort in cohorts:
        np.testing.assert_array_equal(cohort.volumes[3], volume_of(SCANS[1]))


# Scans that cannot be used


def save(path: Path, volume: np.ndarray, affine: np.ndarray = HALF_GRID.affine) -> None:
    nibabel.save(nibabel.Nifti1Image(volume, affine), path)


def cut_short(image: Path) -> None:
    image.write_bytes(image.read_bytes()[:5000])


def damage_a_byte(image: Path) -> None:
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 255
    image.write_bytes(content)


def make_nan(image: Path) -> None:
    volume = np.ones(HALF_GRID.shape, np.float32)
    volume[1, 2, 3:5] = np.nan
    save(image, volume)


def shift(image: Path) -> None:
    affine = HALF_GRID.affine.copy()
    affine[0, 3] += 4
    save(image, volume_of(SCANS[2]), affine)


DAMAGES = {
    "the image is missing": Path.unlink,
    "cannot be read (Compressed file ended": cut_short,
    "cannot be read (CRC check failed": damage_a_byte,
    "cannot be read (": lambda image: image.write_bytes(b""),
    "shape (40, 48, 39); expected (40, 48, 40)": lambda image: save(
        image, np.ones((40, 48, 39), np.uint8)
    ),
    "2 voxels that are no number": make_nan,
    "a constant volume (all 0)": lambda image: save(image, np.zeros(HALF_GRID.shape, np.uint8)),
    "another affine": shift,
    "float32 values; expected whole numbers": lambda image: save(
        image, volume_of(SCANS[2]).astype(np.float32) / 255
    ),
    "the file is missing": lambda image: sidecar_path(image).unlink(),
    "no Subject or no Labels": lambda image: sidecar_path(image).write_text("{}"),
    "JSON of type list": lambda image: sidecar_path(image).write_text("[]"),
    "cannot be read (Expecting": lambda image: sidecar_path(image).write_text("{"),
    "a label 'age' of several values": lambda image: sidecar_path(image).write_text(
        '{"Subject": "002", "Session": "M00", "Labels": {"age": [1, 2]}}'
    ),
    "the sidecar of sub-1; expected that of sub-002_ses-M00": lambda image: sidecar_path(
        image
    ).write_text('{"Subject": "1", "Labels": {}}'),
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_a_scan_that_cannot_be_used_is_dropped_with_its_reason(folder, reason):
    image = image_path(folder, HALF_GRID, SCANS[2])
    DAMAGES[reason](image)
    cohort = open_cohort(folder)
    assert sorted(cohort.table.scan_id) == sorted(
        scan.scan_id for scan in SCANS if scan != SCANS[2]
    )
    for row, scan_id in enumerate(cohort.table.scan_id):
        scan = next(scan for scan in SCANS if scan.scan_id == scan_id)
        np.testing.assert_array_equal(cohort.volumes[row], volume_of(scan))
    [(where, why)] = census_of(folder)["dropped"]
    assert where == image.relative_to(folder).as_posix()
    assert why.startswith(reason)
    assert "\n" not in why


def test_whole_numbers_saved_as_floats_by_another_tool_are_still_good(folder):
    image = image_path(folder, HALF_GRID, SCANS[2])
    save(image, volume_of(SCANS[2]).astype(np.float64))
    np.testing.assert_array_equal(open_cohort(folder).volumes[0], volume_of(SCANS[2]))
    assert census_of(folder)["dropped"] == []


def test_what_is_mended_leaves_the_census_and_what_preparation_dropped_stays(folder):
    image = image_path(folder, HALF_GRID, SCANS[2])
    image.unlink()
    census = take_census(SCANS, [("/raw/CT.nii", "not a T1w head")])
    finish_cohort(folder, HALF_GRID, RECIPE, census)
    assert [where for where, _ in census_of(folder)["dropped"]] == [
        "/raw/CT.nii",
        image.relative_to(folder).as_posix(),
    ]
    put(folder, SCANS[2])
    open_cohort(folder)
    assert census_of(folder)["dropped"] == [["/raw/CT.nii", "not a T1w head"]]


def test_the_census_counts_what_can_be_used_by_the_asked_label(folder):
    finish_cohort(folder, HALF_GRID, RECIPE, take_census(SCANS), label_column="site")
    census = census_of(folder)
    assert (census["people"], census["scans"]) == (3, 5)
    assert census["labels"] == {"01": 2, "02": 2, "1": 1}
    put(folder, scan_of("009", site="02"))
    open_cohort(folder)
    assert census_of(folder)["labels"] == {"01": 2, "02": 3, "1": 1}


def test_the_same_voxels_under_two_names_are_reported(folder):
    twin = scan_of("777", diagnosis="CN")
    more = {"Recipe": RECIPE}
    write_case(folder, HALF_GRID, PreparedScan(twin, volume_of(SCANS[0]), more))
    open_cohort(folder)
    assert census_of(folder)["duplicates"] == [["sub-010_ses-M12", "sub-777"]]


def test_a_person_of_two_sexes_is_reported(folder):
    put(folder, scan_of("010", "M24", diagnosis="AD", sex="M"))
    open_cohort(folder)
    [line] = census_of(folder)["conflicts"]
    assert "010" in line
    assert "sex" in line


# A cohort that cannot be used


def fails(match: str, call, *arguments) -> None:
    with pytest.raises(CohortError, match=match) as error:
        call(*arguments)
    assert "\n" not in str(error.value)


def test_nothing_there_is_one_line(tmp_path):
    fails("no such folder", open_cohort, tmp_path / "nowhere")
    fails("no prepared scans", open_cohort, tmp_path)
    (tmp_path / "sub-1" / "anat").mkdir(parents=True)
    (tmp_path / "sub-1" / "anat" / "sub-1_T1w.nii.gz").write_bytes(b"a raw data set")
    fails("no prepared scans", open_cohort, tmp_path)
    assert not (tmp_path / "packed").exists()


def test_no_usable_scan_at_all_is_one_line(tmp_path):
    put(tmp_path, SCANS[0]).write_bytes(b"")
    fails("no usable scan", open_cohort, tmp_path)
    assert not (tmp_path / "packed" / "packed.json").exists()


def test_two_recipes_in_one_folder_are_refused_with_an_example_of_each(folder):
    put(folder, scan_of("050"), {**RECIPE, "n4": False})
    fails("2 preprocessing recipes .sub-002_ses-M00, sub-050|sub-050, sub-002", open_cohort, folder)


def test_another_recipe_than_the_asked_one_is_refused_and_told_apart(folder):
    assert len(open_cohort(folder, RECIPE)) == len(SCANS)
    other = {**RECIPE, "n4": False}
    fails("n4=True.; expected n4=False", open_cohort, folder, other)
    fails("n4=True.; expected", finish_cohort, folder, HALF_GRID, other, take_census(SCANS))


def test_two_resolutions_in_one_folder_are_refused(folder):
    put(folder, SCANS[0], grid=STANDARD_GRID)
    fails("2 resolutions .2 and 4 mm", open_cohort, folder)


def test_another_resolution_than_the_asked_one_is_refused(folder):
    fails("4 mm; expected 2 mm", finish_cohort, folder, STANDARD_GRID, RECIPE, take_census(SCANS))


def test_an_unknown_column_names_the_known_ones(folder):
    cohort = open_cohort(folder)
    with pytest.raises(
        UsageError, match=r"no column 'dx'; expected one of .*diagnosis, age"
    ) as error:
        cohort.column("dx")
    assert error.value.exit_code == 2
    with pytest.raises(UsageError):
        cohort.rows_with("dx", ["CN"])


def test_rows_with_a_label(folder):
    cohort = open_cohort(folder)
    np.testing.assert_array_equal(cohort.rows_with("diagnosis", ["AD"]), [3, 4])
    np.testing.assert_array_equal(cohort.rows_with("diagnosis", ["AD", "CN"]), range(5))
    np.testing.assert_array_equal(cohort.rows_with("diagnosis", []), [])


def test_what_does_not_fit_is_not_written(tmp_path):
    scan = SCANS[0]
    for volume in (volume_of(scan)[1:], volume_of(scan).astype(np.float32)):
        with pytest.raises(ScanError, match="expected uint8"):
            write_case(tmp_path, HALF_GRID, PreparedScan(scan, volume, {}))
    for name in ("../../etc", "a_b", "a/b", ""):
        with pytest.raises(ScanError, match="letters and digits"):
            put(tmp_path, scan_of(name))
    with pytest.raises(UsageError, match="label 'session'"):
        put(tmp_path, Scan(Path("x"), "1", "2", {"session": "3"}))
    assert not any(tmp_path.rglob("*"))


# A full disk: every write beyond a size really fails, with the system's own error


@contextmanager
def files_at_most(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_while_writing_a_case_leaves_whole_files_only(folder):
    before = everything_in(folder)
    new = scan_of("100", diagnosis="CN")
    with files_at_most(20_000), pytest.raises(OSError, match="File too large"):
        put(folder, new)
    assert everything_in(folder) == before
    assert not has_case(folder, HALF_GRID, new, RECIPE)
    assert len(open_cohort(folder)) == len(SCANS)


def test_a_full_disk_while_packing_leaves_whole_files_and_the_next_run_goes_on(folder):
    before = everything_in(folder)
    with files_at_most(200_000), pytest.raises(OSError, match="File too large"):
        open_cohort(folder)
    after = everything_in(folder)
    after.pop("packed/.lock")
    assert after == before
    assert len(open_cohort(folder)) == len(SCANS)


@pytest.mark.parametrize("unwritable", ["participants.tsv", "census.json"])
def test_a_packing_that_broke_off_is_never_taken_for_a_whole_one(folder, unwritable):
    cohort = open_cohort(folder)
    image = folder / cohort.table.image[0]
    whole, written = image.read_bytes(), image.stat().st_mtime_ns
    (folder / unwritable).unlink()
    (folder / unwritable).mkdir()
    save(image, volume_of(SCANS[0]))
    with pytest.raises(OSError, match="Is a directory"):
        open_cohort(folder)
    image.write_bytes(whole)
    os.utime(image, ns=(written, written))  # as it was when it was packed whole
    (folder / unwritable).rmdir()
    np.testing.assert_array_equal(open_cohort(folder).volumes[0], volume_of(SCANS[2]))
    assert (folder / unwritable).is_file()


def test_replacing_a_case_never_leaves_an_old_sidecar_beside_a_new_image(folder):
    scan = SCANS[0]
    with files_at_most(20_000), pytest.raises(OSError, match="File too large"):
        put(folder, scan, {**RECIPE, "n4": False})
    assert not has_case(folder, HALF_GRID, scan, RECIPE)
    whole = gzip.decompress(image_path(folder, HALF_GRID, scan).read_bytes())
    assert whole.endswith(volume_of(scan).tobytes(order="F"))


def test_a_leftover_of_kill_9_is_no_scan(folder):
    image = image_path(folder, HALF_GRID, SCANS[0])
    image.with_name(f".writing-{os.getpid()}-{image.name}").write_bytes(b"half")
    assert len(open_cohort(folder)) == len(SCANS)
    assert census_of(folder)["dropped"] == []

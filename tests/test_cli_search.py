"""`braincase search` as a radiologist meets it: simulated people, a really trained model."""

from __future__ import annotations

import html
import json
import shutil
from contextlib import closing
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import psutil
import pytest

from braincase.cohort.cohort import Cohort
from braincase.errors import BraincaseError
from braincase.gallery import create_gallery, open_gallery
from braincase.images.atlas import label_volume
from braincase.images.geometry import HALF_GRID
from braincase.images.volume import write_volume
from braincase.models.card import write_card
from braincase.models.embed import encoder_of
from braincase.models.model import load_model, save_model
from braincase.models.settings import ModelSettings
from braincase.models.train import train_model
from braincase.population.disease_axes import disease_axes_of
from braincase.search.read_query import read_query
from braincase.simulate.head import Scanning, simulate_head
from braincase.sources.table import read_table
from braincase.workflows.index_cohort import index_cohort
from markers import write_dicom
from test_cli import only_line, run

QUICK = ModelSettings("quick", channels=4, epochs=4, batch_size=16)


@pytest.fixture(scope="module")
def model(clinic: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    trained = train_model(clinic, np.arange(len(clinic)), QUICK)
    save_model(folder, trained, write_card(trained))
    return folder


@pytest.fixture(scope="module")
def gallery(clinic: Cohort, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery") / "g"
    loaded = load_model(model)
    index_cohort(folder, clinic, encoder_of(loaded))
    return folder


@pytest.fixture(scope="module")
def patient(clinic: Cohort) -> str:
    return str(clinic.table[clinic.table["diagnosis"] == "AD"]["scan_id"].iloc[0])


def found(capsys, gallery, scan, *words) -> dict:
    """Search, and return what --json prints."""
    code, out, err = run(capsys, "search", scan, "--gallery", gallery, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def ids(answer: dict) -> list[str]:
    return [hit["scan_id"] for hit in answer["hits"]]


def test_the_printed_answer_tells_hits_neighbours_outcome_and_doubt(
    gallery: Path, patient: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "search", patient, "--gallery", gallery, "-k", 8, "--why")
    assert code == 0
    answer = found(capsys, gallery, patient, "-k", 8)
    for hit in answer["hits"]:
        assert hit["scan_id"] in out  # never shortened
        row = next(line for line in out.splitlines() if hit["scan_id"] in line)
        assert f" {int(round(100 * hit['closer_than'], 2))} % " in row
    assert f"{patient}, the query itself" in out
    assert "What the neighbours say (diagnosis):" in out
    assert "95 % interval" in out
    assert "calibrated on this gallery" in out
    assert "of 56 people the nearest other person is as far away" in out
    assert "most alike in" in out
    assert "WARNING" not in out
    followed = [hit for hit in answer["hits"] if hit["outcome"]]
    assert followed
    assert "What became of them:" in out
    assert f"{followed[0]['scan_id']}: " in out
    assert "after 1.0 y" in out


def test_a_search_closes_the_gallery_it_opened(
    gallery: Path, patient: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found(capsys, gallery, patient)
    opened = [Path(file.path) for file in psutil.Process().open_files()]
    assert not [path for path in opened if path.is_relative_to(gallery)]


def test_something_that_is_like_no_case_is_warned_of(
    clinic: Cohort, model: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = clinic.folder / clinic.table["image"].iloc[0]
    like_t2 = tmp_path / image.name
    held = nibabel.load(image)
    data = np.asarray(held.dataobj)
    nibabel.save(nibabel.Nifti1Image(np.where(data > 0, 255 - data, 0), held.affine), like_t2)
    sidecar = image.with_name(image.name.replace(".nii.gz", ".json"))
    shutil.copy(sidecar, tmp_path / sidecar.name)
    words = ("search", like_t2, "--gallery", gallery, "--model", model, "--subject", "x")
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert out.startswith("WARNING: No similar case in this gallery")


def test_a_mask_searches_inside_it_alone_or_beside_regions(
    gallery: Path, patient: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, names = label_volume(HALF_GRID)
    mask = tmp_path / "temporal.nii.gz"
    chosen = np.isin(labels, [i for i, name in enumerate(names) if "temporal" in name])
    write_volume(mask, chosen, HALF_GRID.affine)
    inside = found(capsys, gallery, patient, "--region-mask", mask)
    assert inside["weights_name"] == "mask temporal.nii.gz"
    assert inside["hits"][0]["distance"] < found(capsys, gallery, patient)["hits"][0]["distance"]
    both = found(capsys, gallery, patient, "--region-mask", mask, "--region", "insula,precuneus:2")
    assert both["weights_name"] == "insula + 2 precuneus + mask temporal.nii.gz"


def test_the_mask_may_lie_on_any_grid_in_mni_space(
    gallery: Path, patient: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = np.zeros(HALF_GRID.shape, bool)
    cell[16:24, 16:24, 16:24] = True  # exactly one cell
    write_volume(tmp_path / "ours.nii.gz", cell, HALF_GRID.affine)
    finer = np.repeat(np.repeat(np.repeat(cell, 2, 0), 2, 1), 2, 2)[::-1]  # left-handed, 2 mm
    affine = HALF_GRID.affine.copy()
    affine[:3, :3] /= 2
    affine[:3, 3] -= 1
    affine[0, 3] += 2 * (finer.shape[0] - 1)
    affine[0, 0] *= -1
    write_volume(tmp_path / "theirs.nii.gz", finer, affine)
    ours = found(capsys, gallery, patient, "--region-mask", tmp_path / "ours.nii.gz")
    theirs = found(capsys, gallery, patient, "--region-mask", tmp_path / "theirs.nii.gz")
    assert ids(ours) == ids(theirs)
    distances = [[hit["distance"] for hit in one["hits"]] for one in (ours, theirs)]
    np.testing.assert_allclose(*distances)


def test_the_page_tells_what_the_terminal_tells(
    gallery: Path, patient: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "hits.html"
    words = ("search", patient, "--gallery", gallery, "-k", 8, "--why", "--html", page)
    _, out, _ = run(capsys, *words)
    text = html.unescape(page.read_text())
    told = [line.strip() for line in out.splitlines() if line.startswith("  ")]
    assert len(told) > 10
    reasons = [line for line in told if "most alike in" in line]
    assert len(reasons) == 8
    assert all(line in text for line in reasons)
    for hit in found(capsys, gallery, patient, "-k", 8)["hits"]:
        assert (
            f"closer than {int(round(100 * hit['closer_than'], 2))} % of pairs of people here"
            in text
        )
    for heading in (
        "What the neighbours say (diagnosis)",
        "What became of them",
        "How usual such a distance is",
    ):
        assert f"<h2>{heading}</h2>" in text


def test_examples_pull_and_push_the_query(
    gallery: Path, patient: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = found(capsys, gallery, patient, "-k", 30)
    far, near = plain["hits"][-1]["scan_id"], plain["hits"][0]["scan_id"]
    moved = found(capsys, gallery, patient, "-k", 30, "--plus", far, "--minus", near)
    assert ids(moved).index(far) < ids(plain).index(far)
    assert near not in ids(moved)[:1]
    assert any(f"towards {far} and away from {near}" in note for note in moved["notes"])
    # Whose scan it is, and how typical, still is said of the scan itself.
    assert {hit["subject"] for hit in moved["same_subject"]} == {plain["own_subject"]}
    assert moved["typicality"]["distance"] == plain["typicality"]["distance"]


def test_older_finds_older_people(
    clinic: Cohort, gallery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def mean_age(answer: dict) -> float:
        return float(np.mean([hit["labels"]["age"] for hit in answer["hits"]]))

    scans = clinic.table["scan_id"].iloc[:8]
    older = [mean_age(found(capsys, gallery, s, "-k", 8, "--older", 15)) for s in scans]
    younger = [mean_age(found(capsys, gallery, s, "-k", 8, "--older", -15)) for s in scans]
    assert np.mean(older) > np.mean(younger) + 1
    assert any(
        "15 years younger" in n
        for n in found(capsys, gallery, scans.iloc[0], "--older", -15)["notes"]
    )


def test_normal_anatomy_and_abnormality_rank_by_what_they_say(
    gallery: Path, patient: str, capsys: pytest.CaptureFixture[str]
) -> None:
    by_code = found(capsys, gallery, patient)
    with closing(open_gallery(gallery)) as opened:
        query, everyone = opened.get(patient), opened.cases()
        apart = disease_axes_of(opened).between(query.code, query.labels, everyone)
    for kind, field in (("normal", "normal_anatomy"), ("abnormality", "abnormality")):
        ranked = found(capsys, gallery, patient, "-k", 10, "--similar-by", kind)
        nearest: dict[str, tuple[float, str]] = {}  # of each person the scan that is most alike
        for case in everyone:
            pair = (getattr(apart[case.scan_id], field), case.scan_id)
            nearest[case.subject] = min(nearest.get(case.subject, pair), pair)
        del nearest[query.subject]
        expected = sorted(nearest.values())[:10]
        assert [(h["distance"], h["scan_id"]) for h in ranked["hits"]] == expected
        told = [h["normality"][field] for h in ranked["hits"]]
        assert told == pytest.approx([far for far, _ in expected])
        assert ranked["weights_name"] == field.replace("_", " ")
        judged = {"judged": "ranked overall", "text": ranked["typicality"]["text"]}
        assert ranked["typicality"] == {**by_code["typicality"], **judged}
        assert ranked["neighbours"]["calibration"] is None


def test_a_label_of_choice_is_voted_on(
    gallery: Path, patient: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = found(capsys, gallery, patient, "--label", "sex")
    assert answer["neighbours"]["label"] == "sex"
    assert {share["value"] for share in answer["neighbours"]["shares"]} <= {"F", "M"}


def test_explanations_are_maps_in_mni_space_numbers_and_a_picture(
    gallery: Path, patient: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "why"
    answer = found(capsys, gallery, patient, "-k", 2, "--explain", out)
    assert answer["missing"] == []
    assert json.loads((out / "answer.json").read_text())["hits"] == answer["hits"]
    folders = sorted(path.name for path in out.iterdir() if path.is_dir())
    assert folders == [f"{i + 1:02}_{name}" for i, name in enumerate(ids(answer))] + ["query"]
    for folder, hit in zip(folders, answer["hits"], strict=False):
        for name in ("difference", "agreement", "deviation"):
            image = nibabel.load(out / folder / f"{name}.nii.gz")
            assert image.shape == HALF_GRID.shape
            np.testing.assert_allclose(image.affine, HALF_GRID.affine)
        told = json.loads((out / folder / "numbers.json").read_text())
        parts = told["explanation"]
        assert parts["squared_distance"] == pytest.approx(hit["distance"] ** 2, rel=1e-5)
        assert np.sum(parts["by_cell"]) == pytest.approx(parts["squared_distance"])
        assert sum(parts["by_region"].values()) == pytest.approx(parts["squared_distance"])
        assert set(told["z_of_hit"]) == set(told["z_of_query"])
        assert (out / folder / "why.png").stat().st_size > 10_000
    difference = nibabel.load(out / folders[0] / "difference.nii.gz").get_fdata()
    agreement = nibabel.load(out / folders[0] / "agreement.nii.gz").get_fdata()
    np.testing.assert_allclose(agreement, np.exp(-0.5 * difference**2), atol=1e-4)
    deviation = nibabel.load(out / "query" / "deviation.nii.gz").get_fdata()
    assert 0.3 < deviation[label_volume(HALF_GRID)[0] >= 0].std() < 3
    code, _, err = run(capsys, "search", patient, "--gallery", gallery, "--explain", out, "--json")
    assert code == 2
    assert "exists already" in only_line(err)


def test_with_the_model_the_voxels_it_saw_are_told_too(
    clinic: Cohort,
    model: Path,
    gallery: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = clinic.folder / clinic.table["image"].iloc[0]
    words = ("--model", model, "-k", 1, "--explain", tmp_path / "why")
    answer = found(capsys, gallery, image, *words)
    (folder,) = (tmp_path / "why").glob("01_*")
    seen = nibabel.load(folder / "seen.nii.gz").get_fdata()
    told = json.loads((folder / "numbers.json").read_text())["seen"]
    assert seen.sum() == pytest.approx(told["sum"], rel=1e-4)
    assert sum(told["by_region"].values()) == pytest.approx(told["sum"], rel=1e-4)
    assert told["sum"] == pytest.approx(answer["hits"][0]["distance"] ** 2, rel=0.05)


def test_without_controls_the_spread_of_all_people_scales_the_maps(
    tiny: Cohort, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_model(model)
    index_cohort(tmp_path / "g", tiny, encoder_of(loaded))
    words = ("-k", 1, "--explain", tmp_path / "why")
    answer = found(capsys, tmp_path / "g", str(tiny.table["scan_id"].iloc[0]), *words)
    assert any("too few controls" in line for line in answer["missing"])
    assert list((tmp_path / "why").glob("01_*/difference.nii.gz"))
    assert not list((tmp_path / "why").rglob("deviation.nii.gz"))


def test_a_case_whose_image_is_gone_is_explained_in_numbers(
    clinic: Cohort, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "cohort"
    shutil.copytree(clinic.folder, moved)
    loaded = load_model(model)
    copied = Cohort(moved, clinic.grid, clinic.recipe, clinic.table, clinic.volumes)
    index_cohort(tmp_path / "g", copied, encoder_of(loaded))
    scan_id = str(clinic.table["scan_id"].iloc[0])
    (first,) = ids(found(capsys, tmp_path / "g", scan_id, "-k", 1))
    row = clinic.table.set_index("scan_id").loc[first]
    (moved / row["image"]).unlink()
    words = ("-k", 1, "--explain", tmp_path / "why")
    answer = found(capsys, tmp_path / "g", scan_id, *words)
    assert answer["missing"] == [f"{first}: no maps, its image is not at hand"]
    assert (tmp_path / "why" / f"01_{first}" / "numbers.json").is_file()


def test_saved_hits_are_a_table_for_pandas_and_braincase(
    gallery: Path, patient: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "hits.tsv"
    answer = found(capsys, gallery, patient, "-k", 6, "--save-hits", table)
    read = pd.read_csv(table, sep="\t", dtype={"subject": str})
    assert read["scan_id"].tolist() == ids(answer)
    np.testing.assert_allclose(read["distance"], [h["distance"] for h in answer["hits"]], rtol=1e-4)
    scans, _ = read_table(table)
    assert [scan.scan_id for scan in scans] == ids(answer)
    assert all(scan.path.is_file() for scan in scans)
    code, _, err = run(capsys, "search", patient, "--gallery", gallery, "--save-hits", table)
    assert code == 2
    assert "--force" in only_line(err)


def test_age_and_sex_of_a_scan_can_be_told(
    clinic: Cohort, model: Path, gallery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = clinic.folder / clinic.table["image"].iloc[0]
    words = ("--model", model, "-k", 1, "--normality")
    own = found(capsys, gallery, image, *words)["normality"]
    older = found(capsys, gallery, image, *words, "--age", 95, "--sex", "F")
    assert older["query_labels"]["age"] == 95
    assert older["normality"] != own


def test_the_series_of_a_dicom_folder_is_chosen(tmp_path: Path) -> None:
    head = simulate_head(1, scanning=Scanning(zooms_mm=(2, 2, 2.4), noise=0.02, bias=0))
    noise = np.random.default_rng(0).integers(0, 900, head.data.shape).astype(np.int16)
    for number, data in ((3, noise), (7, head.data.astype(np.int16))):
        write_dicom(tmp_path / f"s{number}", data, head.affine, SeriesNumber=number)
    recipe = {"intensity": "white-matter"}
    chosen = read_query(tmp_path, HALF_GRID, recipe, series=7)
    assert 0.1 < (chosen.volume > 0).mean() < 0.6
    for number, message in ((3, "s3|head"), (9, "0 T1-weighted scans in series 9")):
        with pytest.raises(BraincaseError, match=message):
            read_query(tmp_path, HALF_GRID, recipe, series=number)


def test_an_old_version_gives_its_old_answer(
    clinic: Cohort, model: Path, tmp_path: Path, patient: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_model(model)
    index_cohort(tmp_path / "g", clinic, encoder_of(loaded))
    before = found(capsys, tmp_path / "g", patient)
    opened = open_gallery(tmp_path / "g")
    opened.remove([patient, ids(before)[0]])
    opened.close()
    again = found(capsys, tmp_path / "g", patient, "--as-of", before["gallery_version"])
    assert again == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("CASE", "--label", "diagnose"), 2, "no column 'diagnose'"),
        (("CASE", "--where", "agee > 3"), 2, "Did you mean 'age'"),
        (("CASE", "--where", "age > "), 2, "--where"),
        (("CASE", "-k", "57"), 2, "at most the 56 people"),
        (("CASE", "-k", "0"), 2, "at least 1"),
        (("CASE", "--region", "hipocampus"), 2, "Did you mean"),
        (("CASE", "--region", "hippocampus:-1"), 2, "weight"),
        (("CASE", "--region-mask", "FAR"), 2, "no voxel inside the brain's field of view"),
        (("CASE", "--region-mask", "EMPTY"), 1, "every voxel is 0"),
        (("CASE", "--region-mask", "JUNK"), 1, "junk.nii.gz"),
        (("CASE", "--region-mask", "NOTHING"), 2, "no such file"),
        (("CASE", "--region", "insula", "--similar-by", "normal"), 2, "one of the two"),
        (("CASE", "--similar-by", "looks"), 2, "code or normal or abnormality"),
        (("CASE", "--plus", "sub-nobody"), 2, "--plus: no scan 'sub-nobody'"),
        (("CASE", "--minus", "sub-nobody"), 2, "--minus: no scan 'sub-nobody'"),
        (("CASE", "--as-of", "99"), 2, "--as-of"),
        (("CASE", "--age", "400"), 2, "--age"),
        (("CASE", "--sex", "male"), 2, "F or M"),
        (("nobody",), 2, "no scan 'nobody'"),
        (("SCAN",), 2, "--model"),
        (("SCAN", "--model", "NOTHING"), 1, "no model.json"),
        (("JUNK", "--model", "MODEL"), 1, "junk.nii.gz"),
    ],
)
def test_a_mistake_gets_one_clear_line_and_writes_nothing(
    words: tuple[str, ...],
    code: int,
    message: str,
    clinic: Cohort,
    model: Path,
    gallery: Path,
    patient: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = np.zeros((8, 8, 8), np.uint8)
    one[2:4, 2:4, 2:4] = 1
    far_away = np.diag([4.0, 4, 4, 1])
    far_away[:3, 3] = 900
    write_volume(tmp_path / "far.nii.gz", one, far_away)
    write_volume(tmp_path / "empty.nii.gz", 0 * one, HALF_GRID.affine)
    (tmp_path / "junk.nii.gz").write_bytes(b"no image at all")
    places = {
        "CASE": patient,
        "SCAN": str(clinic.folder / clinic.table["image"].iloc[0]),
        "MODEL": str(model),
        "FAR": str(tmp_path / "far.nii.gz"),
        "EMPTY": str(tmp_path / "empty.nii.gz"),
        "JUNK": str(tmp_path / "junk.nii.gz"),
        "NOTHING": str(tmp_path / "nothing"),
    }
    words = tuple(places.get(word, word) for word in words)
    outputs = ("--explain", tmp_path / "why", "--save-hits", tmp_path / "hits.tsv")
    found_code, out, err = run(capsys, "search", *words, "--gallery", gallery, *outputs)
    assert (found_code, out) == (code, "")
    assert message in only_line(err)
    assert not (tmp_path / "why").exists()
    assert not (tmp_path / "hits.tsv").exists()


def test_an_empty_a_damaged_and_a_foreign_gallery_are_told(
    clinic: Cohort, model: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = clinic.folder / clinic.table["image"].iloc[0]
    create_gallery(tmp_path / "empty", load_model(model).fingerprint, 4).close()
    create_gallery(tmp_path / "foreign", "f" * 64, 4).close()
    shutil.copytree(gallery, tmp_path / "damaged")
    record = tmp_path / "damaged" / "gallery.sqlite3"
    record.write_bytes(b"no database" + record.read_bytes()[11:])
    for name, message in (
        ("empty", "the gallery is empty"),
        ("foreign", "Codes of two models cannot be compared"),
        ("damaged", "damaged"),
    ):
        words = ("search", image, "--gallery", tmp_path / name, "--model", model)
        code, _, err = run(capsys, *words)
        assert code == 1
        assert message in only_line(err)


@pytest.mark.parametrize("name", ["not-a-t1w-head/Iguana.nii.gz", "not-a-t1w-head/CT_AVM.nii.gz"])
def test_a_query_that_is_no_t1w_head_is_refused(
    name: str, shared_data: Path, model: Path, gallery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("search", shared_data / name, "--gallery", gallery, "--model", model)
    code, out, err = run(capsys, *words)
    assert (code, out) == (1, "")
    assert Path(name).name in only_line(err)

"""The command line as a user meets it: whole jobs, one-line errors, exit codes, whole files."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from braincase.cli.arguments import with_options
from braincase.cli.main import app
from braincase.cohort.cohort import Cohort, PreparedScan, write_case
from braincase.cohort.region_volumes import REGION_VOLUMES
from braincase.images.geometry import HALF_GRID
from braincase.images.volume import write_volume
from braincase.simulate.head import Scanning, simulate_head
from braincase.simulate.truth import read_truth, volume_column
from braincase.sources.scan import Scan
from braincase.volumetry.regions import NAMES
from command_line import code_of, run

QUICK = 'name = "quick"\nchannels = 4\nepochs = 2\nbatch_size = 8\n'
ROOT = Path(__file__).parents[1]


def only_line(err: str) -> str:
    """The one line of an error; progress lines do not count."""
    lines = [line for line in err.splitlines() if line.startswith("braincase: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "quick.toml"
    path.write_text(QUICK)
    return path


@pytest.fixture(scope="module")
def model(tiny: Cohort, quick: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    words = ("train", tiny.folder, "--out", folder, "--settings", quick, "--classes", "CN,AD")
    assert code_of(*words) == 0
    return folder


@pytest.fixture(scope="module")
def gallery(tiny: Cohort, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery") / "g"
    assert code_of("index", tiny.folder, "--gallery", folder, "--model", model) == 0
    return folder


def test_a_held_out_scan_is_searched_with_and_its_person_set_apart(
    tiny: Cohort,
    model: Path,
    gallery: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = tiny.folder / tiny.table["image"].iloc[0]
    code, out, _ = run(
        capsys, "search", image, "--gallery", gallery, "--model", model, "-k", 5, "--json",
        "--picture", tmp_path / "hits.png", "--html", tmp_path / "hits.html",
    )  # fmt: skip
    result = json.loads(out)
    assert code == 0
    assert len(result["hits"]) == 5
    person = tiny.table["subject"].iloc[0]
    assert person not in {hit["subject"] for hit in result["hits"]}
    assert person in {hit["subject"] for hit in result["same_subject"]}
    assert (tmp_path / "hits.png").stat().st_size > 10_000
    assert "data:image/png" in (tmp_path / "hits.html").read_text()


def test_a_filter_holds_for_every_hit(
    tiny: Cohort, gallery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = "sex = 'F' and age > 60"
    scan_id = tiny.table["scan_id"].iloc[3]
    code, out, _ = run(
        capsys, "search", scan_id, "--gallery", gallery, "-k", 4, "--where", where, "--json"
    )
    assert code == 0
    hits = json.loads(out)["hits"]
    assert hits
    assert all(hit["labels"]["sex"] == "F" and hit["labels"]["age"] > 60 for hit in hits)


def test_preparing_prints_json_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = simulate_head(1, scanning=Scanning(zooms_mm=(3, 3, 3), stripped=True))
    write_volume(tmp_path / "raw" / "a.nii.gz", head.data, head.affine)
    (tmp_path / "raw" / "b.nii.gz").write_bytes(b"broken")
    code, out, err = run(
        capsys, "prepare", tmp_path / "raw", tmp_path / "c", "--workers", 1, "--json"
    )
    told = json.loads(out)
    # The whole scan lies beside its standard volume, and what that can show is said once.
    (view,) = (tmp_path / "c").rglob("*_res-1_desc-view_T1w.nii.gz")
    assert err.count("a face can be rendered") == 1
    again = ("prepare", tmp_path / "raw", tmp_path / "c", "--view", "none", "--workers", 1)
    code, _, err = run(capsys, *again)
    assert not view.exists()
    assert "face" not in err
    assert not list((tmp_path / "c").rglob("*desc-view*"))
    assert code == 0
    assert told["grades"] == {"pass": 1, "look": 0, "fail": 1}
    assert told["source"]["scans"] == 2
    assert told["census"]["scans"] == 1
    assert Path(told["page"]).is_file()


def test_training_prints_json_alone(
    tiny: Cohort, quick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--out", tmp_path / "m", "--settings", quick, "--classes", "CN,AD", "--json")
    code, out, _ = run(capsys, "train", tiny.folder, *words)
    assert code == 0
    about = json.loads((tmp_path / "m" / "model.json").read_text())
    assert json.loads(out)["fingerprint"] == about["fingerprint"]


def test_a_search_by_region_says_so_and_names_regions(
    tiny: Cohort, gallery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan_id = tiny.table["scan_id"].iloc[3]
    words = ("search", scan_id, "--gallery", gallery, "-k", 3, "--json")
    code, out, _ = run(capsys, *words, "--region", "hippocampus,left-temporal:0.5")
    assert code == 0
    result = json.loads(out)
    assert result["weights_name"] == "hippocampus + 0.5 left-temporal"
    for hit in result["hits"]:
        shares = [share for _, share in hit["regions"]]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1
    _, whole, _ = run(capsys, *words)
    assert json.loads(whole)["hits"][0]["distance"] > result["hits"][0]["distance"]
    code, _, err = run(capsys, *words, "--region", "hipocampus")
    assert code == 2
    assert "Did you mean" in only_line(err)


def test_an_evaluation_writes_a_report_and_goes_on_where_it_was(
    tiny: Cohort, quick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "plain.toml"
    plain.write_text(QUICK.replace("quick", "plain") + "alpha = 0.0\n")
    words = ("evaluate", tiny.folder, "--out", tmp_path / "out", "--run-folds", 1,
             "--models", f"{plain},{quick}", "--protocol", "all")  # fmt: skip
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert "report.html" in out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results) == {"paper", "honest", "confound"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "simulated" in page
    assert "Onga 2019" in page
    assert "http://" not in re.sub(r"http://www\.w3\.org\S*", "", page)  # self-contained
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "--force" in only_line(err)
    code, _, err = run(capsys, *words, "--force")
    assert code == 0
    assert "training" not in err  # the saved models serve


def test_simulate_goes_on_where_it_was_and_census_tells_who_is_there(
    tiny: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny.folder, tmp_path / "c", ignore=shutil.ignore_patterns("packed"))
    for subject in tiny.table["subject"].unique()[:3]:
        shutil.rmtree(tmp_path / "c" / f"sub-{subject}")
    code, out, _ = run(capsys, "simulate", tmp_path / "c", "--size", "tiny", "--workers", 1)
    assert code == 0
    assert "26 people, 34 scans" in out
    made = [
        (folder / tiny.table["image"].iloc[0]).read_bytes()
        for folder in (tmp_path / "c", tiny.folder)
    ]
    assert made[0] == made[1]
    code, out, _ = run(capsys, "census", tmp_path / "c", "--json")
    assert json.loads(out)["labels"] == {"AD": 16, "CN": 16, "EMCI": 2}


def test_calibrate_prints_asked_and_measured(
    tiny: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort = shutil.copytree(tiny.folder, tmp_path / "cohort")
    true = read_truth(tiny)[[volume_column(name) for name in NAMES]].to_numpy(np.float32)
    images = list(tiny.table["image_hash"])  # measured before: half a second a scan
    np.savez(cohort / REGION_VOLUMES, regions=list(NAMES), images=images, volumes=true)
    code, out, _ = run(capsys, "calibrate", cohort, "--figure", tmp_path / "f.png")
    assert code == 0
    assert "AD against CN (simulated)" in out
    assert out.count("\n| left-") > 35
    assert (tmp_path / "f.png").stat().st_size > 10_000
    code, _, err = run(capsys, "calibrate", cohort, "--figure", tmp_path / "f.png")
    assert code == 2
    assert "--force" in only_line(err)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("census", "no-such-folder"), 1, "no such folder"),
        (("train", "COHORT", "--out", "NEW", "--label", "diagnose"), 2, "no column 'diagnose'"),
        (("train", "COHORT", "--out", "NEW", "--classes", "CN,XX"), 2, "no scan with diagnosis"),
        (("train", "COHORT", "--out", "NEW", "--settings", "fancy"), 2, "no such settings"),
        (("train", "COHORT", "--out", "NEW", "--classes", "AD"), 1, "one class only"),
        (("evaluate", "COHORT", "--out", "NEW", "--label", "nothing"), 2, "no column 'nothing'"),
        (("evaluate", "COHORT", "--out", "NEW", "--folds", "50"), 2, "fold"),
        (("evaluate", "COHORT", "--out", "NEW", "--protocol", "fast"), 2, "paper, honest"),
        (("evaluate", "COHORT", "--out", "NEW", "--classes", "CN"), 1, "one class only"),
        (("index", "COHORT", "--gallery", "NEW", "--model", "NEW"), 1, "no model.json"),
        (("search", "sub-0001", "--gallery", "NEW"), 1, "gallery"),
        (("search", "nobody", "--gallery", "GALLERY"), 2, "no scan 'nobody'"),
        (("search", "CASE", "--gallery", "GALLERY", "-k", "999"), 2, "at most the 26 people"),
        (("search", "CASE", "--gallery", "GALLERY", "--where", "age >"), 2, "--where"),
        (("search", "CASE", "--gallery", "GALLERY", "--where", "agee = 1"), 2, "Did you mean"),
        (("simulate", "NEW", "--size", "huge"), 2, "tiny, small, paper"),
        (("simulate", "NEW", "--confounding", "2"), 2, "0 to 1"),
        (("simulate", "NEW", "--sise", "tiny"), 2, "--sise"),
        (("demo", "NEW", "--folds", "9"), 2, "1 to 5"),
    ],
)
def test_a_mistake_gets_one_clear_line(
    words: tuple[str, ...],
    code: int,
    message: str,
    tiny: Cohort,
    gallery: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {
        "COHORT": str(tiny.folder),
        "NEW": str(tmp_path / "new"),
        "GALLERY": str(gallery),
        "CASE": str(tiny.table["scan_id"].iloc[0]),
    }
    found, _, err = run(capsys, *[places.get(word, word) for word in words])
    assert found == code
    assert message in only_line(err)


def test_a_model_of_another_gallery_is_refused(
    tiny: Cohort, quick: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(QUICK + "seed = 7\nalpha = 0.0\n")
    run(capsys, "train", tiny.folder, "--out", tmp_path / "m", "--settings", other)
    image = tiny.folder / tiny.table["image"].iloc[0]
    code, _, err = run(capsys, "search", image, "--gallery", gallery, "--model", tmp_path / "m")
    assert code == 1
    assert "Codes of two models cannot be compared" in only_line(err)


def test_bad_scans_are_listed_and_never_stop_a_cohort(
    tiny: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(tiny.folder, folder, ignore=shutil.ignore_patterns("packed"))
    images = [folder / image for image in tiny.table["image"]]
    images[0].write_bytes(b"no image")
    constant = Scan(folder, tiny.table["subject"].iloc[1], tiny.table["session"].iloc[1])
    recipe = {"Recipe": tiny.recipe}
    write_case(
        folder, HALF_GRID, PreparedScan(constant, np.full(HALF_GRID.shape, 9, np.uint8), recipe)
    )
    code, out, _ = run(capsys, "census", folder, "--json")
    assert code == 0
    dropped = dict(json.loads(out)["dropped"])
    assert len(dropped) == 2
    assert all(reason for reason in dropped.values())


def test_two_recipes_in_one_cohort_are_refused(
    tiny: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(tiny.folder, folder, ignore=shutil.ignore_patterns("packed"))
    volume = tiny.volumes[0]
    write_case(
        folder, HALF_GRID, PreparedScan(Scan(folder, "new"), volume, {"Recipe": {"Name": "other"}})
    )
    code, _, err = run(capsys, "train", folder, "--out", tmp_path / "m")
    assert code == 1
    assert "2 preprocessing recipes" in only_line(err)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here (no root)")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_one_line_and_leaves_whole_files(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "simulate", small_disk / "c", "--size", "tiny", "--workers", 1)
    assert code == 1
    assert "no space left" in only_line(err)
    assert not list(small_disk.rglob(".writing-*"))


def test_ctrl_c_is_one_line_and_leaves_whole_files(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    command = [sys.executable, "-m", "braincase", "simulate", folder, "--size", "tiny"]
    process = subprocess.Popen(
        [*command, "--workers", "1"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts tests in the background makes them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not list(folder.rglob("*_T1w.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "goes on where it was" in only_line(err)
    assert not list(folder.rglob(".writing-*"))


def test_an_advice_of_the_library_names_options() -> None:
    assert with_options("Tell them with `age` and `sex`.") == "Tell them with --age and --sex."
    assert with_options("Use `k` or `regions`.") == "Use -k or --region."
    assert with_options("pip install 'x'") == "pip install 'x'"


def test_help_answers_at_once() -> None:
    before = os.times()
    subprocess.run([sys.executable, "-m", "braincase", "--help"], check=True, capture_output=True)
    after = os.times()
    # Processor time: 0.2 s where nothing else runs; heavy imports would cost 2 s and more.
    used = after.children_user + after.children_system
    assert used - before.children_user - before.children_system < 1.0


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__
        assert (
            f"braincase {command.callback.__name__}" in readme
            or command.callback.__name__ == "demo"
        )


def test_several_processes_train_one_model(tiny: Cohort, tmp_path: Path) -> None:
    settings = tmp_path / "ddp.toml"
    settings.write_text(QUICK.replace("batch_size = 8", "batch_size = 4"))
    command = ["torchrun", "--nproc-per-node", "2", "-m", "braincase", "train"]
    program = Path(sys.executable).with_name("torchrun")
    subprocess.run(
        [program, *command[1:], tiny.folder, "--out", tmp_path / "m", "--settings", settings],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    about = json.loads((tmp_path / "m" / "model.json").read_text())
    assert about["training"]["world_size"] == 2


def test_prepare_into_a_file_or_from_an_endless_name_is_answered_in_one_line(capsys, tmp_path):
    head = tmp_path / "head.nii.gz"
    head.write_bytes(b"not read before the folder is looked at")
    taken = tmp_path / "taken"
    taken.touch()
    code, _, err = run(capsys, "prepare", head, taken)
    assert code == 2
    assert "a file; expected a folder" in only_line(err)
    long = head.rename(tmp_path / f"{'x' * 200}.nii.gz")
    code, _, err = run(capsys, "prepare", long, tmp_path / "out", "--workers", 1)
    assert code in (1, 2)
    assert "a name of 204 letters" in err
    assert "Traceback" not in err


def test_a_folder_that_cannot_be_written_is_answered_in_one_line(capsys, tmp_path):
    head = tmp_path / "head.nii.gz"
    head.write_bytes(b"no image")
    (tmp_path / "a").touch()
    code, _, err = run(capsys, "prepare", head, tmp_path / "a" / "b", "--workers", 1)
    assert code == 1
    assert "Not a directory" in only_line(err)

"""The cohort driver: it goes on where it was, shards add up, and no scan stops it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import slurm_node
from braincase.cohort.cohort import open_cohort
from braincase.errors import CohortError, UsageError
from braincase.images.geometry import HALF_GRID
from braincase.images.volume import write_volume
from braincase.preprocess import prepare_cohort as prepare
from braincase.preprocess.cluster import Jobs, launch
from braincase.preprocess.prepare_cohort import Plan, Shard, Summary, parse_shard, prepare_cohort
from braincase.preprocess.quality.scan_result import read_scan_result, read_scan_results
from braincase.simulate.head import Scanning, simulate_head
from braincase.sources.find import find_scans
from braincase.sources.scan import Scan

#: Small enough to be prepared in about two seconds each.
SMALL = Scanning(zooms_mm=(3, 3, 3), stripped=True, noise=0.02)
DRIVER = """
import pickle, sys
from braincase.preprocess.prepare_cohort import prepare_cohort
if __name__ == "__main__":
    scans, plan = pickle.loads(bytes.fromhex(sys.argv[1]))
    prepare_cohort(scans, plan, workers=1)
"""

LAUNCH = """
import pickle, sys
from braincase.preprocess.cluster import launch
launch(*pickle.loads(bytes.fromhex(sys.argv[1])))
"""
#: Cancel the first job as soon as it runs.
CANCELLED = """
"$0" -c "$1" "$2" & launcher=$!
until squeue --noheader --states=running | grep -q .; do sleep 0.1; done
scancel 1_0
wait $launcher
"""


def digest(folder: Path) -> dict[str, str]:
    """Every file that a cohort consists of, but for times."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and "packed" not in p.parts)
    return {
        str(p.relative_to(folder)): sha256(p.read_bytes()).hexdigest()
        for p in files
        if "jobs" not in p.parts
    }


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> list[Scan]:
    """Two small scans that are fine, one that is no MRI, one that is broken."""
    folder = tmp_path_factory.mktemp("source")
    found = []
    for seed, name in enumerate(["a", "b", "ct"], start=1):
        scanning = replace(SMALL, contrast="CT", stripped=False) if name == "ct" else SMALL
        head = simulate_head(seed, scanning=scanning)
        write_volume(folder / f"{name}.nii.gz", head.data, head.affine)
        found.append(Scan(folder / f"{name}.nii.gz", name, None, {"diagnosis": "CN", "age": 70}))
    cut = (folder / "a.nii.gz").read_bytes()[:5000]
    (folder / "broken.nii.gz").write_bytes(cut)
    return [*found, Scan(folder / "broken.nii.gz", "broken", None, {"diagnosis": "AD"})]


@pytest.fixture(scope="module")
def whole(scans, tmp_path_factory) -> tuple[Plan, Summary]:
    """The cohort of all scans, made in one go; do not write into it."""
    plan = Plan(tmp_path_factory.mktemp("whole") / "cohort", HALF_GRID)
    return plan, prepare_cohort(scans, plan, workers=1)


def in_place_of(plan: Plan, tmp_path: Path) -> Plan:
    # The folder's name is told in dataset_description.json and on the page.
    return replace(plan, folder=tmp_path / plan.folder.name)


def test_good_scans_are_in_the_cohort_and_the_others_are_listed_with_their_reason(whole):
    plan, summary = whole
    cohort = open_cohort(plan.folder)
    assert list(cohort.table["subject"]) == ["a", "b"]
    assert summary.grades == {"pass": 2, "fail": 2}
    reasons = {Path(where).name: reason for where, reason in summary.census.dropped}
    assert "CT" in reasons["ct.nii.gz"]
    assert "cannot be read" in reasons["broken.nii.gz"]
    assert "broken.nii.gz" not in reasons["broken.nii.gz"]  # said once is enough
    assert json.loads((plan.folder / "census.json").read_text())["scans"] == 2


def test_the_sidecar_keeps_both_transforms_the_verdict_and_the_recipe(whole):
    plan, _ = whole
    (path,) = (plan.folder / "sub-a").rglob("*_T1w.json")
    sidecar = json.loads(path.read_text())
    to_mni, back = np.array(sidecar["NativeToMNI"]), np.array(sidecar["MNIToNative"])
    assert np.allclose(to_mni @ back, np.eye(4), atol=1e-9)
    assert sidecar["Quality"]["Grade"] == "pass"
    assert sidecar["Recipe"] == json.loads(json.dumps(dict(plan.recipe)))
    (mask,) = (plan.folder / "sub-a").rglob("*_mask.nii.gz")
    assert mask.stat().st_size > 500


def test_a_second_run_does_nothing_and_changes_nothing(whole, scans):
    plan, _ = whole
    before = digest(plan.folder)
    again = prepare_cohort(scans, plan, workers=1)
    assert again.done_before == 3  # a file that could not be read is tried again
    assert digest(plan.folder) == before


def test_a_scan_that_proves_unusable_gives_way_to_the_next_of_its_visit(scans, tmp_path):
    good, _, ct, _ = scans
    folder = tmp_path / "bids"
    for name, source in {"run-1": ct, "run-2": good}.items():
        path = folder / "sub-1" / "anat" / f"sub-1_{name}_T1w.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path, path)
    found, census = find_scans(folder)
    assert [scan.path.name for scan in found] == ["sub-1_run-1_T1w.nii.gz"]  # its file is whole
    plan = Plan(tmp_path / "cohort", HALF_GRID, dropped=census.dropped)
    summary = prepare_cohort(found, plan, workers=1)
    assert summary.grades == {"pass": 1}
    reasons = {Path(where).name: why for where, why in summary.census.dropped}
    assert set(reasons) == {"sub-1_run-1_T1w.nii.gz"}
    assert "CT" in reasons["sub-1_run-1_T1w.nii.gz"]
    assert "sub-1_run-2_T1w.nii.gz of the same visit is used" in reasons["sub-1_run-1_T1w.nii.gz"]
    (sidecar,) = (plan.folder / "sub-1").rglob("*_T1w.json")
    assert "run-1_T1w.nii.gz is not used" in str(json.loads(sidecar.read_text())["Evidence"])

    before = digest(plan.folder)
    assert prepare_cohort(find_scans(folder)[0], plan, workers=1).done_before == 1
    assert digest(plan.folder) == before
    # The first one mended: it is used again.
    shutil.copyfile(good.path, folder / "sub-1" / "anat" / "sub-1_run-1_T1w.nii.gz")
    again = prepare_cohort(find_scans(folder)[0], replace(plan, dropped=()), workers=1)
    assert (again.done_before, again.grades) == (0, {"pass": 1})
    assert not again.census.dropped


def test_killed_and_started_again_gives_the_same_cohort(whole, scans, tmp_path):
    plan = in_place_of(whole[0], tmp_path)
    argument = pickle.dumps((scans, plan)).hex()
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    process = subprocess.Popen([sys.executable, script, argument], stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(plan.folder.glob("qc/sub-*.json")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list(plan.folder.glob("qc/sub-*.json")))
    assert 1 <= done < len(scans), "killed too late to show anything"
    summary = prepare_cohort(scans, plan, workers=1)
    assert summary.done_before >= 1
    assert digest(plan.folder) == digest(whole[0].folder)


def test_a_worker_that_is_killed_costs_nothing(whole, scans, tmp_path):
    plan = in_place_of(whole[0], tmp_path)
    argument = pickle.dumps((scans, plan)).hex()
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.replace("workers=1", "workers=2"))
    run = subprocess.Popen([sys.executable, script, argument])
    while not (victims := workers_of(run.pid)):
        time.sleep(0.05)
    os.kill(victims[0], signal.SIGKILL)
    assert run.wait() == 0
    assert digest(plan.folder) == digest(whole[0].folder)


def workers_of(pid: int) -> list[int]:
    """Return the processes that the pool of process `pid` has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [int(child) for child, line in lines.items() if b"spawn_main" in line]


def test_two_shards_make_what_one_run_makes_and_the_last_finishes(whole, scans, tmp_path):
    plan = in_place_of(whole[0], tmp_path)
    first = prepare_cohort(scans, plan, Shard(2, 2), workers=1)
    assert (first.missing, first.page) == (2, None)
    assert not (plan.folder / "census.json").exists()
    second = prepare_cohort(scans, plan, Shard(1, 2), workers=1)
    assert second.missing == 0
    assert digest(plan.folder) == digest(whole[0].folder)


def copy_of(plan: Plan, tmp_path: Path) -> Plan:
    """A cohort that may be changed, prepared already."""
    own = in_place_of(plan, tmp_path)
    shutil.copytree(plan.folder, own.folder)
    return own


def test_new_labels_are_taken_over_without_preparing_again(whole, scans, tmp_path):
    plan = copy_of(whole[0], tmp_path)
    relabelled = [replace(scans[0], labels={"diagnosis": "AD", "age": 71}), *scans[1:3]]
    summary = prepare_cohort(relabelled, plan, workers=1)
    assert summary.done_before == 3
    table = open_cohort(plan.folder).table
    assert table.loc[0, ["diagnosis", "age"]].tolist() == ["AD", 71]
    assert read_scan_result(plan.folder, scans[0]).scan.labels["age"] == 71


def test_a_scan_that_turned_bad_leaves_the_cohort(whole, scans, tmp_path):
    plan = copy_of(whole[0], tmp_path)
    source = shutil.copy2(scans[0].path, tmp_path / "a.nii.gz")
    shutil.copyfile(scans[2].path, scans[0].path)  # the CT
    try:
        assert prepare_cohort(scans[:2], plan, workers=1).grades == {"pass": 1, "fail": 1}
    finally:
        shutil.copy2(source, scans[0].path)  # with its time: to the others it is as it was
    assert list(open_cohort(plan.folder).table["subject"]) == ["b"]
    assert not list((plan.folder / "sub-a").rglob("*.nii.gz"))


def test_two_scans_of_one_name_are_never_mixed_up(scans, tmp_path):
    plan = Plan(tmp_path / "cohort", HALF_GRID)
    twice = [scans[0], replace(scans[1], subject="a")]
    summary = prepare_cohort(twice, plan, workers=1)
    assert summary.grades == {"pass": 1}
    assert summary.census.dropped == ((str(scans[1].path), f"sub-a is {scans[0].path} already"),)
    later = prepare_cohort([replace(scans[1], subject="a")], plan, workers=1)
    assert "already" in later.census.dropped[0][1]
    assert read_scan_result(plan.folder, scans[0]).scan.path == scans[0].path


def test_a_defect_in_one_scan_is_listed_with_its_place_and_the_others_go_on(
    whole, scans, tmp_path, monkeypatch
):
    plan = in_place_of(whole[0], tmp_path)
    real = prepare.screen

    def sometimes(volume):
        if sometimes.count == 0:
            sometimes.count += 1
            raise IndexError("index 7 is out of bounds")
        return real(volume)

    sometimes.count = 0
    monkeypatch.setattr(prepare, "screen", sometimes)
    prepare_cohort(scans[:2], plan, workers=1)
    first = read_scan_result(plan.folder, scans[0])
    assert "please report it" in first.quality.reasons[0]
    assert "in sometimes" in first.trace
    # A defect may be mended by then: the next run tries again.
    assert prepare_cohort(scans[:2], plan, workers=1).grades == {"pass": 2}


def test_a_cohort_of_nothing_usable_is_an_error_that_shows_the_page(scans, tmp_path):
    plan = Plan(tmp_path / "cohort", HALF_GRID)
    with pytest.raises(CohortError, match=r"none of 2 scans is usable \(\S+: .+\).*quality\.html"):
        prepare_cohort(scans[2:], plan, workers=1)
    assert (plan.folder / "quality.html").exists()


def test_another_recipe_in_the_same_folder_is_refused_at_once(whole, scans):
    other = replace(whole[0], intensity="gamma18")
    with pytest.raises(CohortError, match="another recipe"):
        prepare_cohort([replace(scans[0], subject="new")], other, workers=1)
    assert len(read_scan_results(whole[0].folder)) == 4


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/", "-1/2"])
def test_a_shard_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError, match="i/N"):
        parse_shard(text)
    assert parse_shard("2/5") == Shard(2, 5)


def test_a_raw_data_set_is_never_written_into(scans, tmp_path):
    for name in ("dataset_description.json", "participants.tsv"):
        (tmp_path / name).write_text("{}")
        with pytest.raises(UsageError, match="holds something else; expected a new folder"):
            prepare_cohort(scans, Plan(tmp_path, HALF_GRID))
        assert [path.read_text() for path in tmp_path.iterdir()] == ["{}"]
        (tmp_path / name).unlink()


@pytest.mark.slow
def test_jobs_of_the_local_launcher_make_the_same_cohort(whole, scans, tmp_path):
    pytest.importorskip("submitit")
    plan = in_place_of(whole[0], tmp_path)
    summary = launch(scans, plan, Jobs("local", shards=2, cores=1))
    assert summary.grades == {"pass": 2, "fail": 2}
    assert digest(plan.folder) == digest(whole[0].folder)


@pytest.mark.slow
def test_a_slurm_cluster_makes_the_same_cohort_though_a_job_was_cancelled(whole, scans, tmp_path):
    if reason := slurm_node.why_not():
        pytest.skip(f"no SLURM: {reason}")
    plan = in_place_of(whole[0], tmp_path)
    jobs = pickle.dumps((scans, plan, Jobs("slurm", shards=2, cores=1, minutes=5))).hex()
    first, second = (
        slurm_node.on_cluster(tmp_path / name, ["bash", "-c", script, sys.executable, LAUNCH, jobs])
        for name, script in (("first", CANCELLED), ("second", '"$0" -c "$1" "$2"'))
    )
    assert "1 of 2 jobs failed (job 1_0: it ended without a result" in first.stderr
    assert "the same command again" in first.stderr
    assert second.returncode == 0, second.stderr
    assert digest(plan.folder) == digest(whole[0].folder)


def test_a_cluster_that_takes_no_jobs_is_told_in_one_line(scans, tmp_path):
    if reason := slurm_node.why_not():
        pytest.skip(f"no SLURM: {reason}")
    jobs = Jobs("slurm", shards=1, partition="none-such")
    work = pickle.dumps((scans, Plan(tmp_path / "cohort", HALF_GRID), jobs)).hex()
    run = slurm_node.on_cluster(tmp_path / "node", [sys.executable, "-c", LAUNCH, work])
    assert run.stderr.splitlines()[-1].startswith(
        "braincase.errors.ParameterError: launcher: Batch job submission failed: Invalid partition"
    )


def test_a_cluster_that_is_not_there_is_told(scans, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))  # no srun there
    with pytest.raises(UsageError, match="SLURM"):
        launch(scans, Plan(tmp_path, HALF_GRID), Jobs("slurm"))
    with pytest.raises(UsageError, match="at least 1"):
        Jobs("local", shards=0)

"""Cases that curators save from uploads: whole or not at all, one at a time, and erasable."""

from __future__ import annotations

import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from braincase.cohort.cohort import Cohort
from braincase.gallery import open_gallery
from braincase.workflows.left_files import files_left
from command_line import run
from web_service import API, serving, settings_for, uploaded


@pytest.fixture(scope="module")
def gallery(web_gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(web_gallery, tmp_path_factory.mktemp("saved") / "gallery"))


@pytest.fixture(scope="module")
def client(
    gallery: Path, web_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    audit = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    with serving(settings_for(gallery, audit, web_model)) as client:
        yield client


@pytest.fixture(scope="module")
def jobs(client: httpx.Client, tiny: Cohort) -> list[str]:
    """Two uploads of two people."""
    images = [(tiny.folder / tiny.table["image"].iloc[row]).read_bytes() for row in (0, -1)]
    return [str(uploaded(client, image)["job"]) for image in images]


def save(client: httpx.Client, job: str, name: str, **more: object) -> httpx.Response:
    session = {"session": more["session"]} if "session" in more else {}
    scan_id = f"sub-{name}" + (f"_ses-{more['session']}" if session else "")
    case = {"upload": job, "scan_id": scan_id, "subject": name, **session}
    return client.post(f"{API}/cases", json={**case, "labels": more.get("labels", {})})


def files_of(gallery: Path, name: str) -> list[str]:
    return sorted(path.name for path in gallery.rglob(f"sub-{name}*") if path.is_file())


def erase(gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], scan: str) -> str:
    audit = ("--audit", tmp_path / "audit.jsonl")
    code, out, err = run(
        capsys, "gallery", "remove", gallery, scan, "--erase", "--yes", "--delete-files", *audit
    )
    assert code == 0, err
    return out


def test_a_full_disk_is_told_and_leaves_nothing(
    client: httpx.Client, jobs: list[str], gallery: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        refused = save(client, jobs[0], "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (refused.status_code, refused.json()["error"]) == (507, "disk")
    assert not [*gallery.rglob("sub-full*")]
    assert save(client, jobs[0], "full").status_code == 201


@pytest.mark.parametrize("described", [True, False])
def test_erasing_deletes_the_files_of_a_saved_case(
    client: httpx.Client, jobs: list[str], gallery: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], described: bool,
) -> None:  # fmt: skip
    name = f"gone{described}"
    assert save(client, jobs[0], name).status_code == 201
    assert len(files_of(gallery, name)) == 2
    if not described:  # as earlier releases have left it
        (gallery / "saved" / "dataset_description.json").unlink()
    assert "2 files of them were deleted" in erase(gallery, tmp_path, capsys, f"sub-{name}")
    assert not files_of(gallery, name)
    with closing(open_gallery(gallery)) as opened:  # for the tests that follow
        opened.readmit([f"sub-{name}"])


def test_erasing_one_visit_leaves_the_files_of_another(
    client: httpx.Client, jobs: list[str], gallery: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert save(client, jobs[0], "both").status_code == 201
    assert save(client, jobs[1], "both", session="2").status_code == 201
    assert len(files_of(gallery, "both")) == 4
    erase(gallery, tmp_path, capsys, "sub-both")
    left = files_of(gallery, "both")
    assert len(left) == 2
    assert all(file.startswith("sub-both_ses-2_") for file in left)
    assert client.get(f"{API}/cases/sub-both_ses-2/volume.nii.gz").status_code == 200
    with closing(open_gallery(gallery)) as opened:
        opened.readmit(["sub-both"])


def test_a_link_for_the_saved_cases_leads_to_no_files(
    client: httpx.Client, jobs: list[str], gallery: Path, tmp_path: Path
) -> None:
    assert save(client, jobs[0], "linked").status_code == 201
    with closing(open_gallery(gallery)) as opened:
        case = opened.get("sub-linked")
    other = tmp_path / "other"
    other.mkdir()
    (other / "sub-linked_private.txt").write_text("of somebody else")
    (tmp_path / "saved").symlink_to(other)
    for claimed in (tmp_path / "saved", other):
        moved = replace(case, cohort=claimed)
        assert files_left([moved], {"linked"}, tmp_path / "saved") == []


def test_of_two_who_save_one_case_at_once_the_acknowledged_one_has_its_image(
    client: httpx.Client, jobs: list[str]
) -> None:
    for turn in range(6):
        answers: dict[str, int] = {}
        barrier = threading.Barrier(2)

        def go(job: str, name: str, barrier=barrier, answers=answers) -> None:  # type: ignore[no-untyped-def]
            barrier.wait()
            answers[job] = save(client, job, name, labels={"age": 50}).status_code

        threads = [threading.Thread(target=go, args=(job, f"race{turn}")) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers.values()) == [201, 409]
        assert client.get(f"{API}/cases/sub-race{turn}/volume.nii.gz").status_code == 200


@pytest.mark.parametrize("label", ["x\u0007y", "x" * 2_100])
def test_a_refused_case_leaves_nothing_and_its_name_is_free(
    client: httpx.Client, jobs: list[str], gallery: Path, label: str
) -> None:
    name = f"refused{len(label)}"
    refused = save(client, jobs[0], name, labels={"comment": label})
    assert (refused.status_code, refused.json()["error"]) == (400, "usage")
    assert not [*gallery.rglob(f"sub-{name}*")]
    assert save(client, jobs[1], name).status_code == 201


def test_what_a_killed_service_left_of_a_case_is_not_called_an_earlier_version(
    client: httpx.Client, jobs: list[str], gallery: Path
) -> None:
    assert save(client, jobs[0], "killed").status_code == 201
    image = next((gallery / "saved").rglob("sub-killed_*.nii.gz"))
    left = Path(str(image).replace("sub-killed", "sub-again"))
    left.parent.mkdir(parents=True)
    shutil.copyfile(image, left)
    assert save(client, jobs[1], "again").status_code == 201
    assert client.get(f"{API}/cases/sub-again/volume.nii.gz").status_code == 200


def test_a_refused_case_keeps_the_image_that_an_earlier_version_shows(
    client: httpx.Client, jobs: list[str], gallery: Path
) -> None:
    version = save(client, jobs[0], "earlier").json()["version"]
    sidecar = next((gallery / "saved").rglob("sub-earlier_*_T1w.json"))
    before = files_of(gallery, "earlier"), sidecar.read_text()
    assert client.delete(f"{API}/cases/sub-earlier").status_code == 200
    assert save(client, jobs[0], "earlier", labels={"comment": "\u0007"}).status_code == 400
    assert (files_of(gallery, "earlier"), sidecar.read_text()) == before
    shown = client.get(f"{API}/cases/sub-earlier/volume.nii.gz?as_of={version}")
    assert shown.status_code == 200

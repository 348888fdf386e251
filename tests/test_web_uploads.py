"""Scans that come in: from a real upload to its hits, and all that must be refused on the way."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
import nibabel
import numpy as np
import pydicom
import pytest

from braincase.cohort.cohort import Cohort
from braincase.cohort.derivatives import write_image
from braincase.cohort.view import ViewChoice
from braincase.errors import ScanError
from braincase.images.geometry import HALF_GRID
from braincase.simulate.head import Pose, Scanning, simulate_head
from braincase.sources.scratch import make_scratch
from braincase.web.intake.archives import opened, safe_suffix
from braincase.web.intake.zip_directory import count_entries
from markers import write_dicom
from web_service import API, ended, serving, settings_for, uploaded, wait_for

MIB = 1 << 20


@pytest.fixture(scope="module")
def gallery_folder(web_gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uploads") / "gallery"
    shutil.copytree(web_gallery, folder)
    return folder


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit") / "audit.jsonl"


@pytest.fixture(scope="module")
def client(gallery_folder: Path, web_model: Path, audit: Path) -> Iterator[httpx.Client]:
    limits = {
        "upload_bytes": 64 * MIB,
        "unpacked_bytes": 80 * MIB,
        "queue": 3,
        "upload_grace_s": 3.0,
        "least_bytes_per_s": 4096,
    }
    seen = ViewChoice(2, brain_only=True)
    settings = settings_for(
        gallery_folder, audit, web_model, limits=limits, view=seen, model_simulated=True
    )
    with serving(settings) as client:
        yield client


@pytest.fixture(scope="module")
def brain(tiny: Cohort) -> bytes:
    """A simulated brain in standard space: the quickest scan to prepare."""
    return (tiny.folder / tiny.table["image"].iloc[0]).read_bytes()


def files_of(client: httpx.Client) -> list[Path]:
    """Every file of any upload that the service holds."""
    service = client.app.state.service  # type: ignore[attr-defined]
    queue = service.queue
    walked = [  # does not mind folders that vanish meanwhile
        entry for folder in (queue._folder, queue._work) for entry in os.walk(folder)
    ]
    return [Path(place, name) for place, _, names in walked for name in names]


def followed(client: httpx.Client, job: str) -> list[dict[str, Any]]:
    """Every event of a job, to its end."""
    with client.stream("GET", f"{API}/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_an_uploaded_scan_finds_its_cases_is_saved_and_taken_out_again(
    client: httpx.Client, brain: bytes, gallery_folder: Path
) -> None:
    name = {"X-Filename": "J%C3%BCrgen Doe.nii.gz"}
    job = client.post(f"{API}/uploads", content=brain, headers=name).json()["job"]
    events = followed(client, job)
    told = events[-1]
    assert (told["state"], told["progress"]) == ("done", 1.0), told
    assert "preparing" in {event["stage"] for event in events}
    assert [event["progress"] for event in events] == sorted(e["progress"] for e in events)
    ready = client.get(f"{API}/ready")
    assert (ready.status_code, ready.json()["worker"]) == (200, "ready")
    assert 'braincase_preparation_seconds_count{state="done"} ' in client.get("/metrics").text
    # What was uploaded is gone, and nobody else can open the rest.
    kept, seen = sorted(files_of(client))
    assert (kept.name, seen.name) == ("prepared.nii.gz", "view.nii.gz")
    assert {path.stat().st_mode & 0o077 for path in (kept, seen)} == {0}
    assert [folder.stat().st_mode & 0o077 for folder in (kept.parent, kept.parent.parent)] == [0, 0]
    answer = client.post(f"{API}/searches", json={"upload": job, "k": 3})
    assert answer.status_code == 200, answer.text
    assert answer.json()["query_id"] == "uploaded scan"
    assert answer.json()["model_simulated"]  # this gallery is, too, but whose scan came is unknown
    assert "rgen" not in answer.text + json.dumps(told)
    image = client.get(f"{API}/uploads/{job}/volume.nii.gz")
    volume = nibabel.Nifti1Image.from_bytes(gzip.decompress(image.content))
    assert volume.shape == (40, 48, 40)
    assert client.get(f"{API}/uploads/{job}/thumbnail.png").status_code == 200
    assert client.get(f"{API}/uploads/{job}/slices/axial/20.png").status_code == 200
    assert told["view_mm"] == 2
    view = client.get(f"{API}/uploads/{job}/view.nii.gz").content
    assert nibabel.Nifti1Image.from_bytes(gzip.decompress(view)).shape == (96, 112, 96)
    assert client.get(f"{API}/uploads/{job}/view/slices/axial/50.png").status_code == 200
    hit = answer.json()["hits"][0]["scan_id"]
    stored = client.post(f"{API}/searches", json={"case": hit, "k": 3}).json()
    assert not stored["model_simulated"]
    path = f"{API}/searches/{answer.json()['search']}/maps/{hit}/difference.nii.gz"
    assert client.get(path).status_code == 200
    service = client.app.state.service  # type: ignore[attr-defined]
    assert len(service.searches.maps.values()) == 1

    case = {"upload": job, "scan_id": "sub-new1", "subject": "new1", "labels": {"sex": "F"}}
    assert client.post(f"{API}/cases", json={**case, "scan_id": "sub-other"}).status_code == 400
    added = client.post(f"{API}/cases", json=case)
    assert added.status_code == 201, added.text
    assert added.json()["added"] == ["sub-new1"]
    assert client.post(f"{API}/cases", json=case).status_code == 409
    stored = client.get(f"{API}/cases/sub-new1/volume.nii.gz")
    assert np.array_equal(
        nibabel.Nifti1Image.from_bytes(gzip.decompress(stored.content)).dataobj, volume.dataobj
    )
    assert client.get(f"{API}/cases/sub-new1/view.nii.gz").content == view
    about = next((gallery_folder / "saved").rglob("*desc-view_T1w.json"))
    assert json.loads(about.read_text())["BrainOnly"] is True
    again = client.post(f"{API}/searches", json={"upload": job, "k": 1}).json()
    assert again["same_subject"][0]["scan_id"] == "sub-new1"
    assert client.delete(f"{API}/cases/sub-new1").json()["removed"] == ["sub-new1"]
    assert client.get(f"{API}/cases/sub-new1").status_code == 404
    earlier = next((gallery_folder / "saved").rglob("*sub-new1*desc-brain*.nii.gz"))
    content = earlier.read_bytes()
    write_image(earlier, np.roll(np.asarray(volume.dataobj), 3, axis=0).astype(np.uint8), HALF_GRID)
    refused = client.post(f"{API}/cases", json=case)  # the earlier version shows another image
    assert refused.status_code == 409
    assert "earlier version" in refused.json()["message"]
    earlier.write_bytes(content)

    assert client.delete(f"{API}/jobs/{job}").status_code == 200
    for name in ("volume.nii.gz", "view.nii.gz", "view/slices/axial/50.png"):
        assert client.get(f"{API}/uploads/{job}/{name}").status_code == 404
    assert client.get(f"{API}/searches/{answer.json()['search']}").status_code == 404
    assert not files_of(client)
    assert not [*service.folder.rglob("*.nii.gz")]
    assert service.searches.maps.values() == []


def jane_doe(folder: Path) -> bytes:
    """A zip of a simulated head as DICOM, full of what must never be seen."""
    head = simulate_head(1, Pose(), Scanning(zooms_mm=(2.5, 2.5, 2.5), noise=0.02, bias=0))
    series = write_dicom(
        folder / "series", (1000 / head.data.max() * head.data).astype(np.int16), head.affine
    )
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for number, file in enumerate(sorted(series.iterdir())):
            slice_ = pydicom.dcmread(file)
            slice_.PatientName, slice_.PatientID = "SECRETNAME^JANE", "SECRETID77"
            slice_.AccessionNumber, slice_.InstitutionName = "SECRETACC", "SECRETPLACE"
            slice_.PatientAge, slice_.PatientSex = "071Y", "F"
            slice_.save_as(file)
            archive.write(file, f"SECRETNAME_JANE/../../IM.{number:04d}")
    return held.getvalue()


def test_a_dicom_zip_is_searched_with_and_its_identifiers_appear_nowhere(
    client: httpx.Client, tmp_path: Path, audit: Path, gallery_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    content = jane_doe(tmp_path)
    name = {"X-Filename": "SECRETNAME.zip"}
    job = client.post(f"{API}/uploads", content=content, headers=name).json()["job"]
    names: set[str] = set()

    def over() -> bool:
        names.update(map(str, files_of(client)))
        return client.get(f"{API}/jobs/{job}").json()["state"] in ("done", "failed")

    wait_for(over)
    told = client.get(f"{API}/jobs/{job}")
    assert told.json()["state"] == "done", told.text
    answer = client.post(f"{API}/searches", json={"upload": job, "k": 3})
    report = client.get(f"{API}/searches/{answer.json()['search']}/report.html")
    assert answer.json()["query_labels"]["age"] == 71
    case = {"upload": job, "scan_id": "sub-kept", "subject": "kept"}
    assert client.post(f"{API}/cases", json=case).status_code == 201
    client.delete(f"{API}/cases/sub-kept")
    client.delete(f"{API}/jobs/{job}")
    held = b"".join(p.read_bytes() for p in gallery_folder.rglob("*") if p.is_file())
    seen = [told.text, answer.text, report.text, audit.read_text(), "".join(capfd.readouterr())]
    assert not any("SECRET" in text for text in [*seen, *names])
    assert b"SECRET" not in held


def hounsfield() -> bytes:
    """An image with a CT's values: air, bone and brain in Hounsfield units."""
    places = np.stack(np.meshgrid(*[np.linspace(-1.3, 1.3, 60)] * 3, indexing="ij"))
    radius = np.linalg.norm(places, axis=0)
    data = np.select([radius < 0.9, radius < 1.0], [40, 900], -1000).astype(np.int16)
    data += np.random.default_rng(0).integers(-8, 8, data.shape, dtype=np.int16)
    return gzip.compress(nibabel.Nifti1Image(data, np.diag([4.0, 4.0, 4.0, 1.0])).to_bytes())


def test_a_ct_is_called_a_ct(client: httpx.Client) -> None:
    told = uploaded(client, hounsfield())
    assert told["message"].startswith("This looks like a CT: air at about -1000.")
    refused = client.post(f"{API}/searches", json={"upload": told["job"]})
    assert refused.status_code == 422
    assert "This looks like a CT" in refused.json()["message"]


def test_a_t2w_is_called_a_t2w(client: httpx.Client, shared_data: Path) -> None:
    told = uploaded(client, (shared_data / "not-a-t1w-head" / "T2w.nii.gz").read_bytes())
    assert told["state"] == "failed"
    assert told["message"].startswith("This looks like a T2w")
    assert "A T1-weighted MRI of a human head is needed." in told["message"]


def test_a_real_dicom_tar_is_prepared(client: httpx.Client, shared_data: Path) -> None:
    members = {}
    with zipfile.ZipFile(shared_data / "dicom" / "trio_t1_mprage.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    told = uploaded(client, tar_of(members), "trio.tar.gz")
    assert told["state"] == "done", told
    client.delete(f"{API}/jobs/{told['job']}")


def terabytes() -> bytes:
    header = nibabel.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header.set_data_dtype(np.float32)
    header["magic"] = b"n+1\0"
    header["vox_offset"] = 352
    return bytes(header.binaryblock) + bytes(5000)


def gzip_bomb(size: int = 100 * MIB) -> bytes:
    """A small image followed by a flood of zeros."""
    image = nibabel.Nifti1Image(
        np.arange(8000, dtype=np.int16).reshape(20, 20, 20), np.diag([8.0] * 3 + [1])
    )
    return gzip.compress(image.to_bytes() + bytes(size))


def zip_bomb(size: int = 100 * MIB, lie: bool = False) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("IM1.dcm", bytes(128) + b"DICM" + bytes(size))
    content = held.getvalue()
    if lie:  # the directory says 1,000 bytes
        content = content.replace((size + 132).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    return content


def nested() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("inner", zip_bomb(MIB))
    return held.getvalue()


def tar_of(members: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return held.getvalue()


def tar_bomb() -> bytes:
    return tar_of({"IM1.dcm": bytes(128) + b"DICM" + bytes(100 * MIB)})


def zip_in_tar() -> bytes:
    return tar_of({"../../IM1.dcm": zip_bomb(MIB)})


def tar_inside() -> bytes:
    held, tar = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as inner:
        inner.addfile(tarfile.TarInfo("IM1.dcm"))
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("inner", tar.getvalue())
    return held.getvalue()


def encrypted() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.dcm", b"x")
    content = bytearray(held.getvalue())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (terabytes, "a.nii", "a header that promises"),
        (gzip_bomb, "a.nii.gz", "unpacks to more than 80 MiB"),
        (zip_bomb, "a.zip", "a zip that promises 1 files and"),
        (partial(zip_bomb, lie=True), "a.zip", "damaged zip"),
        (nested, "a.zip", "a zip inside the zip"),
        (tar_inside, "a.zip", "a tar inside the zip"),
        (encrypted, "a.zip", "an encrypted zip"),
        (tar_bomb, "a.tgz", "a tar that unpacks to more than 0.1 GB"),
        (zip_in_tar, "a.tgz", "a zip inside the tar"),
        (partial(bytes, b"PK\3\4" + bytes(500)), "a.zip", "damaged zip"),
        (partial(bytes, b"hello" * 100), "a.nii.gz", "no .nii.gz image"),
        (partial(bytes, b"hello" * 100), "a.dcm", "bytes of another kind"),
        (partial(gzip.compress, b"hello" * 100), "a.nii.gz", "no .nii.gz image"),
    ],
    ids=[
        "terabytes", "gzip", "zip", "lie", "nested", "tar", "encrypted", "tar bomb",
        "zip in tar", "cut", "text", "dcm", "gz",
    ],
)  # fmt: skip
def test_hostile_and_broken_files_are_refused_in_little_memory(
    client: httpx.Client, content: Callable[[], bytes], name: str, says: str
) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    worker = service.queue._worker._process if service.queue._worker else None
    told = uploaded(client, content(), name)
    assert told["state"] == "failed"
    assert says in told["message"], told["message"]
    assert "/tmp" not in told["message"]
    if worker is not None:
        assert service.queue._worker._process is worker, "the file cost a worker"


def test_unpacking_holds_one_chunk_at_a_time(tmp_path: Path) -> None:
    """A subprocess with room for 60 MiB more than it starts with refuses bombs of 200 MiB."""
    (tmp_path / "a.nii.gz").write_bytes(gzip_bomb(200 * MIB))
    (tmp_path / "a.zip").write_bytes(zip_bomb(200 * MIB, lie=True))
    code = f"""
import resource
from pathlib import Path
import braincase.web.intake.archives as archives
from braincase.errors import ScanError
used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + {60 * MIB},) * 2)
for name in ("a.nii.gz", "a.zip"):
    try:
        archives.opened(Path({str(tmp_path)!r}, name), Path({str(tmp_path)!r}), {100 * MIB}, 10)
    except ScanError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 2, done.stderr


def test_members_never_land_outside_or_under_their_own_names(tmp_path: Path) -> None:
    archive, folder = tmp_path / "a.zip", tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    names = ["../../evil.dcm", "/etc/evil.dcm", "..\\..\\evil.dcm", "DOE_JANE/1.dcm", "DICOMDIR"]
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(name, bytes(128) + b"DICM")
    assert opened(archive, folder, MIB, 10) == folder
    assert sorted(p.name for p in folder.iterdir()) == [f"{i:06d}.dcm" for i in range(4)] + [
        "000004.index"
    ]
    assert {p for p in tmp_path.rglob("*") if p.is_file()} - set(folder.iterdir()) == {archive}
    with pytest.raises(ScanError, match="more than 4 entries"):
        opened(archive, folder, MIB, 4)


@pytest.mark.parametrize("name", ["scan.exe", "page.html", "half.hdr", "table.csv"])
def test_other_kinds_of_files_are_refused_before_their_content(
    client: httpx.Client, name: str
) -> None:
    answer = client.post(f"{API}/uploads", content=b"x", headers={"X-Filename": name})
    assert answer.status_code == 415
    with pytest.raises(ScanError):
        safe_suffix(name)
    assert not files_of(client)


def test_a_large_upload_is_refused_by_its_length_and_without_one(client: httpx.Client) -> None:
    name = {"X-Filename": "a.nii"}
    host, port = client.base_url.host, client.base_url.port
    head = (
        f"POST {API}/uploads HTTP/1.1\r\nHost: {host}:{port}\r\nX-Filename: a.nii\r\n"
        f"Content-Length: {65 * MIB}\r\n\r\n"
    )
    with socket.create_connection((host, port), timeout=30) as line:
        line.sendall(head.encode())  # and not a byte of the body
        assert b"413" in line.recv(4096).splitlines()[0]

    def endless() -> Iterator[bytes]:
        for _ in range(70):
            yield bytes(MIB)

    try:
        answer = client.post(f"{API}/uploads", content=endless(), headers=name)
        assert answer.status_code == 413
    except httpx.WriteError:  # answered and closed while we were still sending
        pass
    assert not files_of(client)


def test_a_slow_upload_is_stopped(client: httpx.Client) -> None:
    host, port = client.base_url.host, client.base_url.port
    head = (
        f"POST {API}/uploads HTTP/1.1\r\nHost: {host}:{port}\r\nX-Filename: a.nii\r\n"
        "Content-Length: 10000000\r\n\r\n"
    )
    with socket.create_connection((host, port), timeout=30) as line:
        line.sendall(head.encode())
        started, answer = time.monotonic(), b""
        line.settimeout(0.5)
        while not answer and time.monotonic() - started < 25:
            try:
                line.sendall(b"x")  # drop by drop: two bytes a second
                answer = line.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                break
        took = time.monotonic() - started
    assert b"408" in answer.splitlines()[0]
    assert took < 15
    assert not files_of(client)


def test_a_running_job_is_cancelled_for_good(client: httpx.Client, shared_data: Path) -> None:
    content = (shared_data / "heads-bids").rglob("sub-02*T1w.nii.gz")
    name = {"X-Filename": "a.nii.gz"}
    started = client.post(f"{API}/uploads", content=next(content).read_bytes(), headers=name)
    job = started.json()["job"]
    queue = client.app.state.service.queue  # type: ignore[attr-defined]
    wait_for(lambda: client.get(f"{API}/jobs/{job}").json()["stage"] == "preparing")
    process = queue._worker._process.pid
    assert client.delete(f"{API}/jobs/{job}").status_code == 200
    told = ended(client, job)
    assert told["state"] == "cancelled"
    wait_for(lambda: not Path(f"/proc/{process}").exists(), 10)
    assert not files_of(client)
    client.delete(f"{API}/jobs/{job}")


def test_the_queue_is_bounded_and_goes_on(client: httpx.Client, brain: bytes) -> None:
    name = {"X-Filename": "a.nii.gz"}
    answers = [client.post(f"{API}/uploads", content=brain, headers=name) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 503, 503]
    assert answers[-1].json()["error"] == "queue_full"
    assert int(answers[-1].headers["retry-after"]) > 0
    jobs = [answer.json()["job"] for answer in answers[:3]]
    client.delete(f"{API}/jobs/{jobs[2]}")  # one that still waits
    assert ended(client, jobs[2])["state"] == "cancelled"
    assert ended(client, jobs[0])["state"] == "done"
    assert ended(client, jobs[1])["state"] == "done"
    for job in jobs:
        client.delete(f"{API}/jobs/{job}")


def test_a_job_that_takes_too_long_is_stopped_and_an_old_upload_forgotten(
    gallery_folder: Path, web_model: Path, tmp_path: Path, shared_data: Path, brain: bytes
) -> None:
    limits = {"job_s": 1.0, "keep_s": 1.0}
    head = next((shared_data / "heads-bids").rglob("sub-02*T1w.nii.gz")).read_bytes()
    settings = settings_for(gallery_folder, tmp_path / "a", web_model, limits=limits)
    with serving(settings) as client:
        told = uploaded(client, head)
        assert told["state"] == "failed"
        assert "was stopped" in told["message"]
        time.sleep(1.2)
        client.app.state.service.queue.sweep()  # type: ignore[attr-defined]
        assert client.get(f"{API}/jobs/{told['job']}").status_code == 404
        assert not files_of(client)


def test_folders_of_a_killed_service_are_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "braincase-web-999999999-uploads-x"
    (left / "job").mkdir(parents=True)
    (left / "job" / "scan.nii.gz").write_bytes(b"patient")
    other = tmp_path / f"braincase-web-{os.getppid()}-uploads-y"
    other.mkdir()
    mine = make_scratch("web-uploads")
    assert not left.exists()
    assert other.exists()
    assert mine.stat().st_mode & 0o077 == 0


#: Entries that only a ZIP64 archive can hold.
ZIP64 = 65_600


@cache
def zip_of_nothing(entries: int, kind: str) -> bytes:
    """A small zip of one file and many entries that are nothing: folders or hidden files."""
    name = {"folders": "{}/", "hidden": ".{}", "zip64": "{}/"}[kind]
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.dcm", bytes(128) + b"DICM")
        for n in range(entries):
            archive.writestr(name.format(n), b"")
        if kind == "hidden":
            archive.comment = b"PK" * 100
    return held.getvalue()


def many_entries(path: Path, entries: int, kind: str) -> Path:
    path.write_bytes(zip_of_nothing(entries, kind))
    return path


@pytest.mark.parametrize("kind", ["folders", "hidden", "zip64"])
def test_a_zip_of_very_many_entries_is_refused_before_its_directory_is_read(
    tmp_path: Path, kind: str
) -> None:
    path = many_entries(tmp_path / "a.zip", ZIP64 if kind == "zip64" else 5_000, kind)
    (tmp_path / "in").mkdir()
    tracemalloc.start()
    with pytest.raises(ScanError, match="more than 1,000 entries"):
        opened(path, tmp_path / "in", MIB, 1_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MIB


def test_entries_are_counted_as_zipfile_counts_them(tmp_path: Path) -> None:
    for entries in (0, 1, 10, ZIP64):
        path = many_entries(tmp_path / "a.zip", entries, "zip64")
        assert count_entries(path, 100_000) == entries + 1
        path.write_bytes(b"something in front" + path.read_bytes())
        assert count_entries(path, 100_000) == entries + 1


def test_a_directory_of_long_comments_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(200):
            member = zipfile.ZipInfo(f"{n}.dcm")
            member.comment = b"x" * 60_000
            archive.writestr(member, b"")
    (tmp_path / "in").mkdir()
    with pytest.raises(ScanError, match="more than 1,000 entries"):
        opened(path, tmp_path / "in", MIB, 1_000)


def test_a_zip_of_a_t1_and_its_mask_is_the_t1(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((20, 20, 20), np.int16), np.diag([8.0] * 3 + [1]))
    content = gzip.compress(image.to_bytes())
    for number, others in enumerate((["T1_mask.nii.gz"], ["sub-1_FLAIR.nii.gz", "T1_seg.nii.gz"])):
        path, folder = tmp_path / f"{number}.zip", tmp_path / f"in{number}"
        folder.mkdir()
        with zipfile.ZipFile(path, "w") as archive:
            for name in (*others, "sub/T1.nii.gz"):
                archive.writestr(name, content)
        assert opened(path, folder, MIB, 10).is_file()
    alone = tmp_path / "alone.zip"
    with zipfile.ZipFile(alone, "w") as archive:
        archive.writestr("T2.nii.gz", content)
    (tmp_path / "in2").mkdir()
    assert opened(alone, tmp_path / "in2", MIB, 10).is_file()


def test_a_page_is_not_advised_to_use_the_command_line(client: httpx.Client) -> None:
    image = nibabel.Nifti1Image(np.zeros((60, 60, 60), np.int16), np.diag([3.0] * 3 + [1]))
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in ("one.nii.gz", "two.nii.gz"):
            archive.writestr(name, gzip.compress(image.to_bytes()))
    told = uploaded(client, held.getvalue(), "a.zip")
    assert told["state"] == "failed"
    assert "--" not in told["message"]

"""The DICOM node beside a real archive: round trips, kills, hostile peers, pulling, forgetting."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import MRImageStorage, generate_uid

pytest.importorskip("pynetdicom", reason="the extra 'pacs' is not installed")
pytest.importorskip("highdicom", reason="the extra 'pacs' is not installed")

from pydicom.config import IGNORE

import pacs_node as pn
from braincase.cohort.cohort import Cohort
from braincase.errors import ScanError, UsageError
from braincase.gallery import open_gallery
from braincase.models.open_encoder import open_encoder
from braincase.pacs.dicomweb import LOGIN, WebArchive
from braincase.pacs.ledger import Ledger
from braincase.pacs.pull import against, is_open
from braincase.pacs.settings import Archive, NodeLimits, NodeSettings, read_settings
from braincase.pacs.spool import Spool
from braincase.purpose import PURPOSE
from braincase.sources.archive_links import Link, add_link, find_links
from braincase.sources.dicom import read_dicom
from braincase.workflows.index_cohort import index_cohort
from markers import multi_frame
from test_encoder_file import write_encoder

#: A case of the tiny gallery whose study lies in the archive, as a pull would have noted it.
HIT = Link("M00", "0001", "2.25.77", "ACC8", (MRImageStorage, "2.25.77.1", "2.25.77.2"))
#: `k` is more than the gallery has people: it gives those that it has.
RESULTS = """
k = 50
pdf = true
hit_studies = true
where = "subject in ('0000', '0001') and session = 'M00'"
"""
#: Tries of an hour by the pauses of docs/pacs.md (10 s, doubled, at most 900 s).
TRIES_OF_AN_HOUR = 10
WEB = "[node]\nspool = 's'\n[archive]\nae_title = 'A'\ndicomweb = 'https://pacs/dicom-web'"
SECRETS = ("SECRET", "山田", pn.BORN, "1.2.826", "1.2.276.0.7230010")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pn.write_study(tmp_path_factory.mktemp("pacs") / "study")


@pytest.fixture(scope="module")
def slabs(tiny: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tiny cohort's gallery by an encoder file of twelve means, which needs no torch."""
    folder = tmp_path_factory.mktemp("slabs")
    encoder = write_encoder(folder / "encoder")
    index_cohort(folder / "gallery", tiny, open_encoder(encoder))
    return folder / "gallery", encoder


@pytest.fixture(scope="module")
def node(slabs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[pn.Node]:
    """A node without an archive, for all that ends before one is needed."""
    if reason := pn.why_no_dcmtk():
        pytest.skip(reason)
    node = pn.Node(tmp_path_factory.mktemp("node"), *slabs)
    node.configure(limits="instance_bytes = 2000000\nstudy_bytes = 4000000\nstudy_instances = 200")
    node.start()
    yield node
    node.kill()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pn.Orthanc]:
    if reason := pn.why_no_orthanc():
        pytest.skip(reason)
    with pn.orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def filled(archive: pn.Orthanc, study: Path) -> pn.Orthanc:
    """The archive with the study's own images; used after what counts its results."""
    with archive.inside():
        for path in sorted(study.glob("*.dcm")):
            archive.ask("/instances", path.read_bytes())
    return archive


@pytest.fixture(scope="module")
def round_trip(
    archive: pn.Orthanc, study: Path, web_gallery: Path, web_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[pn.Node]:  # fmt: skip
    """A study that was sent with kills on the way, while the archive was away, and then came."""
    node = pn.Node(tmp_path_factory.mktemp("round"), web_gallery, web_model)
    node.configure(pn.NODE, results=RESULTS, more=pn.ARCHIVE.replace("4242", "4241"))
    add_link(node.folder / "spool" / "links.sqlite", HIT)
    paths = sorted(study.glob("*.dcm"))
    with archive.inside():
        node.start()
        sender = subprocess.Popen(pn.store_command([*paths], pn.NODE), stdout=subprocess.DEVNULL)
        time.sleep(1.0)
        node.kill()
        sender.wait()
        node.start()
        assert pn.store(study, pn.NODE) == 0
        pn.wait_for(lambda: dict(node.quick_status()).popitem()[1] in ("prepared", "made"), 60)
        node.kill()
        node.start()
        pn.wait_for(lambda: node.study().attempts >= TRIES_OF_AN_HOUR, 60)
        yield node
        node.kill(signal.SIGTERM)


def objects_of(archive: pn.Orthanc) -> dict[str, Any]:
    """The archive's result instances by SOP instance UID."""
    found = {}
    for name in archive.ask("/instances"):
        path = archive.folder / "got.dcm"
        path.write_bytes(archive.ask(f"/instances/{name}/file"))
        content = pydicom.dcmread(path)
        found[str(content.SOPInstanceUID)] = (name, content, path.read_bytes())
    return found


def test_a_study_survives_kills_and_its_results_reach_an_archive_that_comes_back(
    round_trip: pn.Node, archive: pn.Orthanc, study: Path, tmp_path: Path
) -> None:
    (waiting,) = round_trip.status()["studies"]
    assert (waiting["state"], waiting["instances"]) == ("made", len(list(study.glob("*.dcm"))))
    assert "does not answer" in waiting["problem"]
    # The archive is there again (its port in the file was another): a new node sends, once.
    round_trip.kill()
    round_trip.configure(pn.NODE, results=RESULTS, more=f"{pn.ARCHIVE}commit = true\n")
    round_trip.start()
    round_trip.wait_for_end()
    with closing(Ledger(round_trip.folder / "spool", read_only=True)) as ledger:
        asked = ledger.commitment(ledger.studies()[0].study)
    assert asked is not None
    assert asked[1]  # the archive has given its word
    objects = objects_of(archive)
    assert sorted(content.Modality for _, content, _ in objects.values()) == (
        ["DOC", "OT", "OT", "OT", "SR"]
    )
    source = next(iter(sorted(study.glob("*.dcm"))))
    original, raw = pydicom.dcmread(source), source.read_bytes()
    name = raw[raw.index(b"\x10\x00\x10\x00PN") :][:40]
    for _, content, written in objects.values():
        assert content.StudyInstanceUID == original.StudyInstanceUID
        assert content.SpecificCharacterSet == original.SpecificCharacterSet
        assert content.PatientName == original.PatientName
        assert name in written  # byte by byte
        assert (content.AccessionNumber, content.PatientID) == (pn.ACCESSION, pn.PATIENT)
    # The same study once more, and half of it: nothing new is made, nothing is sent twice.
    for part in (sorted(study.glob("*.dcm")), sorted(study.glob("*.dcm"))[:20]):
        assert pn.store(part, pn.NODE) == 0
    assert round_trip.quick_status()[0][1] == "sent"
    assert objects_of(archive).keys() == objects.keys()


def test_validators_of_others_and_the_archive_accept_the_results(
    round_trip: pn.Node, archive: pn.Orthanc, tmp_path: Path
) -> None:
    objects = objects_of(archive)
    assert len(objects) == 5
    for number, (name, content, written) in enumerate(objects.values()):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(written)
        judged = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True)
        assert not [line for line in judged.stderr.splitlines() if line.startswith("Error")]
        if content.Modality == "SR":
            dumped = subprocess.run(["dsrdump", path], capture_output=True, text=True)
            assert dumped.returncode == 0, dumped.stderr
            assert "Distance of codes" in dumped.stdout
            assert "Share of pairs of people who are farther apart" in dumped.stdout
            assert PURPOSE.encode() in written
            assert content.ContentSequence[-1].ConceptNameCodeSequence[0].CodeValue == "126010"
            (other,) = content.PertinentOtherEvidenceSequence
            (series,) = other.ReferencedSeriesSequence
            image = series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            assert (other.StudyInstanceUID, image) == (HIT.study, "2.25.77.1")
            assert "Image of the similar case" in dumped.stdout
        if content.Modality == "OT":
            assert content.PatientOrientation in (["L", "P"], ["L", "F"], ["P", "F"])
            assert (content.Rows, content.pixel_array.max()) == (1024, 255)
            assert archive.ask(f"/instances/{name}/preview")[1:4] == b"PNG"
    query = [pn.dcmtk("findscu"), "-aec", "ORTHANC", "-S", "-k", "QueryRetrieveLevel=SERIES"]
    query += [
        "-k",
        f"AccessionNumber={pn.ACCESSION}",
        "-k",
        "Modality=SR",
        "-k",
        "SeriesInstanceUID",
    ]
    found = subprocess.run([*query, "127.0.0.1", str(pn.DICOM)], capture_output=True, text=True)
    assert found.stderr.count("SeriesInstanceUID") + found.stdout.count("SeriesInstanceUID") >= 1


def test_nothing_of_a_patient_is_in_logs_status_file_names_or_the_process_list(
    round_trip: pn.Node,
) -> None:
    told = round_trip.log + str(round_trip.status())
    told += "\n".join(str(path) for path in round_trip.folder.rglob("*"))
    told += subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    with (round_trip.folder / "spool" / "studies.sqlite").open("rb") as file:
        told += file.read().decode("latin-1")
    uids = {p.StudyInstanceUID for p in [pydicom.dcmread(f) for f in _spooled(round_trip)[:1]]}
    assert uids
    assert [secret for secret in (*SECRETS, *uids) if secret in told] == []
    for path in (round_trip.folder / "spool").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def _spooled(node: pn.Node) -> list[Path]:
    return sorted((node.folder / "spool" / "studies").glob("*/images/*.dcm"))


def test_studies_that_cannot_be_searched_with_end_with_a_reason(
    node: pn.Node, study: Path, tmp_path: Path
) -> None:
    paths = sorted(study.glob("*.dcm"))
    mixed, other = tmp_path / "mixed", tmp_path / "other"
    uid, no_t1 = generate_uid(), generate_uid()
    for folder in (mixed, other):
        folder.mkdir()
    for number, path in enumerate(paths[:6]):
        image = pydicom.dcmread(path)
        image.StudyInstanceUID, image.SOPInstanceUID = uid, generate_uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.PatientID = f"P{number % 2}"
        image.save_as(mixed / path.name)
        image.StudyInstanceUID, image.SeriesDescription = no_t1, "t2_tse"
        image.PatientID, image.SOPInstanceUID = "P", generate_uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.save_as(other / path.name)
    packed = pn.packed(study, tmp_path / "packed")
    for sent in (mixed, other):
        assert pn.store(sent, node.port) == 0
    pn.store_packed(packed[: len(paths) // 2], node.port)
    node.wait_for_end(3)
    problems = sorted(one["problem"] for one in node.status()["studies"])
    assert any("several patients under one study" in problem for problem in problems), problems
    assert any("named 't2" in problem for problem in problems), problems
    assert any("mm of the head" in problem for problem in problems), problems
    # The second half comes: now it is one whole head, in six transfer syntaxes.
    pn.store_packed(packed[len(paths) // 2 :], node.port)
    # Another study of the same head is one enhanced multi-frame image.
    enhanced = pydicom.dcmread(multi_frame(study, tmp_path / "enhanced.dcm"))
    enhanced.StudyInstanceUID, enhanced.SOPInstanceUID = generate_uid(), generate_uid()
    enhanced.file_meta.MediaStorageSOPInstanceUID = enhanced.SOPInstanceUID
    born = pydicom.DataElement("PatientBirthDate", "DA", "born in May", validation_mode=IGNORE)
    enhanced["PatientBirthDate"] = born  # such values come
    enhanced.save_as(tmp_path / "enhanced.dcm")
    assert pn.store([tmp_path / "enhanced.dcm"], node.port) == 0
    pn.wait_for(lambda: [state for _, state in node.quick_status()].count("sent") == 2, 90)
    ended = [one for one in node.status()["studies"] if one["state"] == "sent"]
    assert sorted((one["instances"], one["results"]) for one in ended) == [(1, 4), (len(paths), 4)]
    assert all("stay in the spool" in one["problem"] for one in ended)
    stored = {pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in _spooled(node)}
    assert len(stored) == 6
    # What pydicom remarks on a value quotes it: no warning may reach the log.
    assert [secret for secret in (*SECRETS, "born") if secret in node.log] == []


def test_unknown_and_unauthorised_peers_are_refused_and_counted(node: pn.Node, study: Path) -> None:
    path = sorted(study.glob("*.dcm"))[:1]
    before = node.status()["events"]
    assert pn.store(path, node.port, "STRANGER") != 0
    assert pn.store(path, node.port, "LOOKER") != 0
    assert pn.echo(node.port, "LOOKER") == 0
    assert pn.echo(node.port, "STRANGER") != 0
    events = node.status()["events"]
    gained = {name: count - before.get(name, 0) for name, count in events.items()}
    assert gained["refused: unknown AE title"] == 2
    assert gained["refused: peer may not store"] >= 1


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_hostile_peer_fills_neither_disk_nor_memory_nor_stops_others(
    node: pn.Node, study: Path
) -> None:
    from pynetdicom import AE

    assert node.process is not None
    image = pydicom.dcmread(sorted(study.glob("*.dcm"))[0])
    arriving = node.folder / "spool" / "arriving"
    # A PDU that claims 2 GB, a silent connection and bytes of another protocol.
    sockets = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(3)]
    sockets[0].sendall(struct.pack(">BBL", 1, 0, 2 << 30) + bytes(1 << 16))
    sockets[1].sendall(b"GET / HTTP/1.1\r\n\r\n")
    entity = AE("SENDER")
    entity.add_requested_context(image.SOPClassUID, "1.2.840.10008.1.2")
    entity.add_requested_context(image.SOPClassUID, "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", node.port, ae_title="BRAINCASE")
    assert association.is_established
    escape = pydicom.dcmread(sorted(study.glob("*.dcm"))[0])
    escape.SOPInstanceUID = escape.StudyInstanceUID = "../../../etc/passwd"
    escape.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    assert association.send_c_store(escape).get("Status") in (0xC000, None)
    # More than an instance may have.
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.PixelData = bytes(3_000_000)
    image.Rows = image.Columns = 1225
    memory = _memory(node.process.pid)
    try:
        code = association.send_c_store(image).get("Status")
    except RuntimeError:
        code = None
    assert code in (None, 0xA700)
    transport = association.dul.socket.socket
    association.abort()
    if transport is not None:
        transport.close()
    assert pn.echo(node.port, "SENDER") == 0
    assert _memory(node.process.pid) - memory < 100e6
    for one in sockets:
        one.close()
    pn.wait_for(lambda: not any(arriving.iterdir()), 10)
    assert node.process.poll() is None


@pytest.mark.parametrize("change", ["syntax", "command", "cut", "no file"])
def test_an_instance_that_is_not_what_it_declares_is_refused(
    change: str, study: Path, tmp_path: Path
) -> None:
    settings = NodeSettings(tmp_path / "spool")
    with closing(Ledger(make(settings.spool))) as ledger:
        spool = Spool(settings, NodeLimits(free_bytes=0), b"k" * 32, ledger)
        path = spool.arriving / "lying"
        content = sorted(study.glob("*.dcm"))[0].read_bytes()
        uid = str(pydicom.dcmread(sorted(study.glob("*.dcm"))[0]).SOPInstanceUID)
        big_endian = content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0", 1)
        cut = content[:300]
        path.write_bytes({"syntax": big_endian, "cut": cut, "no file": b"x"}.get(change, content))
        with pytest.raises(ScanError, match="declare"):
            spool.take(path, f"{uid}.1" if change == "command" else uid)
        assert ledger.studies() == []
        if change == "command":
            spool.take(path, uid)
            assert [one.state for one in ledger.studies()] == ["received"]


def make(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


def _memory(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("kind", ["get", "move"])
def test_an_archive_is_pulled_header_first_and_resumed(
    kind: str, filled: pn.Orthanc, study: Path, tmp_path: Path, slabs: tuple[Path, Path]
) -> None:
    node = pn.Node(tmp_path, *slabs)
    move = "move = true\n" if kind == "move" else ""
    node.configure(pn.NODE, more=f"{pn.ARCHIVE}{move}[pull]\nper_minute = 0\n")
    command = [*pn.braincase("pull"), str(tmp_path / "pulled"), "--accession", "-", "--config",
               str(tmp_path / "pacs.toml")]  # fmt: skip
    with filled.inside():
        done = [
            subprocess.run(command, input=f"{pn.ACCESSION}\n", capture_output=True, text=True,
                           env=node.environment())
            for _ in range(2 if kind == "get" else 1)
        ]  # fmt: skip
    assert [one.returncode for one in done] == [0] * len(done), done[0].stderr
    assert "1 studies, 1 series taken, 0 there already" in done[0].stdout
    if kind == "get":
        assert "0 series taken, 1 there already" in done[1].stdout
    assert "next: braincase index" in done[0].stdout
    assert [s for s in SECRETS if s in done[0].stdout + done[0].stderr] == []
    scans, _ = read_dicom(tmp_path / "pulled", key=(tmp_path / "pseudonym.key").read_bytes())
    assert (len(scans), len(scans[0].files)) == (1, len(list(study.glob("*.dcm"))))
    assert (tmp_path / "spool" / "links.sqlite").stat().st_mode & 0o777 == 0o600


def test_an_archive_becomes_a_gallery_by_its_url_and_a_study_of_it_is_forgotten(
    filled: pn.Orthanc, study: Path, tmp_path: Path, slabs: tuple[Path, Path]
) -> None:
    _, encoder = slabs
    node = pn.Node(tmp_path, tmp_path / "gallery", encoder)
    (tmp_path / "login").write_text(f"basic {pn.LOGIN}\n")
    (tmp_path / "login").chmod(0o600)
    node.configure(more=f'{pn.ARCHIVE}login = "login"\ndicomweb = "http://127.0.0.1/x"\n')
    source = f"dicomweb+http://127.0.0.1:{pn.HTTP}/dicom-web?StudyDate=20110203"
    config = str(tmp_path / "pacs.toml")
    command = [sys.executable, "-m", "braincase", "index", source, "--gallery", str(node.gallery),
               "--model", str(encoder), "--workers", "1"]  # fmt: skip
    with filled.inside():
        refused = subprocess.run(command, capture_output=True, text=True, env=node.environment())
        done = subprocess.run([*command, "--pacs", config], capture_output=True, text=True,
                              env=node.environment())  # fmt: skip
    assert refused.returncode == 1
    assert "answered 401" in refused.stderr
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert [secret for secret in (*SECRETS, *pn.LOGIN.split(":")[1:]) if secret in told] == []
    with closing(open_gallery(str(node.gallery))) as gallery:
        (case,) = gallery.cases()
    uid = str(pydicom.dcmread(next(study.glob("*.dcm"))).StudyInstanceUID)
    (link,) = find_links(tmp_path / "spool" / "links.sqlite", study=uid)
    assert (link.session, link.subject, link.accession) == (
        case.session,
        case.subject,
        pn.ACCESSION,
    )
    assert link.image is not None
    # By its accession number: case, link and pulled images go.
    forget = [*pn.braincase("forget"), "--accession", "-", "--yes", "--json", "--config", config,
              "--gallery", str(node.gallery),
              "--pulled", str(tmp_path / "gallery-archive" / "images")]  # fmt: skip
    gone = subprocess.run(forget, input=f"{pn.ACCESSION}\n", capture_output=True, text=True,
                          env=node.environment())  # fmt: skip
    assert json.loads(gone.stdout) == {"studies": 0, "links": 1, "cases": 1, "series": 1}
    with closing(open_gallery(str(node.gallery))) as gallery:
        assert gallery.cases() == ()
    assert list((tmp_path / "gallery-archive").rglob("*.dcm")) == []


def test_the_five_minutes_of_the_documentation_run_and_stow_gives_the_same_objects(
    archive: pn.Orthanc, study: Path, tmp_path: Path, slabs: tuple[Path, Path]
) -> None:
    gallery, encoder = slabs
    text = (Path(__file__).parents[1] / "docs" / "pacs.md").read_text()
    (block,) = re.findall(r"^## Five minutes.*?```sh\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    commands = [line for line in block.splitlines() if not line.startswith("apt-get")]
    assert len(commands) < len(block.splitlines())
    program = tmp_path / "bin" / "braincase"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m braincase "$@"\n')
    program.chmod(0o755)
    (tmp_path / "gallery").symlink_to(gallery)
    (tmp_path / "study").mkdir()
    uid = generate_uid()
    for path in study.glob("*.dcm"):
        image = pydicom.dcmread(path)
        image.StudyInstanceUID, image.AccessionNumber = uid, "DOCS"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.save_as(tmp_path / "study" / path.name)
    script = "\n".join(commands).replace("--model starter", f"--model {encoder}")
    environment = {**os.environ, "BRAINCASE_KEY_FILE": str(tmp_path / "key")}
    environment |= {"OMP_NUM_THREADS": "1", "PATH": f"{program.parent}:{os.environ['PATH']}"}
    with archive.inside():
        process = subprocess.Popen(
            ["bash", "-euc", f"{script}\nkill %1"], cwd=tmp_path, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=240)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, said
        assert "sent" in said
        assert "Similar cases (research)" in said
        mine = {u for u, (_, one, _) in objects_of(archive).items() if one.StudyInstanceUID == uid}
        assert len(mine) == 4
        for found in archive.ask("/studies"):
            if archive.ask(f"/studies/{found}")["MainDicomTags"]["StudyInstanceUID"] == uid:
                archive.ask(f"/studies/{found}", method="DELETE")
        web = Archive("", dicomweb=f"http://127.0.0.1:{pn.HTTP}/dicom-web")
        results = sorted((tmp_path / "spool" / "studies").glob("*/results/*.dcm"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(LOGIN, f"basic {pn.LOGIN}")
            sent: list[Path] = []
            WebArchive(web).store(results, sent.append)
        assert sent == results
        again = {u for u, (_, one, _) in objects_of(archive).items() if one.StudyInstanceUID == uid}
    assert again == mine


def test_a_patient_is_forgotten(node: pn.Node, study: Path, tmp_path: Path) -> None:
    command = [*pn.braincase("forget"), "-", "--yes", "--json", "--gallery", str(node.gallery),
               "--config", str(node.folder / "pacs.toml")]  # fmt: skip

    def forget() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, input=f"{pn.PATIENT}\n", capture_output=True, text=True,
                              env=node.environment())  # fmt: skip

    assert pn.store(study, node.port) == 0
    running = forget()
    assert running.returncode == 2
    assert "another node uses this spool" in running.stderr
    node.kill()
    spooled = [pydicom.dcmread(path, stop_before_pixels=True) for path in _spooled(node)]
    theirs = {image.StudyInstanceUID for image in spooled if image.PatientID == pn.PATIENT}
    done = forget()
    assert json.loads(done.stdout)["studies"] == len(theirs) > 0, done.stderr
    left = [pydicom.dcmread(path).PatientID for path in _spooled(node)]
    assert pn.PATIENT not in left


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[nodes]", r"unknown section \[nodes\]"),
        ("[limits]", r"no section \[node\]"),
        ("[node]\nspool = 's'\nprot = 1", r"unknown key 'prot' in \[node\]"),
        ("[node]\nport = 1", r"no 'spool' in \[node\]"),
        ("[node]\nspool = 's'\nport = 'x'", "node.port = 'x'; expected a whole number"),
        ("[node]\nspool = 's'\nhost = '10.0.0.1'", r"without \[tls\]"),
        ("[node]\nspool = 's'\nae_title = 'LONGER_THAN_SIXTEEN'", "node.ae_title"),
        ("[node]\nspool = 's'\n[[peer]]\nae_title = 'A'\naddress = 'pacs'", "peer.address"),
        ("[node]\nspool = 's'\n[pull]\nwindow = '20-6'", "20:00-06:00"),
        ("[node]\nspool = 's'\n[archive]\nae_title = 'A'\nca = 'x'", "archive.tls"),
        ("[node]\nspool = 's'\n[results]\nreport = false\npictures = false", "nothing to send"),
        ("[node]\nspool = 's'\n[limits]\nstudy_bytes = 1", "below limits.instance_bytes"),
        (f"{WEB}\nmove = true", "archive.move with archive.dicomweb"),
        (f"{WEB}\nstow = true\ncommit = true", "archive.commit with archive.stow"),
        (f"{WEB}\ncertificate = 'c'", "archive.certificate or archive.key alone"),
        (f"{WEB}\nlogin = 'l'".replace("https", "http"), "for http, which everybody"),
        (WEB.replace("//", "//me:secret@"), "a login in archive.dicomweb"),
        ("[node]\nspool = 's'\n[archive]\nae_title = 'A'\nstow = true", "without archive.dicomweb"),
        ("[node]\nspool = 's'\n[pull]\nhost = '10.0.0.1'", "pull.host"),
    ],
)
def test_a_wrong_configuration_is_named(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "pacs.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        read_settings(path)


def test_hours_and_series_are_judged() -> None:
    def at(hour: int) -> datetime:
        return datetime(2026, 1, 1, hour)

    assert [is_open("20:00-06:00", at(hour)) for hour in (19, 20, 5, 6)] == [0, 1, 1, 0]
    assert [is_open("08:00-12:00", at(hour)) for hour in (7, 8, 12)] == [0, 1, 0]
    series = pydicom.Dataset()
    series.Modality = "CT"
    assert against(series) == "no MRI (modality CT)"
    series.Modality, series.NumberOfSeriesRelatedInstances = "MR", 24
    assert against(series) == "too few slices"
    series.NumberOfSeriesRelatedInstances, series.SeriesDescription = 176, "t1_mprage"
    assert against(series) == ""

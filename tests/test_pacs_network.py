"""The node's own doors, opened in this process: TLS, a full disk, hostile peers, logins, C-MOVE."""

from __future__ import annotations

import base64
import gc
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import MRImageStorage, generate_uid

pytest.importorskip("pynetdicom", reason="the extra 'pacs' is not installed")
pytest.importorskip("highdicom", reason="the extra 'pacs' is not installed")

from pynetdicom import AE, _config

import pacs_node as pn
from braincase.errors import UsageError
from braincase.pacs.archive_query import Wanted
from braincase.pacs.archive_url import archive_of_url
from braincase.pacs.dicomweb import LOGIN, WebArchive, authorization_of
from braincase.pacs.ledger import Ledger
from braincase.pacs.moving import MoveReceiver
from braincase.pacs.node import Node
from braincase.pacs.sending import ArchiveError, keep_answers, send
from braincase.pacs.settings import Archive, NodeLimits, NodeSettings, PacsSettings, Pull, Tls
from braincase.pacs.spool import Spool

# pynetdicom leaves connections that were shut to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@dataclass
class Open:
    """A node that listens in this process."""

    node: Node
    ledger: Ledger
    spool: Path

    def images(self) -> list[Path]:
        return sorted(self.spool.glob("studies/*/images/*.dcm"))

    def associate(self) -> Any:
        entity = AE("SENDER")
        entity.add_requested_context(MRImageStorage, "1.2.840.10008.1.2.1")
        entity.add_requested_context("1.2.840.10008.1.1")
        # Answers may be slow on a busy machine.
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 20
        association = entity.associate("127.0.0.1", self.node.port, ae_title="BRAINCASE")
        keep_answers(association)
        return association


@contextmanager
def listening(
    spool: Path, limits: NodeLimits | None = None, tls: Tls | None = None
) -> Iterator[Open]:
    """Open a node without a gallery: it takes images and nothing more."""
    before = tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET
    settings = PacsSettings(
        NodeSettings(spool, port=0), limits=limits or NodeLimits(free_bytes=0), tls=tls
    )
    spool.mkdir(mode=0o700, exist_ok=True)
    try:
        with closing(Ledger(spool)) as ledger:
            folder = Spool(settings.node, settings.limits, b"k" * 32, ledger)
            with closing(Node(settings, folder, ledger)) as node:
                yield Open(node, ledger, spool)
    finally:
        tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET = before
        gc.collect()


@pytest.fixture
def quick() -> Iterator[Path]:
    """A folder in memory, where syncing to the disk costs nothing."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


def tiny(folder: Path, count: int, side: int = 4) -> list[Path]:
    """Write MR instances of a few pixels, all of one study."""
    study = pn.write_slices(folder, count, side)
    return sorted(study.glob("*.dcm"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a node and a client that it signed, and a stranger, for two days."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    for name in ("authority", "stranger"):
        openssl("req", "-x509", *new, "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-subj", f"/CN={name}")  # fmt: skip
    (folder / "place").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("node", "client"):
        openssl("req", *new[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr",
                "-subj", f"/CN={name}")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey",
                "authority.key", "-CAcreateserial", "-days", "2", "-extfile", "place",
                "-out", f"{name}.pem")  # fmt: skip
    return folder


def test_with_client_certificates_only_who_shows_one_is_heard(
    certificates: Path, tmp_path: Path
) -> None:
    own = certificates
    tls = Tls(own / "node.pem", own / "node.key", own / "authority.pem")
    paths = tiny(tmp_path / "study", 3)
    with listening(tmp_path / "spool", tls=tls) as there:

        def archive(who: str, authority: str = "authority") -> Archive:
            return Archive(
                "BRAINCASE", port=there.node.port, tls=True, ca=own / f"{authority}.pem",
                certificate=own / f"{who}.pem", key=own / f"{who}.key",
            )  # fmt: skip

        sent: list[Path] = []
        send(archive("client"), "SENDER", paths[:1], sent.append)
        assert (sent, len(there.images())) == (paths[:1], 1)
        for wrong in (archive("stranger"), archive("client", "stranger"),
                      Archive("BRAINCASE", port=there.node.port)):  # fmt: skip
            with pytest.raises(ArchiveError):
                send(wrong, "SENDER", paths[1:2], sent.append)
        # Another implementation of DICOM over TLS, with and without a certificate.
        if pn.why_no_dcmtk() is None:
            base = [
                pn.dcmtk("storescu"),
                "-aec",
                "BRAINCASE",
                "127.0.0.1",
                str(there.node.port),
                str(paths[2]),
            ]
            shown = ["+tls", str(own / "client.key"), str(own / "client.pem")]
            trust = ["+cf", str(own / "authority.pem")]
            for words, code in ((["+tla", *trust], False), ([*shown, *trust], True)):
                done = subprocess.run([*base, *words], capture_output=True)
                assert (done.returncode == 0) is code, done.stderr
            assert len(there.images()) == 2
    useless = Tls(paths[0], paths[0])
    with pytest.raises(UsageError, match="cannot be used"), listening(tmp_path / "s", tls=useless):
        pass


def test_on_a_full_disk_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk (tmpfs) cannot be mounted here")
    try:
        paths = tiny(tmp_path / "study", 60, 160)
        with listening(place / "spool") as there:
            assoc = there.associate()
            answers = [assoc.send_c_store(path).get("Status") for path in paths]
            assoc.release()
            assert set(answers) == {0x0000, 0xA700}  # stored, or to be sent again
            uids = {pydicom.dcmread(path).SOPInstanceUID for path in there.images()}
            for path, answer in zip(paths, answers, strict=True):
                assert answer or pydicom.dcmread(path).SOPInstanceUID in uids
            subprocess.run(["mount", "-o", "remount,size=16m", str(place)], check=True)
            assoc = there.associate()  # the first may have been idle for too long
            again = [assoc.send_c_store(path).get("Status") for path in paths]
            assoc.release()
            assert set(again) == {0x0000}
            assert len(there.images()) == len(paths)
            assert there.ledger.size_of(there.ledger.studies()[0].study)[0] == len(paths)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_hundreds_of_tiny_instances_end_at_the_studys_limit_and_stop_nobody(quick: Path) -> None:
    paths = tiny(quick / "study", 250)
    with listening(quick / "spool", NodeLimits(free_bytes=0, study_instances=150)) as there:
        flood, other = there.associate(), there.associate()
        answers = []
        for number, path in enumerate(paths):
            answers.append(flood.send_c_store(path).get("Status"))
            if number % 50 == 0:
                assert other.send_c_echo().get("Status") == 0x0000
        assert answers == [0x0000] * 150 + [0xA700] * 100
        assert len(there.images()) == 150
        (reason,) = [name for name in there.ledger.events() if "study_instances" in name]
        assert there.ledger.events()[reason] == 100
        assert not list((there.spool / "arriving").iterdir())


class DelayedEvent(threading.Event):
    """An event whose waiters go on a little after they might."""

    def wait(self, timeout: float | None = None) -> bool:
        done = super().wait(timeout)
        time.sleep(0.05)
        return done


def test_an_answer_reaches_who_asked_though_the_reactor_is_delayed(tmp_path: Path) -> None:
    with listening(tmp_path / "spool") as there:
        asking = there.associate()
        checkpoint = DelayedEvent()
        checkpoint.set()
        asking._reactor_checkpoint = checkpoint
        get = asking.dimse.get_msg

        def late(block: bool = False) -> Any:
            if block:  # the answer is there before the asker looks
                time.sleep(0.2)
            return get(block)

        asking.dimse.get_msg = late
        for _ in range(4):
            assert asking.send_c_echo().get("Status") == 0x0000


def test_an_association_that_never_ends_is_ended(tmp_path: Path) -> None:
    limits = NodeLimits(free_bytes=0, association_s=0.3, idle_s=1.0)
    with listening(tmp_path / "spool", limits) as there:
        endless = there.associate()
        assert endless.send_c_echo().get("Status") == 0x0000
        until = threading.Event()
        until.wait(0.4)
        there.node.check()
        pn.wait_for(lambda: not endless.is_established, 5)
        assert there.ledger.events()["association too long"] == 1
        silent = there.associate()
        pn.wait_for(lambda: not silent.is_established, 5)  # by limits.idle_s


@pytest.mark.filterwarnings("ignore")
def test_what_lies_about_its_syntax_or_has_paths_for_uids_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # the bytes as they are
    image = pydicom.dcmread(tiny(tmp_path / "study", 1)[0])
    lying = tmp_path / "lying.dcm"
    with listening(tmp_path / "spool") as there:
        assoc = there.associate()
        image.save_as(lying)
        pydicom.dcmwrite(tmp_path / "big", image, little_endian=False, implicit_vr=False,
                         force_encoding=True)  # fmt: skip
        content = bytearray((tmp_path / "big").read_bytes())
        lying.write_bytes(content)
        assert assoc.send_c_store(lying).get("Status") == 0xC000
        for uid in ("../../../../etc/passwd", "1.2/../..", "1" * 65, ""):
            image.StudyInstanceUID = uid
            image.save_as(lying)
            assert assoc.send_c_store(lying).get("Status") == 0xC000
        assoc.release()
        assert there.images() == []
        assert there.ledger.studies() == []
        assert {path.name for path in there.spool.iterdir()} >= {"arriving", "studies", "worker"}


def test_what_c_move_sends_is_taken_only_if_it_was_asked_for(tmp_path: Path) -> None:
    paths = tiny(tmp_path / "study", 2)
    asked = pydicom.dcmread(paths[0]).SeriesInstanceUID
    pull = Pull(ae_title="PULL", port=0)
    with closing(MoveReceiver(Archive("ORTHANC"), pull, None)) as receiver:
        target = Archive("PULL", port=receiver.port)
        with pytest.raises(ArchiveError, match="0x0124"):
            send(target, "ORTHANC", paths, lambda path: None)
        with receiver.expecting(generate_uid()), pytest.raises(ArchiveError, match="0x0124"):
            send(target, "ORTHANC", paths, lambda path: None)
        with receiver.expecting(asked) as taken:
            send(target, "ORTHANC", paths, lambda path: None)
        assert len(taken) == 2
    elsewhere = Archive("ORTHANC", "10.9.8.7")
    with (
        closing(MoveReceiver(elsewhere, pull, None)) as receiver,
        pytest.raises(ArchiveError, match="does not answer"),
    ):
        send(Archive("PULL", port=receiver.port), "ORTHANC", paths, lambda path: None)


@contextmanager
def web_server(answers: dict[str, int]) -> Iterator[tuple[str, list[str]]]:
    """A web server that notes the Authorization of each request."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            self.send_response(answers.get(seen[-1], 401))
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dicom-web", seen
    finally:
        server.shutdown()
        server.server_close()


def test_dicomweb_is_logged_in_to_from_a_private_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # is not asked: to the archive alone
    login = tmp_path / "login"
    login.write_text("bearer abc.def\n")
    login.chmod(0o600)
    basic = f"Basic {base64.b64encode(b'node:pass word').decode()}"
    with web_server({"Bearer abc.def": 200, basic: 200}) as (root, seen):
        archive = Archive("", dicomweb=root, login=login)
        assert WebArchive(archive).studies(Wanted(date="20200101-")) == []
        monkeypatch.setenv(LOGIN, "basic node:pass word")
        assert WebArchive(archive).studies(Wanted(date="20200101-")) == []
        monkeypatch.setenv(LOGIN, "bearer wrong")
        with pytest.raises(ArchiveError, match=r"answered 401.*archive\.login"):
            WebArchive(archive).studies(Wanted(date="20200101-"))
        assert seen == ["Bearer abc.def", basic, "Bearer wrong"]
    with pytest.raises(UsageError, match="https"):
        WebArchive(Archive("", dicomweb="http://pacs.example/dicom-web", login=login))


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("bearer abc", 0o644, "others on this machine"),
        ("abc", 0o600, "basic USER:PASSWORD"),
        ("basic nobody", 0o600, "basic USER:PASSWORD"),
        ("bearer two words", 0o600, "basic USER:PASSWORD"),
        (None, 0, "cannot be read"),
    ],
)
def test_a_login_that_cannot_be_used_is_told_without_it(
    text: str | None, mode: int, told: str, tmp_path: Path
) -> None:
    login = tmp_path / "login"
    if text is not None:
        login.write_text(text)
        login.chmod(mode)
    with pytest.raises(UsageError, match=told) as caught:
        authorization_of(Archive("", dicomweb="https://x/y", login=login))
    assert text is None or text.split()[-1] not in str(caught.value).replace(str(login), "")


def test_an_archive_is_named_by_a_url_that_names_no_patient() -> None:
    web = archive_of_url(
        "dicomweb+https://pacs:8443/dicom-web?StudyDate=2020-&BodyPartExamined=HEAD"
    )
    assert web.archive.dicomweb == "https://pacs:8443/dicom-web"
    assert (web.wanted.date, web.wanted.modality, web.body_part) == ("2020-", "MR", "HEAD")
    dimse = archive_of_url("dicom://THE%20PACS@10.0.0.7:11112?StudyDescription=*head*")
    assert (dimse.archive.ae_title, dimse.archive.host, dimse.archive.port) == (
        ("THE PACS", "10.0.0.7", 11112)
    )
    for url, told in (
        ("dicomweb+https://pacs/dicom-web", "no question"),
        ("dicomweb+https://pacs/x?PatientID=SECRET", "pacs pull"),
        ("dicomweb+https://me:secret@pacs/x?StudyDate=2020-", "a login"),
        ("dicom://pacs:104?StudyDate=2020-", "no AE title"),
        ("ftp://pacs/x", "another kind"),
    ):
        with pytest.raises(UsageError, match=told) as caught:
            archive_of_url(url)
        assert "secret" not in str(caught.value).lower()

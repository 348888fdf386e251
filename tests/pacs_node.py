"""A real DICOM node, and a real Orthanc in a network namespace of its own, for tests."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import compress
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from braincase.simulate.head import Pose, Scanning, simulate_head
from markers import write_dicom
from namespace import loopback_up, why_no_namespace

if TYPE_CHECKING:
    from braincase.pacs.ledger import Study

CLONE_NEWNET = 0x40000000
#: Ports as their programs have them; an archive has a network of its own.
HTTP, DICOM, NODE, MOVE = 8042, 4242, 11115, 11113
LOGIN = "node:pass word"
#: A patient of whom nothing may ever be seen; the name in three scripts, as in a Japanese hospital.
NAME = "SECRET^TARO=山田^太郎=やまだ"
PATIENT, ACCESSION, BORN = "SECRETID77", "SECRETACC9", "19410523"
JAPANESE = ["", "ISO 2022 IR 87"]
CONFIG = """
[node]
spool = "spool"
port = {port}
quiet_s = {quiet}
release_quiet_s = {quiet}

[[peer]]
ae_title = "SENDER"
address = "127.0.0.1"

[[peer]]
ae_title = "LOOKER"
address = "127.0.0.1"
may = ["echo"]

[limits]
retry_s = 0.05
most_retry_s = 0.4
idle_s = 5.0
free_bytes = 0
peer_associations = 8
{limits}

[results]
{results}
"""
ARCHIVE = """
[archive]
ae_title = "ORTHANC"
port = 4242
"""


def dcmtk(program: str) -> str | None:
    """Where a program of dcmtk is: pynetdicom puts others of the same names beside python."""
    return shutil.which(program, path=os.defpath)


def why_no_dcmtk() -> str | None:
    """Return why dcmtk cannot send here, or None."""
    return None if dcmtk("storescu") else "no program storescu (Debian: dcmtk)"


def why_no_orthanc() -> str | None:
    """Return why no archive can run here, or None."""
    for program in ("Orthanc", "dciodvfy"):
        if shutil.which(program) is None:
            return f"no program {program} (Debian: orthanc, dicom3tools)"
    return why_no_dcmtk() or why_no_namespace()


@dataclass
class Orthanc:
    """A running archive; `inside` takes this thread, and what it starts, into its namespace."""

    folder: Path
    process: subprocess.Popen[bytes]
    options: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def inside(self) -> Iterator[None]:
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as home, open(f"/proc/{self.process.pid}/ns/net") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)

    def ask(self, path: str, content: bytes | None = None, method: str | None = None) -> Any:
        """Ask the REST service; call it `inside`."""
        url = f"http://127.0.0.1:{HTTP}{path}"
        login = base64.b64encode(LOGIN.encode()).decode()
        headers = {"Authorization": f"Basic {login}"}
        request = urllib.request.Request(url, data=content, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            kind = answer.headers.get_content_type()
            body = answer.read()
        return json.loads(body) if kind == "application/json" else body


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    """Run an archive."""
    folder.mkdir(parents=True, exist_ok=True)
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    settings = {
        "Name": "test", "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": HTTP, "HttpBindAddresses": ["127.0.0.1"], "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True, "RegisteredUsers": dict([LOGIN.split(":")]),
        "DicomPort": DICOM, "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": False, "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True, "DicomAlwaysAllowMove": True, "SyncStorageArea": False,
        "DicomModalities": {"braincase": ["BRAINCASE", "127.0.0.1", NODE],
                            "pull": ["BRAINCASE_PULL", "127.0.0.1", MOVE]},
        "Plugins": [str(plugin)] if plugin.exists() else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, "OverwriteInstances": False,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    command = ["unshare", "--net", sys.executable, __file__, str(folder / "orthanc.json")]
    with open(folder / "orthanc.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    server = Orthanc(folder, process)
    try:
        wait_for(lambda: "Orthanc has started" in (folder / "orthanc.log").read_text(), 30)
        yield server
    finally:
        process.kill()
        process.wait()


@dataclass
class Node:
    """A node's process, its folder and what it printed."""

    folder: Path
    gallery: Path
    model: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "node.log").read_text("utf-8", "replace")

    @property
    def port(self) -> int:
        return int(self.log.rsplit("BRAINCASE@127.0.0.1:", 1)[1].split()[0])

    def configure(
        self, port: int = 0, quiet: float = 0.5, results: str = "", limits: str = "", more: str = ""
    ) -> None:
        text = CONFIG.format(port=port, quiet=quiet, results=results, limits=limits) + more
        (self.folder / "pacs.toml").write_text(text)

    def start(self) -> None:
        seen = self.log.count("BRAINCASE@") if (self.folder / "node.log").exists() else 0
        with open(self.folder / "node.log", "ab") as log:
            self.process = subprocess.Popen(
                [*braincase("serve"), str(self.gallery), "--model", str(self.model),
                 "--config", str(self.folder / "pacs.toml")],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment(),
            )  # fmt: skip
        wait_for(lambda: self.log.count("BRAINCASE@") > seen or self._has_ended(), 60)

    def _has_ended(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return False

    def environment(self) -> dict[str, str]:
        key = str(self.folder / "pseudonym.key")
        return {**os.environ, "BRAINCASE_KEY_FILE": key, "OMP_NUM_THREADS": "1"}

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(20)

    def status(self) -> dict[str, Any]:
        command = [*braincase("status"), "--config", str(self.folder / "pacs.toml"), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment())
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def study(self) -> Study:
        """The only study, as the ledger has it."""
        from braincase.pacs.ledger import Ledger

        with closing(Ledger(self.folder / "spool", read_only=True)) as ledger:
            (study,) = ledger.studies()
            return study

    def quick_status(self) -> list[tuple[str, str]]:
        """Study and state, read from the ledger itself."""
        from braincase.pacs.ledger import Ledger

        ledger = Ledger(self.folder / "spool", read_only=True)
        try:
            return [(study.study, study.state) for study in ledger.studies()]
        finally:
            ledger.close()

    def wait_for_end(self, studies: int = 1, seconds: float = 90) -> None:
        def ended() -> bool:
            states = [state for _, state in self.quick_status()]
            return len(states) >= studies and all(s in ("sent", "refused") for s in states)

        wait_for(ended, seconds)


def braincase(command: str) -> list[str]:
    return [sys.executable, "-m", "braincase", "pacs", command]


def write_study(folder: Path, seed: int = 1, **fields: Any) -> Path:
    """Write a simulated head as one DICOM series of a patient with a Japanese name."""
    head = simulate_head(seed, Pose(), Scanning(zooms_mm=(2.4, 2.4, 2.4), noise=0.02, bias=0))
    voxels = (1000 / head.data.max() * head.data).astype(np.int16)
    patient = {
        "SpecificCharacterSet": JAPANESE, "PatientName": NAME, "PatientID": PATIENT,
        "AccessionNumber": ACCESSION, "PatientBirthDate": BORN, "StudyInstanceUID": generate_uid(),
        "StudyTime": "101112", "StudyID": "7", "ReferringPhysicianName": "SECRETDOCTOR^A",
        "StudyDescription": "SECRETBRAIN",
    }  # fmt: skip
    return write_dicom(folder, voxels, head.affine, **patient | fields)


def packed(study: Path, folder: Path) -> list[Path]:
    """Write a study with each image in another transfer syntax than the one before."""
    folder.mkdir()
    for number, path in enumerate(sorted(study.glob("*.dcm"))):
        image, target = pydicom.dcmread(path), folder / path.name
        match number % 6:
            case 0:
                compress(image, RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
            case 1:
                compress(image, JPEGLSLossless, generate_instance_uid=False)
            case 2:
                pixels = Image.fromarray(image.pixel_array.astype(np.uint16))
                pixels.save(buffer := BytesIO(), "JPEG2000", irreversible=False, no_jp2=True)
                image.PixelData, image.PixelRepresentation = encapsulate([buffer.getvalue()]), 0
                image.file_meta.TransferSyntaxUID = JPEG2000Lossless
            case 3:
                image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
            case 4:
                subprocess.run(["dcmcjpeg", str(path), str(target)], check=True)
                continue
        image.save_as(target)
    return sorted(folder.iterdir())


def write_slices(folder: Path, count: int, side: int) -> Path:
    """Write a series of random slices of a few pixels."""
    voxels = np.random.default_rng(0).integers(0, 1000, (side, side, count)).astype(np.int16)
    return write_dicom(folder, voxels, np.diag([1.0, 1.0, 1.0, 1.0]), PatientID=PATIENT)


def store_command(paths: list[Path], port: int, title: str = "SENDER") -> list[str]:
    """The command of dcmtk that sends files."""
    command = [dcmtk("storescu"), "-aet", title, "-aec", "BRAINCASE", "127.0.0.1", str(port)]
    return [*command, *map(str, paths)]


def store(files: Path | list[Path], port: int, title: str = "SENDER") -> int:
    """Send files with dcmtk, and return its exit code."""
    paths = sorted(files.glob("*.dcm")) if isinstance(files, Path) else files
    return subprocess.run(store_command(paths, port, title), capture_output=True).returncode


#: How dcmtk is told the transfer syntax in which a file is sent as it is.
OPTIONS = {RLELossless: "-xr", JPEGLSLossless: "-xt", JPEG2000Lossless: "-xv",
           DeflatedExplicitVRLittleEndian: "-xd", JPEGLosslessSV1: "-xs"}  # fmt: skip


def store_packed(paths: list[Path], port: int) -> None:
    """Send compressed files as they are, one association for each transfer syntax."""
    by_option: dict[str, list[Path]] = {}
    for path in paths:
        syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
        by_option.setdefault(OPTIONS.get(syntax, "-x="), []).append(path)
    for option, some in by_option.items():
        command = store_command(some, port)
        done = subprocess.run([command[0], option, *command[1:]], capture_output=True)
        assert done.returncode == 0, done.stderr


def echo(port: int, title: str) -> int:
    """Ask for an echo with dcmtk, and return its exit code."""
    command = [dcmtk("echoscu"), "-aet", title, "-aec", "BRAINCASE", "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True).returncode


def wait_for(ready: Any, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


def main() -> None:
    loopback_up()
    os.execvp("Orthanc", ["Orthanc", sys.argv[1]])


if __name__ == "__main__":
    main()

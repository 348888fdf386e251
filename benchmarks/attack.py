"""Fuzzing campaign: damaged files of every kind through the program's own readers.

``python benchmarks/attack.py [CASES A KIND] [SEED] [KIND ...]``. Each case is a sound sample with
one to three files damaged (bytes changed, ends cut; in text also huge numbers, deep nesting, long
words, NUL and lone surrogates) or a pipe in the place of one, read in a process of its own with
limits of memory and time. What counts: hangs, signals, memory over 1 GiB, and exceptions that are
no `BraincaseError`, which a user would see as a traceback. The same seed gives the same damage.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import openpyxl
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from braincase.cohort.cohort import open_cohort
from braincase.errors import BraincaseError
from braincase.gallery import NewCase, create_gallery, open_gallery
from braincase.images.volume import read_volume
from braincase.models.model import load_model
from braincase.models.settings import ModelSettings, load_settings
from braincase.sources.dicom_converter import convert_series
from braincase.sources.dicom_files import open_files
from braincase.sources.find import find_scans
from braincase.sources.read import read_scan
from braincase.web.intake.archives import opened
from braincase.web.security.audit import AuditLog
from braincase.web.security.audit_chain import verify_chain
from braincase.web.security.oidc_settings import read_oidc
from braincase.web.security.proxy_kinds import read_proxy
from braincase.web.security.users import add_token, add_user, read_users
from braincase.web.service_settings import ServiceSettings

CASES, HANG_S, MEMORY, TOO_MUCH = 50, 30, 4 << 30, 1 << 30
FINE, FOREIGN = 0, 3
TEXT = (".json", ".tsv", ".csv", ".toml", ".txt")
#: Words that readers have stumbled over, put somewhere into a text.
WORDS = (
    *("1e999", "-1", "0", "null", "NaN", "1" * 400, "a" * 5000, "\x00", "\ud800", "[" * 3000),
    *("{" * 3000, "a.b." * 2000, "\u202e", "../" * 50, "\t", "\n", '"', "9" * 20, "true", "[]"),
)


def image(path: Path, kind: str) -> None:
    """Write a small head-sized image."""
    data = np.random.default_rng(0).integers(0, 900, (16, 18, 20)).astype(np.int16)
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    types = {"nifti": nib.Nifti1Image, "mgz": nib.MGHImage, "analyze": nib.AnalyzeImage}
    types[kind](data, affine).to_filename(path)


def dicom(folder: Path) -> None:
    """Write a series of eight slices with nested sequences and private headers."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
    header = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    header.SOPClassUID, header.Modality, header.Manufacturer = MRImageStorage, "MR", "SIEMENS"
    header.StudyInstanceUID, header.SeriesInstanceUID = generate_uid(), generate_uid()
    header.SeriesDescription, header.PatientID, header.SeriesNumber = "t1_mprage", "x", 1
    header.ImageOrientationPatient, header.PixelSpacing = [1, 0, 0, 0, 1, 0], [8, 8]
    header.Rows, header.Columns, header.SamplesPerPixel = 8, 8, 1
    header.PhotometricInterpretation, header.PixelRepresentation = "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    nested = pydicom.Dataset()
    for _ in range(20):
        outer = pydicom.Dataset()
        outer.ReferencedImageSequence = pydicom.Sequence([nested])
        nested = outer
    header.ReferencedStudySequence = pydicom.Sequence([nested])
    header.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    header.add_new(0x00291010, "OB", siemens_header())
    header.add_new(0x00291020, "OB", siemens_header())
    for number in range(60):
        header.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
        header.InstanceNumber, header.ImagePositionPatient = number + 1, [0, 0, 2 * number]
        header.PixelData = np.arange(64, dtype="<u2").tobytes()
        pydicom.dcmwrite(folder / f"{number:03d}.dcm", header, enforce_file_format=True)


def siemens_header() -> bytes:
    """Return a CSA header as Siemens writes it: tags with counts, lengths and values."""
    tags = {
        "NumberOfImagesInMosaic": ("US", []), "B_value": ("IS", ["0"]),
        "SliceNormalVector": ("FD", ["0", "0", "1"]),
        "PhaseEncodingDirectionPositive": ("IS", ["1"]),
        "MosaicRefAcqTimes": ("FD", ["0.0", "5.5"]), "UsedChannelMask": ("UL", ["1"]),
        "MrPhoenixProtocol": ("UN", ["### ASCCONV BEGIN ###\nlPat = 1\n### ASCCONV END ###"]),
    }  # fmt: skip
    content = b"SV10\4\3\2\1" + len(tags).to_bytes(4, "little") + (77).to_bytes(4, "little")
    for name, (kind, values) in tags.items():
        content += name.encode().ljust(64, b"\0") + len(values).to_bytes(4, "little")
        content += kind.encode().ljust(4, b"\0") + (6).to_bytes(4, "little")
        content += len(values).to_bytes(4, "little") + (77).to_bytes(4, "little")
        for value in values:
            text = value.encode() + b"\0"
            content += len(text).to_bytes(4, "little") * 2 + (77).to_bytes(4, "little")
            content += len(text).to_bytes(4, "little") + text.ljust(
                -len(text) % 4 + len(text), b"\0"
            )
    return content


def make_dicom(folder: Path) -> None:
    dicom(folder / "s")


def make_zip(folder: Path) -> None:
    dicom(folder / "s")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for path in sorted((folder / "s").iterdir()):
            archive.write(path, path.name)
    shutil.rmtree(folder / "s")


def make_bids(folder: Path) -> None:
    anat = folder / "sub-01" / "anat"
    anat.mkdir(parents=True)
    image(anat / "sub-01_T1w.nii.gz", "nifti")
    (anat / "sub-01_T1w.json").write_text('{"MagneticFieldStrength": 3, "EchoTime": 0.003}')
    (folder / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8"}')
    (folder / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t71\tF\n")


def make_sidecar(folder: Path) -> None:
    """Make a data set and a cohort of which only the JSON files are there to be damaged."""
    make_bids(folder / "b")
    make_cohort(folder)
    for path in (folder / "c").rglob("*"):
        if path.is_file() and path.suffix != ".json" and "packed" not in path.parts:
            path.chmod(0o400)  # `damage` leaves these as they are


def make_sheet(folder: Path) -> None:
    image(folder / "a.nii.gz", "nifti")
    book = openpyxl.Workbook()
    for row in (["path", "subject", "age"], ["a.nii.gz", "s1", 70], ["b.nii", "s2", 7]):
        book.active.append(row)
    book.save(folder / "t.xlsx")


def make_service(folder: Path) -> None:
    """Make what the service reads at its start: users, proxy and keys, audit log."""
    add_user(folder / "users.json", "ada", "purple kettle moons 41", "reader")
    add_token(folder / "users.json", "ada", "script")
    key = {"kty": "oct", "k": "c2VjcmV0", "kid": "1"}
    public = {"kty": "RSA", "kid": "2", "e": "AQAB", "n": "w7" * 171}
    (folder / "keys.json").write_text(json.dumps({"keys": [public, key]}))
    (folder / "proxy.toml").write_text(
        'header = "X-T"\njwks = "keys.json"\nalgorithms = ["RS256"]\nissuer = "i"\n'
        'audience = "b"\nuser_claim = "sub"\nroles_claim = "groups"\n[roles]\na = "reader"\n'
    )
    (folder / "oidc.toml").write_text(
        'issuer = "https://id.example"\nclient_id = "braincase"\n'
        'redirect_uri = "http://127.0.0.1:8765/api/v1/oidc/callback"\n[roles]\na = "reader"\n'
    )
    log = AuditLog(folder / "audit.jsonl")
    for number in range(5):
        log.write("ada", "search", where=f"age > {number}")
    log.close()


def make_table(folder: Path) -> None:
    image(folder / "a.nii.gz", "nifti")
    (folder / "t.csv").write_text("path,subject,age,diagnosis\na.nii.gz,s1,70,CN\nb.nii,s2,7,AD\n")


def make_gallery(folder: Path) -> None:
    gallery = create_gallery(folder / "g", "m" * 64, 4, 10)
    codes = np.random.default_rng(0).normal(size=(8, 10)).astype(np.float32)
    cases = [
        NewCase(f"sub-{i}", f"{i}", code, labels={"age": 60.0 + i}) for i, code in enumerate(codes)
    ]
    gallery.add(cases, "m" * 64)


def make_model(folder: Path) -> None:
    from braincase.images.geometry import HALF_GRID
    from braincase.models.model import Model, save_model
    from braincase.models.network import build_network

    settings = ModelSettings("untrained", channels=2, epochs=1)
    training = {"label": "diagnosis", "classes": []}
    model = Model(build_network(settings, HALF_GRID), settings, HALF_GRID, {}, training)
    save_model(folder / "m", model, "card")


def make_cohort(folder: Path) -> None:
    from braincase.simulate.cohort import simulate_cohort

    simulate_cohort(folder / "c", "tiny", 0, 4, 0.0, 1)


def read_all(path: Path) -> int:
    """Read every scan that is found, as `braincase prepare` does: a bad one stops nobody."""
    scans = find_scans(path)[0]
    for scan in scans:
        with suppress(BraincaseError):
            read_scan(scan)
    return len(scans)


def read_each(*readers: Callable[[], object]) -> int:
    """Read several things; what one refuses in a line stops no other."""
    for reader in readers:
        with suppress(BraincaseError):
            reader()
    return len(readers)


def read_service(folder: Path) -> int:
    service = ServiceSettings(str(folder / "g"))
    return read_each(
        lambda: read_users(folder / "users.json"),
        lambda: read_proxy(folder / "proxy.toml", service),
        lambda: read_oidc(folder / "oidc.toml", service),
        lambda: verify_chain(folder / "audit.jsonl"),
        lambda: AuditLog(folder / "audit.jsonl").write("ada", "search"),
    )


def read_upload(folder: Path) -> int:
    """Open a zip as the service opens an upload, and read what was in it."""
    with tempfile.TemporaryDirectory() as out:
        return read_all(opened(folder / "a.zip", Path(out), 2**30, 10_000))


def read_converted(folder: Path) -> object:
    """Read a series by the converter alone, as every series is that ours does not decode."""
    with open_files(folder / "s") as files:
        return convert_series(files, files.names, "damaged")


def read_gallery(path: Path) -> int:
    gallery = open_gallery(path)
    gallery.closest_people()
    gallery.get("sub-3")
    gallery.versions()
    return gallery.info().cases


#: How each kind is made, and read.
KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "nifti": (lambda f: image(f / "a.nii.gz", "nifti"), lambda f: read_volume(f / "a.nii.gz")),
    "mgz": (lambda f: image(f / "a.mgz", "mgz"), lambda f: read_volume(f / "a.mgz")),
    "analyze": (lambda f: image(f / "a.img", "analyze"), lambda f: read_volume(f / "a.img")),
    "dicom": (make_dicom, lambda f: read_all(f / "s")),
    "convert": (make_dicom, read_converted),
    "zip": (make_zip, lambda f: read_all(f / "a.zip")),
    "upload": (make_zip, read_upload),
    "sidecar": (
        make_sidecar,
        lambda f: read_each(lambda: read_all(f / "b"), lambda: open_cohort(f / "c")),
    ),
    "sheet": (make_sheet, lambda f: read_all(f / "t.xlsx")),
    "service": (make_service, read_service),
    "bids": (make_bids, read_all),
    "table": (make_table, lambda f: read_all(f / "t.csv")),
    "toml": (
        lambda f: (f / "a.toml").write_text('name = "x"\nepochs = 3\n') and None,
        lambda f: load_settings(str(f / "a.toml")),
    ),
    "model": (make_model, lambda f: load_model(f / "m")),
    "gallery": (make_gallery, lambda f: read_gallery(f / "g")),
    "cohort": (make_cohort, lambda f: open_cohort(f / "c")),
}


def damage(folder: Path, seed: int) -> None:
    """Damage one to three files of a folder, or put a pipe in the place of one."""
    rng = np.random.default_rng(seed)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_mode & 0o200)
    if seed % 20 == 19:
        path = files[int(rng.integers(len(files)))]
        path.unlink()
        os.mkfifo(path)
        return
    for number in rng.permutation(len(files))[: int(rng.integers(1, 4))]:
        path = files[int(number)]
        content = path.read_bytes()
        zipped = content[:2] == b"\x1f\x8b" and rng.random() < 0.7
        content = gzip.decompress(content) if zipped else content
        is_text = path.suffix in TEXT and rng.random() < 0.8
        content = damaged_text(content, rng) if is_text else damaged_bytes(content, rng)
        path.write_bytes(gzip.compress(content, 1) if zipped else content)


def damaged_text(content: bytes, rng: np.random.Generator) -> bytes:
    text = content.decode("utf-8", "replace")
    word = WORDS[int(rng.integers(len(WORDS)))]
    start = int(rng.integers(len(text) + 1))
    end = start + int(rng.choice([0, 1, 5, 20]))
    return (text[:start] + word + text[end:]).encode("utf-8", "surrogatepass")


def damaged_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    reach = min(len(changed), int(rng.choice([400, 2000, len(changed) or 1])))
    for place in rng.integers(0, max(reach, 1), int(rng.integers(1, 12))):
        if changed:
            changed[int(place)] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]))
    if rng.random() < 0.2:
        del changed[int(rng.integers(len(changed) + 1)) :]
    return bytes(changed)


def attack(kind: str, sample: Path, seed: int) -> str:
    """Read one damaged sample in a process of its own, and return how that ended."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(sample, Path(place) / "x"))
        damage(folder, seed)
        began, child = time.monotonic(), os.fork()
        if child == 0:
            _read_limited(KINDS[kind][1], folder, Path(place) / "said")
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() - began > HANG_S:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "hang"
            time.sleep(0.01)
        _, status, used = os.wait4(child, 0)
        if os.WIFSIGNALED(status):
            return f"signal {os.WTERMSIG(status)}"
        if used.ru_maxrss * 1024 > TOO_MUCH:
            return "over memory"
        said = Path(place) / "said"
        return f"foreign: {said.read_text()}" if os.WEXITSTATUS(status) == FOREIGN else "fine"


def _read_limited(read: Callable[[Path], object], folder: Path, said: Path) -> None:
    """Read, and leave the process: 0 for a result or one line, 3 for anything else."""
    code = FINE
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["TMPDIR"] = tempfile.tempdir = str(said.parent)
    try:
        read(folder)
    except BraincaseError as error:
        if not str(error).isprintable():
            code = FOREIGN
            said.write_text("a line that cannot be printed")
    except BaseException as error:
        code = FOREIGN
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "braincase" in f.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        said.write_text(f"{type(error).__name__} at {place}")
    os._exit(code)


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    kinds = [word for word in sys.argv[1:] if word in KINDS] or [*KINDS]
    cases, seed = (*numbers, *(CASES, 0)[len(numbers) :])[:2]
    ends: dict[str, dict[str, int]] = {}
    for kind in kinds:
        with tempfile.TemporaryDirectory() as place:
            KINDS[kind][0](Path(place))
            sound = KINDS[kind][1](Path(place))  # it can be read; and libraries are loaded now
            assert sound != 0, f"no scan in the sound {kind}"
            count = Counter(attack(kind, Path(place), seed + case) for case in range(cases))
        ends[kind] = dict(count.most_common())
        print(f"{kind:8} {json.dumps(ends[kind])}", flush=True)
    bad = sum(n for count in ends.values() for end, n in count.items() if end != "fine")
    total = sum(sum(count.values()) for count in ends.values())
    print(f"{total} cases from seed {seed}: {bad} bad ends")


if __name__ == "__main__":
    main()

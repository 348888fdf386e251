"""Fuzzing campaign: damaged files of every kind through the program's own readers.

``python benchmarks/attack.py [CASES A KIND] [SEED] [KIND ...]``. Each case is a sound sample with
one to three files damaged (bytes changed, ends cut; in text also huge numbers, deep nesting, long
words, NUL and lone surrogates), read in a process of its own with limits of memory and time. What
counts: hangs, signals, memory over 1 GiB, and exceptions that are no `BraincaseError`, which a user
would see as a traceback. The same seed gives the same damage.
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
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from braincase.cohort.cohort import open_cohort
from braincase.errors import BraincaseError
from braincase.gallery import NewCase, create_gallery, open_gallery
from braincase.images.volume import read_volume
from braincase.models.model import load_model
from braincase.models.settings import ModelSettings, load_settings
from braincase.sources.find import find_scans
from braincase.sources.read import read_scan

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
    csa = b"SV10\4\3\2\1\1\0\0\0M\0\0\0" + b"B_value".ljust(64, b"\0") + bytes(84)
    header.add_new(0x00291010, "OB", csa)
    for number in range(60):
        header.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
        header.ImagePositionPatient = [0, 0, 2 * number]
        header.PixelData = np.arange(64, dtype="<u2").tobytes()
        pydicom.dcmwrite(folder / f"{number:03d}.dcm", header, enforce_file_format=True)


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
    "zip": (make_zip, lambda f: read_all(f / "a.zip")),
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
    """Damage one to three files of a folder."""
    rng = np.random.default_rng(seed)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
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

"""The DICOM node: seconds from the last image to the report in a real Orthanc, and kills.

    python benchmarks/pacs.py time GALLERY MODEL STUDY [TIMES]
    python benchmarks/pacs.py kills GALLERY MODEL STUDY KILLS [SEED]

STUDY is a folder or a zip of one DICOM study. Needs Orthanc and dcmtk (Debian), and root for a
network namespace.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import psutil
import pydicom
from pydicom.uid import generate_uid

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pacs_node as pn


def copies(study: Path, folder: Path, n: int) -> list[list[Path]]:
    """Write a study several times, each under UIDs of its own."""
    if study.is_file():
        with zipfile.ZipFile(study) as archive:
            archive.extractall(folder / "zip")
        study = folder / "zip"
    found = []
    for number in range(n):
        target = folder / f"copy-{number}"
        target.mkdir()
        study_uid, series = generate_uid(), {}
        for place, path in enumerate(p for p in sorted(study.rglob("*")) if p.is_file()):
            image = pydicom.dcmread(path, force=True)
            if "SOPInstanceUID" not in image:
                continue
            image.StudyInstanceUID = study_uid
            image.SeriesInstanceUID = series.setdefault(image.SeriesInstanceUID, generate_uid())
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            image.PatientID = f"bench-{number}"
            image.save_as(target / f"{place:05d}.dcm")
        found.append(sorted(target.iterdir()))
    return found


def measure(node: pn.Node, archive: pn.Orthanc, studies: list[list[Path]]) -> None:
    node.configure(pn.NODE, quiet=0.5, results="normality = false", more=pn.ARCHIVE)
    node.start()
    for number, paths in enumerate(studies):
        begun = time.monotonic()
        assert pn.store(paths, pn.NODE) == 0
        last = time.monotonic()
        pn.wait_for(lambda n=number: len(archive.ask("/studies")) > n, 300)
        node.wait_for_end(number + 1, 300)
        done = time.monotonic()
        assert node.process is not None
        family = [psutil.Process(node.process.pid)]
        family += family[0].children(recursive=True)
        memory = sum(one.memory_info().rss for one in family) / 2**20
        kind = "cold" if number == 0 else "warm"
        print(f"{kind}: {len(paths)} images sent in {last - begun:.1f} s, report in the archive "
              f"{done - last:.1f} s after the last (of it 0.5 s of quiet); {memory:.0f} MiB",
              flush=True)  # fmt: skip
    node.kill()


def kill(node: pn.Node, archive: pn.Orthanc, paths: list[Path], kills: int, seed: int) -> None:
    chance = random.Random(seed)
    node.configure(pn.NODE, quiet=0.5, limits="tries = 100000", more=pn.ARCHIVE)
    acknowledged, rounds = 0, 0
    node.start()
    spooled, left = node.folder / "spool" / "studies", list(paths)
    for _ in range(kills):
        if left:
            command = [*pn.store_command(left, pn.NODE)[: -len(left)], "-v"]
            command = ["storescu", "-v", *command[1:-1], *map(str, left)]
            sender = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True)  # fmt: skip
        time.sleep(chance.uniform(0.2, 6.0))
        node.kill()
        rounds += 1
        if left:
            said = sender.communicate()[0]
            taken = len(re.findall(r"Received Store Response \(Success\)", said))
            acknowledged += taken
            left = left[taken:]
            there = len(list(spooled.glob("*/images/*.dcm")))
            assert there >= acknowledged, f"{acknowledged - there} acknowledged images lost"
        node.start()
    if left:
        assert pn.store(left, pn.NODE) == 0
    node.wait_for_end(1, 600)
    node.kill()
    names = archive.ask("/instances")
    reports = [
        n for n in names if archive.ask(f"/instances/{n}/simplified-tags")["Modality"] == "SR"
    ]
    print(f"{rounds} kills: {acknowledged} images acknowledged before one, none lost; "
          f"{len(reports)} report and {len(names)} objects in the archive")  # fmt: skip
    assert (len(reports), len(names)) == (1, 4)


def main() -> None:
    what, gallery, model, study, *rest = sys.argv[1:]
    numbers = [int(value) for value in rest]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        studies = copies(Path(study), place, numbers[0] if what == "time" and numbers else 3)
        (place / "node").mkdir()
        node = pn.Node(place / "node", Path(gallery).resolve(), Path(model).resolve())
        with pn.orthanc(place / "orthanc") as archive, archive.inside():
            if what == "time":
                measure(node, archive, studies)
            else:
                kill(node, archive, studies[0], numbers[0], (*numbers, 0)[1])


if __name__ == "__main__":
    main()

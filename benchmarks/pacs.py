"""The DICOM node: seconds to the report in a real Orthanc, kills, an archive indexed, tiny images.

    python benchmarks/pacs.py time GALLERY MODEL STUDY [TIMES]
    python benchmarks/pacs.py index MODEL STUDY STUDIES
    python benchmarks/pacs.py kills FOLDER KILLS [SEED]
    python benchmarks/pacs.py tiny FOLDER INSTANCES

STUDY is a folder or a zip of one DICOM study. `kills` and `tiny` simulate a gallery and a study
and have an encoder file of twelve means at 4 mm; `kills` goes on where it was stopped. Needs
Orthanc and dcmtk (Debian), and root for a network namespace.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pydicom
from pydicom.uid import generate_uid

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pacs_node as pn
from braincase.models.open_encoder import open_encoder
from braincase.pacs.ledger import STATES
from braincase.pacs.spool import INSTANCE_LENGTH
from braincase.sources.pseudonym import pseudonym
from braincase.workflows.index_cohort import index_cohort
from simulated import tiny_cohort
from test_encoder_file import write_encoder

#: Seconds before a kill: while images arrive; after a state, which is waited for so long at most.
SOON_S, AFTER_S, STATE_S = 3.0, 0.8, 40.0


def copies(study: Path, folder: Path, numbers: range) -> list[list[Path]]:
    """Write a study several times, each under UIDs and a patient of its own."""
    if study.is_file():
        with zipfile.ZipFile(study) as archive:
            archive.extractall(folder / "zip")
        study = folder / "zip"
    found = []
    for number in numbers:
        target = folder / f"copy-{number}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
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


def memory_of(node: pn.Node) -> float:
    """MiB of the node and its worker."""
    assert node.process is not None
    family = [psutil.Process(node.process.pid)]
    family += family[0].children(recursive=True)
    return sum(one.memory_info().rss for one in family) / 2**20


def simulated_node(folder: Path) -> tuple[pn.Node, Path]:
    """Make a gallery of 34 simulated scans, an encoder file and one study, once."""
    if not (folder / "study").is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        cohort = tiny_cohort(folder / "cohort")
        encoder = write_encoder(folder / "encoder")
        index_cohort(folder / "gallery", cohort, open_encoder(encoder))
        (folder / "node").mkdir()
        pn.write_study(folder / "making")
        (folder / "making").rename(folder / "study")
    node = pn.Node(folder / "node", folder / "gallery", folder / "encoder" / "own.py")
    return node, folder / "study"


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
        kind = "cold" if number == 0 else "warm"
        print(f"{kind}: {len(paths)} images sent in {last - begun:.1f} s, report in the archive "
              f"{done - last:.1f} s after the last (of it 0.5 s of quiet); "
              f"{memory_of(node):.0f} MiB", flush=True)  # fmt: skip
    node.kill()


def index(archive: pn.Orthanc, model: str, studies: list[list[Path]], folder: Path) -> None:
    """Index an archive of several studies by DICOMweb, from nothing to the gallery."""
    for paths in studies:
        for path in paths:
            archive.ask("/instances", path.read_bytes())
    source = f"dicomweb+http://127.0.0.1:{pn.HTTP}/dicom-web?StudyDate=19000101-"
    command = [sys.executable, "-m", "braincase", "index", source, "--gallery",
               str(folder / "gallery"), "--model", model]  # fmt: skip
    begun = time.monotonic()
    environment = {**os.environ, "BRAINCASE_DICOMWEB_LOGIN": f"basic {pn.LOGIN}",
                   "BRAINCASE_KEY_FILE": str(folder / "key")}  # fmt: skip
    process = subprocess.Popen(command, env=environment)
    most = 0.0
    while process.poll() is None:
        with suppress(psutil.Error):
            family = [psutil.Process(process.pid)]
            family += family[0].children(recursive=True)
            most = max(most, sum(one.memory_info().rss for one in family) / 2**20)
        time.sleep(0.2)
    assert process.returncode == 0
    seconds = time.monotonic() - begun
    print(f"{len(studies)} studies of {len(studies[0])} images indexed in {seconds:.0f} s: "
          f"{3600 * len(studies) / seconds:.0f} an hour; {most:.0f} MiB at most")  # fmt: skip


class Kills:
    """Kills at random moments while study after study is sent; kept in a file after each.

    Parameters
    ----------
    node, study
        The node, and what is sent to it under new UIDs again and again.
    folder
        Of the studies and of the file.
    """

    def __init__(self, node: pn.Node, study: Path, folder: Path) -> None:
        self.node, self.study, self.folder = node, study, folder
        path = folder / "kills.json"
        fresh: dict[str, Any] = {"kills": 0, "studies": 0, "acknowledged": 0, "at": {}}
        self.state = json.loads(path.read_text()) if path.exists() else fresh

    def sent_studies(self) -> list[list[Path]]:
        """Return the images of all studies, the one under way too."""
        return [
            sorted((self.folder / f"copy-{number}").glob("*.dcm"))
            for number in range(self.state["studies"])
        ]

    def keep(self) -> None:
        """Write down how far it is."""
        aside = self.folder / "kills.json.part"
        aside.write_text(json.dumps(self.state))
        aside.rename(self.folder / "kills.json")

    def next_study(self) -> list[Path]:
        """Write the next study."""
        number = self.state["studies"]
        (paths,) = copies(self.study, self.folder, range(number, number + 1))
        self.state["studies"] += 1
        self.state["acknowledged"] = 0
        self.keep()
        return paths

    def run(self, kills: int, seed: int) -> None:
        """Kill until there were so many."""
        chance = random.Random(seed + self.state["kills"])
        while self.state["kills"] < kills:
            states = self.node.quick_status()
            if sum(s == "sent" for _, s in states) >= self.state["studies"]:
                self.next_study()
            self.one(self.sent_studies()[-1], chance)
            if self.state["kills"] % 10 == 0:
                print(f"{self.state['kills']} kills, {self.state['studies']} studies", flush=True)

    def one(self, paths: list[Path], chance: random.Random) -> None:
        """Send what is left of a study, kill the node, and look for what it had acknowledged."""
        left = paths[self.state["acknowledged"] :]
        sender = None
        if left:
            command = [pn.dcmtk("storescu"), "-v", *pn.store_command(left, pn.NODE)[1:]]
            sender = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True)  # fmt: skip
        self.wait(paths, chance)
        self.node.kill()
        said = sender.communicate()[0] if sender else ""
        self.state["acknowledged"] += len(re.findall(r"Received Store Response \(Success\)", said))
        state = dict(self.node.quick_status()).get(self.study_name(paths), "received")
        what = "receiving" if len(left) and state == "received" else state
        self.state["at"] = {**self.state["at"], what: self.state["at"].get(what, 0) + 1}
        self.state["kills"] += 1
        self.keep()
        key = (self.node.folder / "pseudonym.key").read_bytes()
        there = {path.stem for path in self.node.folder.glob("spool/studies/*/images/*.dcm")}
        for path in paths[: self.state["acknowledged"]]:
            assert pseudonym(uid_of(path), key, INSTANCE_LENGTH) in there, "an acknowledged image"
        self.node.start()

    def wait(self, paths: list[Path], chance: random.Random) -> None:
        """Wait for a moment of chance: soon, or around a step of chance."""
        if chance.random() < 0.4:
            time.sleep(chance.uniform(0.1, SOON_S))
            return
        wanted = chance.randrange(len(STATES))
        name, until = self.study_name(paths), time.monotonic() + STATE_S
        while time.monotonic() < until:
            state = dict(self.node.quick_status()).get(name, "")
            if state and STATES.index(state) >= wanted:
                break
            time.sleep(0.02)
        time.sleep(chance.uniform(0.0, AFTER_S))

    def study_name(self, paths: list[Path]) -> str:
        """Return what the node calls a study."""
        key = (self.node.folder / "pseudonym.key").read_bytes()
        return pseudonym(uid_of(paths[0], "StudyInstanceUID"), key)

    def judge(self, archive: pn.Orthanc) -> None:
        """Send the rest, wait for the end, and count what is in the archive."""
        last = self.sent_studies()[-1]
        assert pn.store(last, pn.NODE) == 0
        self.node.wait_for_end(self.state["studies"], 600)
        names = archive.ask("/instances")
        tags = [archive.ask(f"/instances/{name}/simplified-tags") for name in names]
        objects = Counter(tag["StudyInstanceUID"] for tag in tags)
        reports = Counter(tag["StudyInstanceUID"] for tag in tags if tag["Modality"] == "SR")
        wanted = {uid_of(paths[0], "StudyInstanceUID") for paths in self.sent_studies()}
        assert objects.keys() == reports.keys() == wanted
        assert set(objects.values()) == {4}
        assert set(reports.values()) == {1}
        when = ", ".join(f"{n} {state}" for state, n in sorted(self.state["at"].items()))
        print(f"{self.state['kills']} kills ({when}): no acknowledged image lost;", end=" ")
        print(f"{len(wanted)} studies, each with 1 report and 3 pictures in the archive")


def uid_of(path: Path, tag: str = "SOPInstanceUID") -> str:
    return str(pydicom.dcmread(path, specific_tags=[tag])[tag].value)


def tiny(node: pn.Node, study: Path, folder: Path, count: int) -> None:
    """Send many tiny instances in one study, and a whole one beside them."""
    image = pydicom.dcmread(sorted(study.glob("*.dcm"))[0])
    image.Rows = image.Columns = 4
    image.PixelData = bytes(32)
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    target = folder / "tiny"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for number in range(count):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.save_as(target / f"{number:06d}.dcm")
    node.configure(pn.NODE, quiet=0.5, limits=f"study_instances = {count // 2}", more="")
    config = node.folder / "pacs.toml"  # a busy machine is no silent peer
    config.write_text(config.read_text().replace("idle_s = 5.0", "idle_s = 60.0"))
    node.start()
    before = memory_of(node)
    command = [pn.dcmtk("storescu"), "-v", "-nh", "-aet", "SENDER", "-aec", "BRAINCASE", "+sd",
               "127.0.0.1", str(pn.NODE), str(target)]  # fmt: skip
    begun = time.monotonic()
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (whole,) = copies(study, folder, range(1))
    assert pn.store(whole, pn.NODE) == 0
    pn.wait_for(lambda: "sent" in [state for _, state in node.quick_status()], 600)
    other = time.monotonic() - begun
    said = sender.communicate()[0]
    seconds = time.monotonic() - begun
    taken = len(re.findall(r"Received Store Response \(Success\)", said))
    assert taken == count // 2, f"{taken} taken"
    used = sum(path.stat().st_size for path in (node.folder / "spool").rglob("*") if path.is_file())
    print(f"{count} instances of 4 x 4 pixels in {seconds:.0f} s: {taken} taken, the rest refused "
          f"by limits.study_instances; another study sent meanwhile had its results after "
          f"{other:.0f} s; {memory_of(node) - before:.0f} MiB more memory, "
          f"{used / 2**20:.0f} MiB of spool")  # fmt: skip
    node.kill()


def main() -> None:
    what, *rest = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        if what in ("kills", "tiny"):
            folder = Path(rest[0]).resolve()
            node, study = simulated_node(folder)
            with pn.orthanc(folder / "orthanc") as archive, archive.inside():
                if what == "tiny":
                    tiny(node, study, folder, int(rest[1]))
                    return
                node.configure(pn.NODE, quiet=0.5, limits="tries = 100000", more=pn.ARCHIVE)
                node.start()
                series = Kills(node, study, folder)
                series.run(int(rest[1]), int((*rest, 0)[2]))
                series.judge(archive)
                node.kill()
            return
        *names, count = rest if rest[-1].isdigit() else [*rest, "3"]
        studies = copies(Path(names[-1]), place, range(int(count)))
        with pn.orthanc(place / "orthanc") as archive, archive.inside():
            if what == "index":
                index(archive, names[0], studies, place)
                return
            (place / "node").mkdir()
            node = pn.Node(place / "node", Path(names[0]).resolve(), Path(names[1]).resolve())
            measure(node, archive, studies)


if __name__ == "__main__":
    main()

"""Spool: the private folder of the node (mode 0700), where every instance is synced to the disk.

No name on the disk is a UID, a name or a number of a patient: folders and files have keyed hashes
for names.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

from braincase.errors import ScanError, UsageError
from braincase.files import make_folder, sync_to_disk
from braincase.pacs.ledger import Instance, Ledger
from braincase.pacs.settings import NodeLimits, NodeSettings
from braincase.sources.dicom_files import Files, read_headers
from braincase.sources.pseudonym import pseudonym

#: What is looked at of an instance that arrives.
TAGS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "PatientID", "Modality", "Rows")
#: Letters of a UID (DICOM PS3.5, 9.1).
UID_LETTERS, MOST_UID = frozenset("0123456789."), 64
INSTANCE_LENGTH = 16


class SpoolFullError(Exception):
    """A limit of size is reached: the sender is told to try again later."""


class Spool:
    """The folder of a node: what arrives, studies with images and results, and the worker's.

    Parameters
    ----------
    settings, limits
        Where it is, and what it may hold.
    key
        Of the hashes.
    ledger
        Of its studies.
    """

    def __init__(
        self, settings: NodeSettings, limits: NodeLimits, key: bytes, ledger: Ledger
    ) -> None:
        self.folder, self._settings, self._limits = settings.spool, settings, limits
        self._key, self._ledger = key, ledger
        self.arriving, self.worker = self.folder / "arriving", self.folder / "worker"
        for folder in (self.arriving, self.worker / "jobs", self.folder / "studies"):
            make_folder(folder)

    def clean(self) -> None:
        """Remove what a killed node left half done: none of it was ever acknowledged."""
        for left in (*self.arriving.iterdir(), *(self.worker / "jobs").iterdir()):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        known = {study.study for study in self._ledger.studies()}
        for study in (self.folder / "studies").iterdir():
            if study.name not in known:
                shutil.rmtree(study)

    def images(self, study: str) -> Path:
        """Return the folder of a study's images."""
        return self.folder / "studies" / study / "images"

    def prepared(self, study: str) -> Path:
        """Return the folder of a study's prepared scan."""
        return self.folder / "studies" / study / "prepared"

    def results(self, study: str) -> Path:
        """Return the folder of a study's results."""
        return self.folder / "studies" / study / "results"

    def result_name(self, uid: str) -> str:
        """Return the file name of a result object, which follows from its UID."""
        return f"{pseudonym(uid, self._key, INSTANCE_LENGTH)}.dcm"

    def take(self, path: Path, instance_uid: str) -> str:
        """Move an instance that has arrived into its study, for good, and return the study's name.

        When this returns its bytes, its name and its row in the ledger are on the disk.

        Parameters
        ----------
        path
            The DICOM file, in `arriving`.
        instance_uid
            As the sender's command named it.

        Raises
        ------
        ScanError
            If it is not what the command says it is.
        SpoolFullError
            If a limit is reached.
        """
        header = read_headers(Files(path, (path.name,), None), TAGS)[0].get(path.name)
        uid = str(header.get("SOPInstanceUID") or "") if header else ""
        study_uid = str(header.get("StudyInstanceUID") or "") if header else ""
        if header is None or uid != instance_uid or not (_is_uid(uid) and _is_uid(study_uid)):
            expected = "the data set that its command and transfer syntax declare"
            raise ScanError("instance", "other bytes", expected)
        study = pseudonym(study_uid, self._key)
        name = pseudonym(uid, self._key, INSTANCE_LENGTH)
        subject = pseudonym(str(header.get("PatientID") or ""), self._key)
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        target = self.images(study) / f"{name}.dcm"
        if self._is_known(study, name, digest, target):
            return study
        size = path.stat().st_size
        self._refuse_when_full(study, size)
        make_folder(target.parent)
        sync_to_disk(path)
        os.replace(path, target)
        sync_to_disk(target.parent)
        is_mr = str(header.get("Modality") or "") == "MR" and header.get("Rows") is not None
        instance = Instance(name, digest, size, is_mr)
        self._ledger.add_instance(study, subject, instance, self._settings.quiet_s)
        return study

    def _is_known(self, study: str, name: str, digest: str, target: Path) -> bool:
        """Say whether the same bytes came before, and are here or have had their result."""
        if self._ledger.digest_of(study, name) != digest:
            return False
        row = self._ledger.get(study)
        return target.exists() or (row is not None and not row.images)

    def _refuse_when_full(self, study: str, size: int) -> None:
        limits = self._limits
        count, total = self._ledger.size_of(study)
        if size > limits.instance_bytes or total + size > limits.study_bytes:
            raise SpoolFullError("the study is larger than limits.study_bytes")
        if count >= limits.study_instances:
            raise SpoolFullError("the study has more instances than limits.study_instances")
        if self._ledger.spooled_bytes() + size > limits.spool_bytes:
            raise SpoolFullError("the spool has reached limits.spool_bytes")
        if shutil.disk_usage(self.folder).free - size < limits.free_bytes:
            raise SpoolFullError("the disk has less than limits.free_bytes left")

    def sweep(self) -> None:
        """Delete images of studies that have ended long enough ago, and broken arrivals."""
        now = time.time()
        for study in self._ledger.to_purge(now - 3600 * self._settings.keep_hours):
            for folder in (self.images(study), self.prepared(study), self.results(study)):
                shutil.rmtree(folder, ignore_errors=True)
            self._ledger.purged(study)
        for left in self.arriving.iterdir():
            if now - left.stat().st_mtime > self._limits.association_s:
                left.unlink(missing_ok=True)

    def forget(self, study: str) -> None:
        """Remove all of a study from the disk and the ledger."""
        shutil.rmtree(self.folder / "studies" / study, ignore_errors=True)
        self._ledger.forget(study)


def _is_uid(text: str) -> bool:
    return 0 < len(text) <= MOST_UID and UID_LETTERS.issuperset(text)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a spool: one node at a time.

    Raises
    ------
    UsageError
        If another process holds it.
    """
    make_folder(folder)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(folder, "another node uses this spool", "one at a time") from None
        yield
    finally:
        os.close(lock)

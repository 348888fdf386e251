"""Storage commitment (N-ACTION, N-EVENT-REPORT): the archive's word that it keeps the results."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from braincase.pacs.sending import ArchiveError, associate
from braincase.pacs.settings import Archive


def new_transaction() -> str:
    """Return the UID of a new request."""
    return f"2.25.{uuid.uuid4().int}"


def ask_commitment(
    archive: Archive, called_by: str, transaction: str, paths: Sequence[Path]
) -> None:
    """Ask the archive to commit to keeping objects; its word comes later, to the node.

    Raises
    ------
    ArchiveError
        If it does not answer, or refuses.
    """
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = [_reference(path) for path in paths]
    model, instance = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    association = associate(archive, called_by, [build_context(model)])
    try:
        status, _ = association.send_n_action(request, 1, model, instance)
    except (RuntimeError, ValueError):
        name = f"archive {archive.ae_title}"
        raise ArchiveError(name, "knows no storage commitment", "archive.commit = false") from None
    finally:
        association.release()
    code = status.get("Status")
    if code != 0x0000:
        found = "did not answer" if code is None else f"answered 0x{code:04X} to N-ACTION"
        raise ArchiveError(f"archive {archive.ae_title}", found, "0x0000")


def _reference(path: Path) -> Dataset:
    meta = pydicom.filereader.read_file_meta_info(path)
    reference = Dataset()
    reference.ReferencedSOPClassUID = meta.MediaStorageSOPClassUID
    reference.ReferencedSOPInstanceUID = meta.MediaStorageSOPInstanceUID
    return reference


def word_of(report: Any) -> tuple[str, list[str]]:
    """Return the request that an N-EVENT-REPORT answers, and the instances it does not keep."""
    failed = [str(one.ReferencedSOPInstanceUID) for one in report.get("FailedSOPSequence") or ()]
    return str(report.get("TransactionUID") or ""), failed

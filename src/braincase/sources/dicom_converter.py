"""Convert unusual DICOM series (compressed, mosaic, uneven) with dcm2niix, in a sandbox.

``dcm2niix`` is a C++ program that reads foreign bytes, and damaged ones can crash it. It runs
confined (`braincase.sources.sandbox`): no network, no files but its input and output, limits of
memory, time and file size. How it ends is told in one line.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import dcm2niix

from braincase.errors import ScanError
from braincase.images.volume import Volume, read_volume
from braincase.sources.dicom_files import Files
from braincase.sources.sandbox import ProcessLimits, run_confined
from braincase.sources.scratch import scratch_folder

TIMEOUT_S = 600
LIMITS = ProcessLimits(memory_bytes=4 << 30, file_bytes=4 << 30, cpu_s=TIMEOUT_S)
#: dcm2niix's names for what it makes beside the plain volume.
BESIDE = re.compile(r"_(Tilt|Eq|ROI)", re.IGNORECASE)
OPTIONS = ("-z", "n", "-b", "n", "-g", "i", "-f", "volume")
BY_HAND = "Export the series again, or convert it by hand."


def convert_series(files: Files, names: Sequence[str], reason: str) -> Volume:
    """Convert the files of one series to a volume.

    Parameters
    ----------
    files
        The folder, zip or file.
    names
        The files of the series in it.
    reason
        Why it was not decoded here, for errors.

    Raises
    ------
    ScanError
        If it cannot be converted, or becomes several volumes.
    """
    with scratch_folder("dicom") as folder:
        inside, outside = folder / "in", folder / "out"
        inside.mkdir()
        outside.mkdir()
        for number, name in enumerate(names):
            files.copy(name, inside / f"{number:06d}.dcm")
        return read_volume(_convert(files.path, inside, outside, reason))


def _convert(path: Path, inside: Path, outside: Path, reason: str) -> Path:
    """Run dcm2niix on one series and return the volume it made."""
    command = [dcm2niix.bin, *OPTIONS, "-o", str(outside), str(inside)]
    try:
        done = run_confined(command, LIMITS, [str(inside)], [str(outside)], TIMEOUT_S)
    except subprocess.TimeoutExpired:
        found = f"dcm2niix did not end within {TIMEOUT_S} seconds ({reason})"
        raise ScanError(path, found, "", BY_HAND) from None
    except OSError as error:
        found = f"dcm2niix did not run ({error.strerror or error})"
        raise ScanError(path, found, "", "Convert it by hand.") from error
    if done.returncode < 0:
        found = f"dcm2niix died of {_name_of(-done.returncode)} ({reason})"
        raise ScanError(path, found, "", f"The files are damaged or very unusual. {BY_HAND}")
    made = sorted(p for p in outside.glob("*.nii") if not BESIDE.search(p.name))
    if len(made) == 1 and made[0].is_file() and not made[0].is_symlink():
        return made[0]
    lines = [line for line in done.stdout.splitlines() if line.startswith(("Error", "Warning"))]
    said = "; ".join(list(dict.fromkeys(lines))[:3]) or reason
    found = f"{len(made) or 'no'} volumes by dcm2niix ({said})"
    raise ScanError(path, found, "one", BY_HAND)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

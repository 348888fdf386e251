"""Brain extraction by an installed tool (HD-BET, SynthStrip): never required, never downloaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.errors import ParameterError, ScanError
from braincase.images.volume import Volume, read_volume, write_volume
from braincase.sources.scratch import scratch_folder

Command = list[str]


def _hd_bet(scan: Path, folder: Path) -> tuple[Command, Path]:
    result = folder / "brain.nii.gz"
    command = ["hd-bet", "-i", str(scan), "-o", str(result), "-device", "cpu", "--disable_tta"]
    return [*command, "--save_bet_mask", "--no_bet_image"], folder / "brain_bet.nii.gz"


def _synthstrip(scan: Path, folder: Path) -> tuple[Command, Path]:
    result = folder / "mask.nii.gz"
    program = next((p for p in SYNTHSTRIP_NAMES if shutil.which(p)), SYNTHSTRIP_NAMES[0])
    return [program, "-i", str(scan), "-m", str(result)], result


#: FreeSurfer's name, and those of the separate packages.
SYNTHSTRIP_NAMES = ("mri_synthstrip", "synthstrip", "nipreps-synthstrip")
#: No tool is let out to fetch its weights: every connection goes to a port where nobody listens.
OFFLINE = {
    **dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"
    ),
    "HF_HUB_OFFLINE": "1",
}
#: What tools say when they miss them.
MISSING_WEIGHTS = re.compile(r"(?i)proxy|connection|urlopen|checkpoint|weights|FREESURFER_HOME")
#: How each tool is called: the command, and where it leaves the mask. None is our own watershed.
EXTRACTORS: Mapping[str, Callable[[Path, Path], tuple[Command, Path]] | None] = {
    "watershed": None,
    "hd-bet": _hd_bet,
    "synthstrip": _synthstrip,
}


def extract_natively(volume: Volume, tool: str) -> NDArray[np.bool_] | None:
    """Return the brain mask of an installed tool on the scan's own voxels.

    Returns
    -------
    array or None
        Shape of the volume; None for ``watershed``, which works on the standard grid.

    Raises
    ------
    UsageError
        If the tool is not installed.
    ScanError
        If the tool fails on this scan.
    """
    call = EXTRACTORS[tool]
    if call is None:
        return None
    with scratch_folder("extract") as folder:
        scan = folder / "scan.nii.gz"
        write_volume(scan, volume.data, volume.affine)
        command, result = call(scan, folder)
        _run(tool, command, result)
        mask = np.asarray(read_volume(result).data > 0.5)
    if mask.shape != volume.shape:
        raise ScanError(tool, f"a mask of {mask.shape} voxels", f"{volume.shape}")
    return mask


def _run(tool: str, command: Command, result: Path) -> None:
    """Run a tool that must write `result`, and tell what went wrong if it does not."""
    if shutil.which(command[0]) is None:
        advice = f"Install {tool} with its weights, or leave the option out."
        raise ParameterError("extraction", f"{tool} is not installed", command[0], advice)
    environment = {**os.environ, **OFFLINE}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == 0 and result.exists():
        return
    output = done.stderr + done.stdout
    last = (output.strip().splitlines() or ["no message"])[-1]
    if MISSING_WEIGHTS.search(output):
        advice = "Install its weights: Braincase lets no tool download anything."
        raise ParameterError("extraction", f"{tool} failed: {last}", "its weights", advice)
    raise ScanError(tool, f"it failed: {last}", "a brain mask")

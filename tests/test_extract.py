from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from braincase.errors import ScanError, UsageError
from braincase.images.volume import Volume
from braincase.preprocess.extract import extract_natively

VOLUME = Volume(
    np.random.default_rng(0).random((9, 8, 7)).astype(np.float32), np.diag([2.0, 3, 4, 1])
)

#: Stands for the real tool: marks the bright voxels, and keeps its arguments for the test.
FAKE = """#!{python}
import sys
import nibabel
arguments = sys.argv[1:]
scan = nibabel.load(arguments[arguments.index("-i") + 1])
mask = (scan.get_fdata() > 0.5).astype("uint8")
nibabel.save(nibabel.Nifti1Image(mask, scan.affine), {result})
"""
HD_BET = 'arguments[arguments.index("-o") + 1].replace(".nii", "_bet.nii")'
SYNTHSTRIP = 'arguments[arguments.index("-m") + 1]'


def install(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / name
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.mark.parametrize(
    ("tool", "program", "result"),
    [
        ("hd-bet", "hd-bet", HD_BET),
        ("synthstrip", "mri_synthstrip", SYNTHSTRIP),
        ("synthstrip", "nipreps-synthstrip", SYNTHSTRIP),
    ],
)
def test_an_installed_tools_mask_is_taken(tool, program, result, tmp_path, monkeypatch):
    install(tmp_path, program, FAKE.format(python=sys.executable, result=result), monkeypatch)
    assert_array_equal(extract_natively(VOLUME, tool), VOLUME.data > 0.5)


def test_the_watershed_needs_no_tool():
    assert extract_natively(VOLUME, "watershed") is None


@pytest.mark.parametrize("tool", ["hd-bet", "synthstrip"])
def test_a_missing_tool_is_named(tool, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=f"{tool} is not installed"):
        extract_natively(VOLUME, tool)


def test_missing_weights_are_the_users_to_install(tmp_path, monkeypatch):
    script = "#!/bin/sh\necho 'cannot open checkpoint_final.pth' >&2\nexit 1\n"
    install(tmp_path, "hd-bet", script, monkeypatch)
    with pytest.raises(UsageError, match=r"checkpoint_final.pth.*lets no tool download"):
        extract_natively(VOLUME, "hd-bet")


def test_a_tool_cannot_reach_the_network(tmp_path, monkeypatch):
    script = f"""#!{sys.executable}
import urllib.request
urllib.request.urlopen("http://example.com/weights.zip", timeout=5)
"""
    install(tmp_path, "hd-bet", script, monkeypatch)
    with pytest.raises(UsageError, match="refused"):
        extract_natively(VOLUME, "hd-bet")


def test_a_failing_tool_fails_the_scan_with_its_last_words(tmp_path, monkeypatch):
    script = "#!/bin/sh\necho ignored\necho 'out of memory' >&2\nexit 3\n"
    install(tmp_path, "hd-bet", script.replace("echo ignored", ":"), monkeypatch)
    with pytest.raises(ScanError, match="out of memory"):
        extract_natively(VOLUME, "hd-bet")


def test_a_tool_that_leaves_no_mask_fails_the_scan(tmp_path, monkeypatch):
    install(tmp_path, "hd-bet", "#!/bin/sh\n", monkeypatch)
    with pytest.raises(ScanError, match="no message"):
        extract_natively(VOLUME, "hd-bet")


def test_a_mask_of_another_shape_fails_the_scan(tmp_path, monkeypatch):
    script = FAKE.replace("scan.get_fdata()", "scan.get_fdata()[1:]")
    install(tmp_path, "hd-bet", script.format(python=sys.executable, result=HD_BET), monkeypatch)
    with pytest.raises(ScanError, match=r"\(8, 8, 7\) voxels; expected \(9, 8, 7\)"):
        extract_natively(VOLUME, "hd-bet")

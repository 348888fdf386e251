"""The defacing check: whole heads show a face, defaced and skull-stripped ones do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from braincase.cohort.cohort import PreparedScan, open_cohort, write_case
from braincase.images.face import face_share, shows_face
from braincase.images.geometry import HALF_GRID
from braincase.images.volume import read_volume
from braincase.models.embed import encoder_of
from braincase.models.model import Model
from braincase.models.network import build_network
from braincase.models.settings import ModelSettings
from braincase.sources.scan import Scan
from braincase.workflows.index_cohort import index_cohort

#: Native mm to MNI mm of real heads, as `prepare_volume` registers them, rounded.
WHOLE = {
    "IXI012-HH-1211": "1.03 -.01 0 -3.2 -.02 .89 .44 -7 .01 -.44 1.09 -14.6",
    "IXI034-HH-1260": "1.11 -.04 .05 9.1 -.01 .97 .23 -1.3 -.07 -.2 1.17 .5",
    "IXI048-HH-1326": "1.08 -.01 -.05 -10 -.03 .94 .24 -12 .05 -.3 1.09 3.2",
    "T1w2mm.nii.gz": "1.09 -.1 -.1 3.6 .12 1.04 .25 -23.7 .07 -.26 1.09 -19.8",
    "chris_t1.nii.gz": "1.11 0 .01 .2 0 1.01 .05 -.2 -.02 -.09 1.1 -1.6",
}  # fmt: skip
DEFACED = {
    "orig.mgz": "1.03 0 .03 -1.3 -.04 1.03 .14 -26.8 -.07 -.17 1.16 -21.7",
    "sub-01": "1.05 .01 .03 6 -.07 1 .41 -7.7 -.03 -.43 1.02 -3.6",
    "sub-04": "1.08 -.01 -.02 -1.5 .01 1.15 .32 .8 -.02 -.34 1.11 7",
}  # fmt: skip


def drawn_head(with_face: bool) -> np.ndarray:
    """Draw an egg of brain in the field of the 4 mm grid, and below its front a face."""
    x, y, z = HALF_GRID.points_mm()
    brain = (x / 68) ** 2 + ((y + 18) / 86) ** 2 + ((z - 9) / 62) ** 2 < 1
    face = (np.abs(x) < 45) & (y > 30) & (z < -45)
    return np.where(brain, 200, np.where(face & with_face, 120, 3)).astype(np.uint8)


def is_t1w(name: str) -> bool:
    """Tell the image from what lies beside it."""
    return name.endswith((".nii.gz", ".mgz")) and not name.endswith(("DLMUSE.nii.gz", "T2.nii.gz"))


def real_head(folder: Path, name: str, numbers: str) -> tuple[np.ndarray, np.ndarray]:
    (path,) = (p for p in folder.glob("heads-*/**/*") if p.name.startswith(name) and is_t1w(p.name))
    volume = read_volume(path)
    to_mni = np.vstack([np.array(numbers.split(), float).reshape(3, 4), [0, 0, 0, 1]])
    return volume.data, to_mni @ volume.affine


@pytest.mark.parametrize("name", WHOLE)
def test_real_whole_heads_show_a_face_until_it_is_taken_off(shared_data: Path, name: str) -> None:
    data, to_mni = real_head(shared_data, name, WHOLE[name])
    assert face_share(data, to_mni) > 0.4
    points = np.moveaxis(np.indices(data.shape, np.float32), 0, -1) @ to_mni[:3, :3].T
    y, z = points[..., 1] + to_mni[1, 3], points[..., 2] + to_mni[2, 3]
    below = z < -50 + 0.5 * (np.minimum(y, 60) - 60)  # as quickshear cuts
    assert not shows_face(np.where(below, 0, data), to_mni)


@pytest.mark.parametrize("name", DEFACED)
def test_real_defaced_heads_show_none(shared_data: Path, name: str) -> None:
    assert face_share(*real_head(shared_data, name, DEFACED[name])) < 0.02


def test_real_stripped_brains_show_none(shared_data: Path) -> None:
    path = shared_data / "brains-ds002748-2mm/sub-01/anat/sub-01_T1w.nii.gz"
    volume = read_volume(path)
    middle = volume.affine.copy()
    middle[:3, 3] += np.array([0, -18, 9]) - (middle @ [*np.array(volume.data.shape) / 2, 1])[:3]
    assert face_share(volume.data, middle) < 0.05


def test_a_field_of_view_that_ends_above_the_face_shows_none() -> None:
    assert shows_face(drawn_head(True), HALF_GRID.affine)
    assert not shows_face(drawn_head(False), HALF_GRID.affine)
    assert not shows_face(np.zeros(HALF_GRID.shape, np.uint8), HALF_GRID.affine)
    cut = HALF_GRID.affine.copy()
    cut[2, 3] += 5 * HALF_GRID.resolution_mm
    assert not shows_face(drawn_head(True)[:, :, 5:], cut)


def test_indexing_says_whose_images_show_a_face(tmp_path: Path) -> None:
    for name, volume in (("whole", drawn_head(True)), ("brain", drawn_head(False))):
        scan = Scan(Path(), name, None, {"diagnosis": "CN"})
        write_case(tmp_path / "c", HALF_GRID, PreparedScan(scan, volume, {}))
    cohort = open_cohort(tmp_path / "c")
    settings = ModelSettings("untrained", channels=2, epochs=1)
    model = Model(build_network(settings, HALF_GRID), settings, HALF_GRID, cohort.recipe, {})
    done = index_cohort(tmp_path / "g", cohort, encoder_of(model))
    assert (done.added, done.faces) == (2, ("sub-whole",))
    assert any("1 scans show the person's face (sub-whole)" in line for line in done.lines())

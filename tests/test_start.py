"""Fast to the first answer: what a command imports before it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from braincase.gallery import NewCase, create_gallery
from braincase.images.atlas import ATLAS, _atlas_folder, read_atlas
from braincase.images.volume import write_volume
from braincase.models.open_encoder import open_encoder
from braincase.population.logistic import fit_logistic
from gallery_cases import filled_gallery
from test_encoder_file import write_encoder

#: What takes longer to import than a search takes.
HEAVY = {
    "contourpy", "jinja2", "matplotlib", "nibabel", "nilearn", "openpyxl", "pandas", "PIL",
    "pydicom", "safetensors", "scipy", "sklearn", "torch",
}  # fmt: skip
RUN = """
import json, sys
from braincase.cli.main import main
sys.argv = ["braincase", *json.loads(sys.argv[1])]
try:
    main()
finally:
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def imported_by(*words: object, code: int = 0) -> set[str]:
    """The packages that a command has imported when it ends."""
    asked = json.dumps([str(word) for word in words])
    done = subprocess.run(
        [sys.executable, "-c", RUN, asked], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == code, done.stderr
    return set(json.loads(next(x for x in done.stderr.splitlines() if x.startswith("["))))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "g"
    filled_gallery(folder, n_people=60, scans_each=1).close()
    return folder


def test_help_imports_nothing_that_computes() -> None:
    assert not imported_by("--help") & (HEAVY | {"numpy"})
    assert not imported_by("search", "--help") & (HEAVY | {"numpy"})


def test_a_search_with_a_stored_case_imports_nothing_heavy(gallery: Path) -> None:
    """Not even the first one, which learns from the gallery."""
    assert not imported_by("search", "sub-000_ses-1", "--gallery", gallery) & HEAVY
    assert any((gallery / "learned").glob("calibration-*"))
    for command in ("info", "versions"):
        assert not imported_by("gallery", command, gallery) & HEAVY


@pytest.mark.parametrize("model", ["encoder file", "starter model"])
def test_a_raw_head_imports_only_what_prepares_it(model: str, tmp_path: Path) -> None:
    """Here one that is refused once all is imported; neither needs torch."""
    name = "starter" if model == "starter model" else write_encoder(tmp_path / "e")
    encoder = open_encoder(name)
    length = encoder.length or 0
    with closing(create_gallery(tmp_path / "g", encoder.fingerprint, 4, length)) as made:
        made.add([NewCase("sub-1", "1", np.ones(length, "f4"))], encoder.fingerprint)
    labels = np.zeros((60, 60, 60), np.uint8)
    labels[20:40, 20:40, 20:40] = 1
    write_volume(tmp_path / "labels.nii.gz", labels, np.diag([3.0, 3, 3, 1]))
    found = imported_by(
        "search", tmp_path / "labels.nii.gz", "--gallery", tmp_path / "g", "--model", name, code=1
    )
    assert found & HEAVY == {"nibabel", "scipy"} | ({"safetensors"} if name == "starter" else set())
    assert "requests" not in found


def test_the_starter_model_embeds_a_head_without_torch() -> None:
    program = """
import sys
from braincase.models.check_head import head_on_grid
from braincase.models.open_encoder import open_encoder
encoder = open_encoder("starter")
print(encoder.embed(head_on_grid(encoder.grid, True)[None]).shape, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "(1, 396) False", done.stderr


def test_a_service_and_a_simulation_start_without_scikit_learn_and_nilearn() -> None:
    """Each takes two seconds of every process that imports it."""
    program = "import sys, braincase.web.catalogue, braincase.simulate.view; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"sklearn", "nilearn"} & set(done.stdout.split())


def test_threads_that_wait_for_others_sleep() -> None:
    """They would spin for ever on a machine whose cores others use as well."""
    program = "from braincase.cli.main import main\ntry: main()\nfinally: import torch"
    command = [sys.executable, "-c", program, "--help"]
    shown = {**os.environ, "OMP_DISPLAY_ENV": "VERBOSE"}
    done = subprocess.run(command, capture_output=True, text=True, env=shown)
    assert done.returncode == 0, done.stderr
    assert "GOMP_SPINCOUNT = '0'" in done.stderr


def test_the_calibration_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for n_classes in (2, 3, 5):
        features = rng.normal(size=(120, n_classes))
        classes = (features + rng.normal(size=features.shape)).argmax(axis=1)
        slopes, offsets = fit_logistic(features, classes)
        peer = LogisticRegression(max_iter=10_000, tol=1e-10).fit(features, classes)
        found = np.exp(features @ slopes.T + offsets)
        found /= found.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found, peer.predict_proba(features), atol=1e-5)


def test_the_atlas_reads_as_nibabel_reads_it() -> None:
    import nibabel

    labels, affine, _ = read_atlas()
    image = nibabel.load(_atlas_folder() / ATLAS)
    np.testing.assert_array_equal(labels, np.asarray(image.dataobj))
    np.testing.assert_allclose(affine, image.affine)

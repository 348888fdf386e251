"""Write small samples of every on-disk format with the code of an earlier commit, as one zip.

``git archive COMMIT src | tar -x -C OLD; PYTHONPATH=OLD/src python make.py DATE-COMMIT.zip``. It
knows the names of the first commits and of later ones. Simulated: the volumes are drawn, the codes
are counted.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

try:
    from braincase.checkpoint import Model, save_model
    from braincase.geometry import HALF_GRID
    from braincase.model import build_network
    from braincase.settings import Settings as ModelSettings
    from braincase.web.users import add_user

    from braincase.cohort import Case as PreparedScan
    from braincase.cohort import finish_cohort, open_cohort, write_case
except ImportError:  # rooms
    from braincase.cohort.cohort import PreparedScan, finish_cohort, open_cohort, write_case
    from braincase.images.geometry import HALF_GRID
    from braincase.models.model import Model, save_model
    from braincase.models.network import build_network
    from braincase.models.settings import ModelSettings
    from braincase.web.security.users import add_user
from braincase.gallery import NewCase, create_gallery, open_gallery
from braincase.sources.census import take_census
from braincase.sources.scan import Scan

MODEL = "f" * 64


def volume_of(number: int) -> np.ndarray:
    volume = np.zeros(HALF_GRID.shape, np.uint8)
    volume[10:30, 12:36, 10:30] = 50 * number
    return volume


def main() -> None:
    target = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for number in (1, 2):
            scan = Scan(Path(), f"0{number}", None, {"age": 60.5 + number, "diagnosis": "CN"})
            sidecar = {"Recipe": {"chain": 3}}
            write_case(place / "cohort", HALF_GRID, PreparedScan(scan, volume_of(number), sidecar))
        scans = [Scan(Path(), f"0{number}", None, {"diagnosis": "CN"}) for number in (1, 2)]
        finish_cohort(
            place / "cohort",
            HALF_GRID,
            {"chain": 3},
            take_census(scans, [], "diagnosis", ["a", "b"]),
        )
        cohort = open_cohort(place / "cohort")
        settings = ModelSettings("sample", channels=1, epochs=1)
        training = {"label": "diagnosis", "classes": ["CN"]}
        network = build_network(settings, HALF_GRID)
        network.load_state_dict({n: t.zero_() for n, t in network.state_dict().items()})  # it packs
        save_model(
            place / "model", Model(network, settings, HALF_GRID, {"chain": 3}, training), "card"
        )
        create_gallery(place / "gallery", MODEL, 4, 6)
        gallery = open_gallery(place / "gallery")
        rows = cohort.table.to_dict("records")
        cases = [
            NewCase(row["scan_id"], row["subject"], np.arange(6) + number,
                    labels={"age": row["age"]}, image=row["image"], image_hash=row["image_hash"],
                    cohort=place / "cohort")
            for number, row in enumerate(rows)
        ]  # fmt: skip
        gallery.add(cases, MODEL)
        gallery.add([NewCase("sub-gone", "gone", np.ones(6))], MODEL)
        gallery.remove(["sub-gone"])
        gallery.close()
        add_user(place / "users.json", "ada", "purple kettle moons 41", "admin")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(place.rglob("*")):
                if path.is_file() and "packed" not in path.parts and path.name[0] != ".":
                    archive.write(path, path.relative_to(place))
    print(target, target.stat().st_size)


if __name__ == "__main__":
    main()

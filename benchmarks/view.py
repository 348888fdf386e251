"""View volumes: seconds to make and pack one, and bytes on disk, of given heads.

``python benchmarks/view.py HEAD...`` with whole T1-weighted heads; without any, simulated people
are imaged at 4 mm and with a view of 2 mm. Processor time, one thread.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from braincase.cohort.view import ViewChoice, pack_view
from braincase.images.geometry import HALF_GRID
from braincase.images.volume import read_volume
from braincase.preprocess.prepare_volume import prepare_volume
from braincase.preprocess.space.standard import to_standard
from braincase.preprocess.space.view import view_of
from braincase.simulate.imaging import backward_of, simulate_visit
from braincase.simulate.people import draw_visits, size_of
from braincase.simulate.view import simulate_view


def simulated(people: int = 20) -> None:
    """Print what a simulated visit and its view take; the first ones, which draw maps, left out."""
    clock, seconds = time.process_time, []
    for visit in draw_visits(size_of("small"), 0, 0.0)[:people]:
        started = clock()
        backward = backward_of(visit)
        simulate_visit(visit, HALF_GRID, backward)
        imaged = clock()
        simulate_view(visit, backward, ViewChoice(2))
        seconds.append((imaged - started, clock() - imaged))
    volume, view = np.median(seconds, axis=0)
    print(f"simulated: volume of 4 mm {volume:.2f} s, view of 2 mm {view:.2f} s (medians)")


def main() -> None:
    """Print a line for each head and choice."""
    if not sys.argv[1:]:
        simulated()
    clock = time.process_time
    for path in map(Path, sys.argv[1:]):
        volume = read_volume(path)
        started = clock()
        prepared = prepare_volume(volume)
        rest = clock() - started
        to_voxel = np.linalg.inv(prepared.native_to_mni @ volume.affine)
        image, zooms = volume.data, volume.zooms_mm
        on_grid = to_standard(image, zooms, to_voxel)
        for choice in (ViewChoice(1), ViewChoice(1, brain_only=True), ViewChoice(2)):
            started = clock()
            view = view_of(image, zooms, to_voxel, on_grid, prepared.mask, choice, stripped=False)
            made = clock()
            packed = pack_view(view)
            print(
                f"{path.name} {choice.resolution_mm} mm brain_only={choice.brain_only}:"
                f" {len(packed) / 1e6:.2f} MB, view {made - started:.2f} s,"
                f" packing {clock() - made:.2f} s, without a view {rest:.2f} s"
            )


main()

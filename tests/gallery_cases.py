"""Cases for gallery tests: people with a few scans each, labels with gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braincase.gallery import Gallery, NewCase, create_gallery

MODEL = "a" * 64
N_CELLS = 150


def some_codes(n: int, seed: int = 0, n_cells: int = N_CELLS) -> np.ndarray:
    """Codes in a few clusters, shape (n, n_cells)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(scale=2.0, size=(5, n_cells))
    return (centres[np.arange(n) % 5] + rng.normal(size=(n, n_cells))).astype(np.float32)


def some_cases(n_people: int, scans_each: int = 2, seed: int = 0) -> list[NewCase]:
    """Scans of a person lie close together; every seventh has no age."""
    rng = np.random.default_rng(seed + 1)
    people = some_codes(n_people, seed)
    cases = []
    for person in range(n_people):
        for session in range(1, scans_each + 1):
            age = None if person % 7 == 6 else 55.0 + person % 30 + session
            code = people[person] + 0.02 * rng.normal(size=N_CELLS)
            cases.append(
                NewCase(
                    scan_id=f"sub-{person:03}_ses-{session}",
                    subject=f"{person:03}",
                    session=str(session),
                    code=code.astype(np.float32),
                    labels={
                        "age": age,
                        "sex": "FM"[person % 2],
                        "diagnosis": ("CN", "AD", "MCI")[person % 3],
                    },
                    image_hash=f"hash-{person}-{session}",
                )
            )
    return cases


def filled_gallery(folder: Path, n_people: int = 30, scans_each: int = 2) -> Gallery:
    """A gallery of `some_cases`."""
    gallery = create_gallery(folder, MODEL, 4)
    gallery.add(some_cases(n_people, scans_each), MODEL)
    return gallery

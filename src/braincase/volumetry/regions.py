"""Regions of interest: 78 named parts of the brain, and the labels of the atlas that each joins.

The regions are those of the Desikan-Killiany atlas (`braincase.images.atlas`), the smallest of
them joined so that none is under about 0.4 ml. The ICBM152 template is symmetric and the atlas is
not, so left and right are averaged after mirroring.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from braincase.images.atlas import read_atlas, side_of
from braincase.images.geometry import Grid

Map = NDArray[np.float32]
#: Regions by side: which labels of the atlas each joins.
SIDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hippocampus": ("hippocampus",),
        "amygdala": ("amygdala",),
        "entorhinal": ("entorhinal",),
        "parahippocampal": ("parahippocampal",),
        "fusiform": ("fusiform",),
        "inferior-temporal": ("inferiortemporal",),
        "middle-temporal": ("middletemporal", "bankssts"),
        "superior-temporal": ("superiortemporal", "transversetemporal"),
        "temporal-pole": ("temporalpole",),
        "insula": ("insula",),
        "superior-frontal": ("superiorfrontal",),
        "middle-frontal": ("rostralmiddlefrontal", "caudalmiddlefrontal"),
        "inferior-frontal": ("parsopercularis", "parstriangularis", "parsorbitalis"),
        "orbitofrontal": ("lateralorbitofrontal", "medialorbitofrontal", "frontalpole"),
        "precentral": ("precentral", "paracentral"),
        "anterior-cingulate": ("rostralanteriorcingulate", "caudalanteriorcingulate"),
        "posterior-cingulate": ("posteriorcingulate", "isthmuscingulate"),
        "postcentral": ("postcentral",),
        "superior-parietal": ("superiorparietal",),
        "inferior-parietal": ("inferiorparietal",),
        "supramarginal": ("supramarginal",),
        "precuneus": ("precuneus",),
        "lateral-occipital": ("lateraloccipital",),
        "lingual": ("lingual",),
        "cuneus": ("cuneus",),
        "pericalcarine": ("pericalcarine",),
        "thalamus": ("thalamus",),
        "caudate": ("caudate",),
        "putamen": ("putamen",),
        "pallidum": ("pallidum",),
        "accumbens": ("accumbens",),
        "ventral-diencephalon": ("ventraldc",),
        "lateral-ventricle": ("lateral-ventricle", "choroid-plexus"),
        "inferior-horn": ("inf-lat-vent",),
        "cerebellar-cortex": ("cerebellum-cortex",),
        "cerebellar-white-matter": ("cerebellum-white-matter",),
        "cerebral-white-matter": ("cerebral-white-matter",),
    }
)
#: Regions across the midline.
MIDLINE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "third-ventricle": ("3rd-ventricle",),
        "fourth-ventricle": ("4th-ventricle",),
        "brain-stem": ("brain-stem",),
        "corpus-callosum": ("corpus-callosum",),
    }
)
NAMES = (*(f"{side}-{name}" for name in SIDED for side in ("left", "right")), *MIDLINE)
#: Fluid outside the ventricles; not measured for itself, but it takes what they do not.
SULCI = "sulcal-csf"
#: What each region is made of; a region not named here is grey matter.
FLUID = ("lateral-ventricle", "inferior-horn", "third-ventricle", "fourth-ventricle", SULCI)
WHITE = ("cerebral-white-matter", "cerebellar-white-matter", "corpus-callosum")
#: Nuclei whose intensity lies between grey and white matter on a T1-weighted image.
MIXED = ("thalamus", "pallidum", "ventral-diencephalon", "brain-stem")
#: Labels are smoothed on this grid before they are averaged to 4 mm.
FINE = Grid(2)
OTHER_SIDE: Mapping[str, str] = MappingProxyType({"left": "right", "right": "left"})
_WHITE = "cerebral-white-matter"


def plain_name(region: str) -> str:
    """Return a region's name without its side: `left-hippocampus` is `hippocampus`."""
    return side_of(region)[1]


def mirrored_name(region: str) -> str:
    """Return the same region of the other side; a region across the midline is its own."""
    side, plain = side_of(region)
    return f"{OTHER_SIDE[side]}-{plain}" if side else region


def tissues_of(region: str) -> tuple[int, int, int]:
    """Say, 0 or 1, which of fluid, grey and white matter a region (without side) is made of."""
    if region in FLUID:
        return 1, 0, 0
    if region in WHITE:
        return 0, 0, 1
    return (0, 1, 1) if region in MIXED else (0, 1, 0)


@cache
def label_shares() -> Mapping[str, Map]:
    """Return how much of each 2 mm voxel every label of the atlas fills."""
    from nibabel.affines import apply_affine  # names alone are asked for more often

    labels, affine, by_value = read_atlas()
    where = np.argwhere(labels > 0)
    values, points = labels[tuple(where.T)], apply_affine(affine, where)
    voxels = np.rint(apply_affine(np.linalg.inv(FINE.affine), points)).astype(np.int64)
    inside = ((voxels >= 0) & (voxels < FINE.shape)).all(axis=1)
    values, voxels = values[inside], voxels[inside]
    # White matter with lesions in it has one label for both sides.
    lesions = next(v for v, name in by_value.items() if name == "wm-hypointensities")
    sides = {s: v for v, n in by_value.items() for s in ("left", "right") if n == f"{s}-{_WHITE}"}
    own_side = np.where(points[inside, 0] < 0, sides["left"], sides["right"])
    values = np.where(values == lesions, own_side, values)
    flat = np.ravel_multi_index(tuple(voxels.T), FINE.shape)
    order = np.argsort(values, kind="stable")
    present, starts = np.unique(values[order], return_index=True)
    filled: dict[str, Map] = {}
    for value, places in zip(present, np.split(flat[order], starts[1:]), strict=True):
        count = np.bincount(places, minlength=FINE.size).reshape(FINE.shape)
        share = np.minimum(count / FINE.resolution_mm**3, 1).astype(np.float32)
        name = by_value[int(value)]
        filled[name] = filled[name] + share if name in filled else share
    return filled


def symmetric_label(region: str) -> Map:
    """Return how much of each 2 mm voxel a region fills: the mean of it and its mirror image."""
    here, there = _both_sides(region)
    # The atlas's subject had hardly any inferior horns (0.05 and 0.25 ml): the larger says where.
    if "inferior-horn" in region:
        return np.maximum(here, there)
    return np.asarray((here + there) / 2, np.float32)


def _both_sides(region: str) -> tuple[Map, Map]:
    """Return how much of each 2 mm voxel a region fills, and its mirrored other side."""
    side, plain = side_of(region)
    members = [f"{side}-{m}" if side else m for m in SIDED.get(plain) or MIDLINE[plain]]
    shares = label_shares()
    here = sum(shares[m] for m in members)
    # The field of view is symmetric about x = 0, so mirroring is a flip.
    there = sum(shares[mirrored_name(m)] for m in members)
    return np.asarray(here, np.float32), np.asarray(there, np.float32)[::-1]

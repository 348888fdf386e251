"""Conditions of the simulated population: who has them, and which regions they shrink or widen.

The pattern of Alzheimer's disease is measured (`braincase.simulate.atrophy`). The others follow
published descriptions: the direction and the order of regions are theirs, the percentages at
severity 1 are chosen near them and are not measured here.

References
----------
Frontotemporal dementia: Rosen et al. 2002, doi:10.1212/WNL.58.2.198 (behavioural: frontal lobes,
insula, anterior cingulate, striatum; semantic: anterior temporal lobes, amygdala); Chan et al.
2001, doi:10.1002/ana.92 (semantic: left temporal pole about half, hippocampus a fifth).
Mesial temporal sclerosis: Whelan et al. 2018, doi:10.1093/brain/awx341 (ipsilateral hippocampus
d -1.73 and -1.91, thalamus d -0.8).
Normal-pressure hydrocephalus: Kitagaki et al. 1998, PMID 9726475 (wide ventricles and Sylvian
fissures, tight convexity).
Multiple sclerosis: Eshaghi et al. 2018, doi:10.1002/ana.25145 (thalamus, deep grey matter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

#: What a person may have beside changed volumes: lesions of multiple sclerosis, white-matter
#: hyperintensities, an old stroke; or nothing but what age brings.
LesionKind = Literal["", "ms", "wmh", "stroke"]


@dataclass(frozen=True)
class Condition:
    """One diagnosis: its people, its course, and what it does at severity 1.

    Parameters
    ----------
    age_mean, age_spread
        Years at the first visit; clipped to `ages`.
    severity_mean, severity_spread, severity_per_year
        Severity at the first visit (never below 0), and its growth a year.
    percent
        Volume change by region at severity 1 (`braincase.simulate.atrophy.pattern`).
    of_ad
        How much of the measured pattern of Alzheimer's disease it is, 0 to 1.
    lesions
        What of them it brings.
    female
        Share of women.
    mirrored
        Share of people in whom left and right are exchanged.
    second_severity
        A second group of people under the same name: its share, mean and spread of severity.
    """

    age_mean: float
    age_spread: float
    severity_mean: float = 1.0
    severity_spread: float = 0.3
    severity_per_year: float = 0.1
    percent: Mapping[str, float] = field(default_factory=dict)
    of_ad: float = 0.0
    lesions: LesionKind = ""
    female: float = 0.5
    mirrored: float = 0.0
    ages: tuple[float, float] = (55.0, 95.0)
    second_severity: tuple[float, float, float] | None = None


_BEHAVIOURAL = {
    "superior-frontal": -16, "middle-frontal": -18, "inferior-frontal": -18, "orbitofrontal": -20,
    "anterior-cingulate": -20, "insula": -20, "precentral": -6, "temporal-pole": -16,
    "superior-temporal": -9, "middle-temporal": -9, "inferior-temporal": -9, "amygdala": -20,
    "hippocampus": -11, "entorhinal": -14, "caudate": -12, "putamen": -11, "accumbens": -20,
    "thalamus": -8, "inferior-parietal": -5, "supramarginal": -5, "superior-parietal": -4,
    "cerebral-white-matter": -4, "lateral-ventricle": 55, "inferior-horn": 80,
    "third-ventricle": 35,
}  # fmt: skip
_SEMANTIC = {
    "left-temporal-pole": -42, "right-temporal-pole": -20, "left-inferior-temporal": -28,
    "right-inferior-temporal": -11, "left-fusiform": -26, "right-fusiform": -10,
    "left-middle-temporal": -20, "right-middle-temporal": -7, "left-superior-temporal": -14,
    "right-superior-temporal": -5, "left-entorhinal": -38, "right-entorhinal": -18,
    "left-parahippocampal": -22, "right-parahippocampal": -9, "left-amygdala": -36,
    "right-amygdala": -17, "left-hippocampus": -24, "right-hippocampus": -10, "left-insula": -14,
    "right-insula": -6, "orbitofrontal": -8, "left-inferior-horn": 160, "right-inferior-horn": 60,
    "left-lateral-ventricle": 30, "right-lateral-ventricle": 18,
}  # fmt: skip
_SCLEROSIS = {
    "left-hippocampus": -20, "left-amygdala": -6, "left-entorhinal": -9,
    "left-parahippocampal": -6, "left-thalamus": -6, "left-temporal-pole": -4,
    "left-inferior-horn": 45,
}  # fmt: skip
_HYDROCEPHALUS = {
    "lateral-ventricle": 130, "third-ventricle": 90, "inferior-horn": 130, "fourth-ventricle": 20,
    "convexity-csf": -35, "sylvian-csf": 35, "corpus-callosum": -12, "cerebral-white-matter": -2,
    "hippocampus": -6, "thalamus": -4,
}  # fmt: skip
_MULTIPLE_SCLEROSIS = {
    "thalamus": -12, "caudate": -8, "putamen": -8, "pallidum": -7, "accumbens": -8,
    "corpus-callosum": -14, "cerebral-white-matter": -3, "precentral": -4, "postcentral": -4,
    "superior-frontal": -3, "superior-temporal": -4, "insula": -5, "posterior-cingulate": -5,
    "lateral-ventricle": 45, "third-ventricle": 45, "brain-stem": -4,
}  # fmt: skip
_SMALL_VESSEL = {
    "lateral-ventricle": 28, "third-ventricle": 15, "cerebral-white-matter": -4, "thalamus": -5,
    "caudate": -4, "superior-frontal": -4, "middle-frontal": -4, "corpus-callosum": -8,
}  # fmt: skip


def _right(percent: Mapping[str, float]) -> Mapping[str, float]:
    return {name.replace("left-", "right-"): change for name, change in percent.items()}


#: The diagnoses, by the label that a cohort's table shows. SMC, EMCI and LMCI are stages that no
#: model is trained on.
CONDITIONS: Mapping[str, Condition] = MappingProxyType(
    {
        "CN": Condition(74.0, 5.5, 0.04, 0.12, 0.02, of_ad=1),
        "SMC": Condition(73.0, 5.5, 0.12, 0.15, 0.03, of_ad=1),
        "EMCI": Condition(72.5, 6.5, 0.32, 0.20, 0.06, of_ad=1),
        "LMCI": Condition(74.0, 6.5, 0.65, 0.28, 0.12, of_ad=1),
        # Half of the people with mild impairment have the disease beginning, half do not.
        "MCI": Condition(
            73.5, 6.5, 0.80, 0.25, 0.10, of_ad=1, second_severity=(0.45, 0.15, 0.15), female=0.45
        ),
        "AD": Condition(75.5, 6.5, 1.05, 0.30, 0.15, of_ad=1),
        "bvFTD": Condition(62, 8, percent=_BEHAVIOURAL, female=0.45, ages=(40, 85)),
        "svPPA": Condition(
            64, 7, percent=_SEMANTIC, female=0.45, mirrored=0.3, ages=(45, 85)
        ),
        "MTS-L": Condition(
            38, 12, severity_per_year=0.01, percent=_SCLEROSIS, female=0.55, ages=(18, 70)
        ),
        "MTS-R": Condition(
            38, 12, severity_per_year=0.01, percent=_right(_SCLEROSIS), female=0.55, ages=(18, 70)
        ),
        "NPH": Condition(75, 6, percent=_HYDROCEPHALUS, ages=(58, 92)),
        "MS": Condition(
            41, 10, severity_spread=0.4, severity_per_year=0.05, percent=_MULTIPLE_SCLEROSIS,
            lesions="ms", female=0.72, ages=(20, 68),
        ),
        "SVD": Condition(72, 8, percent=_SMALL_VESSEL, lesions="wmh", ages=(50, 92)),
        "stroke": Condition(
            65, 12, 0.0, 0.0, 0.0, lesions="stroke", female=0.45, ages=(30, 92)
        ),
    }
)  # fmt: skip

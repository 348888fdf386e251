"""Make the simulation's table of regional effects from measured norms.

Reads `norms/simulation_targets.csv` (effects of age, MCI, AD and two scanners on 259 regions) and
`ixi-dlmuse-volumes/` (region volumes of 291 healthy people), joins their regions to those of
`braincase.volumetry`, and writes the table and the correlations of regions that the simulation
ships. No row of a person is written.

    python benchmarks/region_effects.py DATA src/braincase/simulate/measured
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braincase.volumetry.regions import NAMES, plain_name

#: Which regions of the source (DLMUSE names, without their side) make up each of ours.
SOURCE = {
    "hippocampus": "Hippocampus",
    "amygdala": "Amygdala",
    "entorhinal": "EntorhinalArea",
    "parahippocampal": "ParahippocampalGyrus",
    "fusiform": "FusiformGyrus",
    "inferior-temporal": "InferiorTemporalGyrus",
    "middle-temporal": "MiddleTemporalGyrus",
    "superior-temporal": "SuperiorTemporalGyrus TransverseTemporalGyrus PlanumTemporale"
    " PlanumPolare",
    "temporal-pole": "TemporalPole",
    "insula": "AnteriorInsula PosteriorInsula",
    "superior-frontal": "SuperiorFrontalGyrus SuperiorFrontalGyrusMedialSegment"
    " SupplementaryMotorCortex",
    "middle-frontal": "MiddleFrontalGyrus",
    "inferior-frontal": "OpercularPartInferiorFrontalGyrus TriangularPartInferiorFrontalGyrus"
    " OrbitalPartInferiorFrontalGyrus",
    "orbitofrontal": "AnteriorOrbitalGyrus LateralOrbitalGyrus MedialOrbitalGyrus"
    " PosteriorOrbitalGyrus GyrusRectus FrontalPole",
    "precentral": "PrecentralGyrus PrecentralGyrusMedialSegment",
    "anterior-cingulate": "AnteriorCingulateGyrus MiddleCingulateGyrus",
    "posterior-cingulate": "PosteriorCingulateGyrus",
    "postcentral": "PostcentralGyrus PostcentralGyrusMedialSegment",
    "superior-parietal": "SuperiorParietalLobule",
    "inferior-parietal": "AngularGyrus",
    "supramarginal": "SupramarginalGyrus ParietalOperculum",
    "precuneus": "Precuneus",
    "lateral-occipital": "InferiorOccipitalGyrus MiddleOccipitalGyrus SuperiorOccipitalGyrus"
    " OccipitalPole",
    "lingual": "LingualGyrus OccipitalFusiformGyrus",
    "cuneus": "Cuneus",
    "pericalcarine": "CalcarineCortex",
    "thalamus": "ThalamusProper",
    "caudate": "Caudate",
    "putamen": "Putamen",
    "pallidum": "Pallidum",
    "accumbens": "AccumbensArea",
    "ventral-diencephalon": "VentralDC",
    "lateral-ventricle": "LateralVentricle",
    "inferior-horn": "InfLatVentricle",
    "cerebellar-cortex": "CerebellumExterior",
    "cerebellar-white-matter": "Cerebellum_WM",
    "cerebral-white-matter": "Frontal_WM Parietal_WM Temporal_WM Occipital_WM",
    "third-ventricle": "3rdVentricle",
    "fourth-ventricle": "4thVentricle",
    "brain-stem": "BrainStem",
    "corpus-callosum": "CorpCall",
}
#: Columns that are percentages of the mean, and so add up weighted by volume.
PERCENT = {
    "age%/yr": "age_percent_per_year",
    "%MCI": "mci_percent",
    "%AD": "ad_percent",
    "ixi_age_%/decade": "ixi_age_percent_per_decade",
    "site_Philips3T_%": "philips_3t_percent",
    "site_GE15T_%": "ge_15t_percent",
}
RATIO = {"sdratio_MCI": "mci_sd_ratio", "sdratio_AD": "ad_sd_ratio"}
ICV = "702"


def main(data: Path, folder: Path) -> None:
    """Write `regions.csv` and `correlations.csv` into a folder."""
    norms = pd.read_csv(data / "norms" / "simulation_targets.csv", dtype={"id": str})
    people = read_people(data / "ixi-dlmuse-volumes")
    ids = {region: ids_of(region, norms) for region in NAMES}
    residual = residuals(people, sorted({i for many in ids.values() for i in many} | {ICV}))
    rows = [{"region": r, **row_of(ids[r], norms.set_index("id"), residual)} for r in NAMES]
    for row in rows:
        row |= sex_and_size(people, ids[str(row["region"])])
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(folder / "regions.csv", index=False, float_format="%.4g")
    sums = pd.DataFrame({r: np.log(people[ids[r]].sum(axis=1)) for r in NAMES})
    together = pd.concat([people[["age", "sex", "site", ICV]], sums], axis=1)
    correlations = residuals(together, list(NAMES), logged=True).corr()
    correlations.to_csv(folder / "correlations.csv", float_format="%.2f", index_label="region")
    print(table.to_string())


def read_people(folder: Path) -> pd.DataFrame:
    """Return one row a person: region volumes in mm3, age, sex and scanner."""
    volumes = pd.read_csv(folder / "IXI_DLMUSE.csv").rename(columns=str)
    people = pd.read_csv(folder / "IXI_demog.csv")
    joined = volumes.merge(people, on="ID").rename(columns={"Age": "age", "Sex": "sex"})
    site = joined["ID"].str.split("-").str[1].rename("site")
    both = pd.concat([joined, site], axis=1)
    return both.dropna(subset=["age", "sex"]).reset_index(drop=True)


def ids_of(region: str, norms: pd.DataFrame) -> list[str]:
    """Return the numbers of the source's regions that make up one of ours."""
    plain = plain_name(region)
    side = "" if plain == region else f"_{region[0].upper()}"
    names = [f"{name}{side}" for name in SOURCE[plain].split()]
    found = norms.set_index("name")["id"]
    return [str(found[name]) for name in names]


def design_of(people: pd.DataFrame) -> NDArray[np.float64]:
    """Return what volumes are explained by: sex (man) and log of head size come first."""
    age = (people["age"] - 60) / 10
    columns = [
        people["sex"] == "M", np.log(people[ICV]), np.ones(len(people)), age, age**2,
        people["site"] == "HH", people["site"] == "IOP",
    ]  # fmt: skip
    return np.column_stack(columns).astype(float)


def sex_and_size(people: pd.DataFrame, ids: list[str]) -> dict[str, object]:
    """Return how much larger a region is in men, and the power of head size that it follows."""
    volume = np.log(np.maximum(people[ids].sum(axis=1).to_numpy(float), 1))
    fit = np.linalg.lstsq(design_of(people), volume, rcond=None)[0]
    return {"male_percent": 100 * float(np.expm1(fit[0])), "icv_exponent": float(fit[1])}


def residuals(people: pd.DataFrame, columns: list[str], logged: bool = False) -> pd.DataFrame:
    """Take age, its square, sex, scanner and intracranial volume off the logarithm of volumes."""
    design = design_of(people)
    values = people[columns].to_numpy(float)
    y = values if logged else np.log(np.maximum(values, 1))
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return pd.DataFrame(left, columns=columns)


def row_of(ids: list[str], norms: pd.DataFrame, residual: pd.DataFrame) -> dict[str, object]:
    """Join the rows of the source's regions: volumes add up, percentages are weighted by them."""
    chosen = norms.loc[ids]
    volume = chosen["mean_CN"].to_numpy(float)
    weight = volume / volume.sum()
    spread = chosen["sdres_CN"].to_numpy(float)
    correlation: NDArray[np.float64] = residual[ids].corr().to_numpy()
    joint = float(np.sqrt(spread @ correlation @ spread))
    row: dict[str, object] = {"source": "+".join(ids), "mean_mm3": volume.sum()}
    row["cv_percent"] = 100 * joint / volume.sum()
    for column, name in {**PERCENT, **RATIO}.items():
        row[name] = float(weight @ chosen[column].to_numpy(float))
    return row


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""The model card: what a model is, on whom it was trained, and what it is not for."""

from __future__ import annotations

from braincase.labels import is_of_simulation
from braincase.models.model import Model
from braincase.purpose import PURPOSE
from braincase.volumetry.code_layout import LONG

#: How the reconstruction terms are written in the loss.
_TERMS = {"mse": "MSE", "rmse": "RMSE", "relative": "MSE / variance"}


def write_card(model: Model) -> str:
    """Return the model card of a trained model as Markdown.

    Parameters
    ----------
    model
        With all that its training noted.
    """
    training, settings = model.training, model.settings
    counts = ", ".join(f"{n} {name}" for name, n in training["scans"].items())
    simulated = is_of_simulation(model.recipe)
    data = "**simulated** scans" if simulated else "scans"
    versions = ", ".join(f"{name} {v}" for name, v in training["versions"].items())
    losses = training["losses"]
    return f"""# Model card: {settings.name}

{PURPOSE} Not evaluated for any clinical use.

- **What it does**: turns a T1-weighted brain volume on the {model.grid.resolution_mm} mm standard
  grid into {_code(settings.local)}, for similar-case search.
- **Trained on**: {counts} {data} of {training["people"]} people, label column
  `{training["label"]}`.
- **Preprocessing recipe**: `{dict(model.recipe)}`
- **Loss**: E = {_TERMS[settings.reconstruction]} + {settings.alpha:g} L, {settings.exemplars}
  exemplars; last epoch: reconstruction {losses["reconstruction"]:.5f}, L {losses["metric"]:.4f}.
- **Settings**: `{settings}`
- **Training**: {training["seconds"]} s on {training["device"]} x {training["world_size"]},
  {training["precision"]}; {versions}.
- **Fingerprint**: `{model.fingerprint}`. Codes of another fingerprint are not comparable.

Codes are derived from a person's brain image: treat them as personal data.
"""


def _code(local: bool) -> str:
    network = "150 numbers, one for each 32 mm cell of MNI152 space"
    if not local:
        return network
    return (
        f"{LONG} numbers: the network's 150, volume, dark tissue and its share of each brain\n"
        "  region, and how likely each label below is"
    )

"""The starter model: trained on simulated people, it ships with the package and needs no training.

::

    starter/model.safetensors  weights, rounded to 16 bits
    starter/model.json, card.md
    starter/check.npz          the code of the bundled simulated head (`models/check_head.py`)
"""

from __future__ import annotations

from pathlib import Path

from braincase.models.model_json import read_about

#: What names it where a model is asked for.
STARTER = "starter"
FOLDER = Path(__file__).with_name("starter")
CHECK = "check.npz"


def model_folder(model: str | Path) -> Path:
    """Return a model's folder: that of the starter model where its name is given."""
    return FOLDER if str(model) == STARTER and not Path(model).exists() else Path(model)


def starter_if_its(fingerprint: str) -> str | None:
    """Return `STARTER` where codes of this fingerprint are the starter model's, else None."""
    return STARTER if read_about(FOLDER)["fingerprint"] == fingerprint else None

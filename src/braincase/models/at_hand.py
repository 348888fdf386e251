"""Model discovery: the model folders at hand, and the one whose fingerprint a gallery asks for."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from braincase.errors import ModelError, ParameterError
from braincase.models.model_json import ABOUT, read_about
from braincase.models.starter import FOLDER, STARTER


def models_at_hand(folders: Iterable[Path] = ()) -> dict[str, Path]:
    """Return the folders of the starter model and of the models in, or right below, some folders.

    Their names are what names them where a model is asked for. Without folders: in the current one.
    """
    found = {STARTER: FOLDER}
    for folder in tuple(folders) or (Path(),):
        for file in sorted([*folder.glob(ABOUT), *folder.glob(f"*/{ABOUT}")]):
            found[str(file.parent)] = file.parent
    return found


def model_of_gallery(fingerprint: str, encoder: str = "", folders: Iterable[Path] = ()) -> str:
    """Return the name of a model at hand that has a gallery's fingerprint.

    Of several, which all are the same, one is taken.

    Parameters
    ----------
    fingerprint, encoder
        The gallery's, and the name of a foreign encoder.
    folders
        As in `models_at_hand`.

    Raises
    ------
    ParameterError
        If there is none.
    """
    for name, folder in models_at_hand(folders).items():
        with suppress(ModelError):  # another model's folder may be damaged
            if read_about(folder)["fingerprint"] == fingerprint:
                return name
    kind = f"encoder '{encoder}'" if encoder else "model"
    expected = f"the gallery's {kind}, {fingerprint[:12]}, to embed the scan"
    advice = "`braincase models FOLDER` lists the models in a folder."
    raise ParameterError("model", "none given", expected, advice)

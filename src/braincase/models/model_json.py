"""The metadata of a model folder, ``model.json``, read without loading the model or torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

from braincase.cohort.derivatives import Recipe
from braincase.errors import ModelError
from braincase.files import check_regular, did_you_mean
from braincase.json_values import JsonObject, canonical_json, parse_json, to_json, to_json_object
from braincase.models.settings import ModelSettings

ABOUT, WEIGHTS = "model.json", "model.safetensors"
FORMAT = 1


class PeopleJson(TypedDict):
    """How many people and scans of what a model was trained on, and with which versions.

    `images` is `images_digest` of the training scans.
    """

    label: str
    classes: list[str]
    scans: dict[str, int]
    people: int
    images: str
    versions: dict[str, str]


class TrainingJson(PeopleJson):
    """How a model was trained: the object ``training`` of ``model.json``.

    `run` is the hash of `braincase.models.train.run_identity`; `losses` are those of the last
    epoch; `seconds` counts all sessions of an interrupted run.
    """

    run: str
    losses: Mapping[str, float]
    seconds: float
    precision: str
    device: str
    world_size: int


class ModelJson(TypedDict):
    """The content of ``model.json``."""

    format: int
    fingerprint: str
    settings: JsonObject
    resolution_mm: int
    recipe: Recipe
    training: TrainingJson


def images_digest(hashes: Iterable[str]) -> str:
    """Return the SHA-256 of the hashes of some images, whatever their order.

    It tells whether two sets of scans are the same, and nothing of any of them.
    """
    return sha256("\n".join(sorted(hashes)).encode()).hexdigest()


def hash_of_model(
    settings: ModelSettings, resolution_mm: int, recipe: Recipe, arrays: Iterable[tuple[str, bytes]]
) -> str:
    """Return a model's fingerprint: the SHA-256 of all that decides its codes.

    `arrays` are the network's, as the bytes it computes with, by name in the order of the names.
    """
    plain = to_json_object(settings)
    if not settings.local:
        del plain["local"]  # models of earlier versions keep their fingerprint
    identity = {"settings": plain, "resolution_mm": resolution_mm, "recipe": to_json(recipe)}
    digest = sha256(canonical_json(identity).encode())
    for name, content in arrays:
        digest.update(name.encode())
        digest.update(content)
    return digest.hexdigest()


def read_about(folder: Path) -> ModelJson:
    """Read ``model.json`` alone.

    Raises
    ------
    ModelError
        If it is missing, damaged or of another format.
    """
    try:
        about: ModelJson = parse_json(check_regular(folder / ABOUT).read_text("utf-8"))
        if about["format"] == FORMAT:
            _check(folder, about)
            # Of earlier versions: hashes of people without a key; they are not passed on.
            about["training"].pop("subject_hashes", None)  # type: ignore[typeddict-item]
            return about
        raise ModelError(folder, f"model format {about['format']}", "1", "Update braincase.")
    except FileNotFoundError as error:
        advice = "Train one with `braincase train`."
        if not folder.exists():
            advice = did_you_mean(folder, advice)
        raise ModelError(folder, "no model.json", "a model folder", advice) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(folder / ABOUT, f"cannot be read ({error})", "JSON") from error


def _check(folder: Path, about: Mapping[str, object]) -> None:
    """Refuse a file in which a part is missing or of another type."""
    wanted = {"fingerprint": str, "settings": dict, "resolution_mm": int, "recipe": dict}
    for key, kind in {**wanted, "training": dict}.items():
        if type(about.get(key)) is not kind:
            found = f"{key} = {about.get(key)!r:.40}" if key in about else f"no {key}"
            advice = "Restore the folder or train again."
            raise ModelError(folder / ABOUT, found, f"a value of type {kind.__name__}", advice)

"""Self-test of an encoder file (known answer test): its vector of one simulated head, as expected.

Published encoders have run with weights that silently were not loaded: a checkpoint with other
names and ``strict=False`` leaves a network as it was drawn, and every number it gives looks usual.
So beside ``FILE.py`` lies ``FILE.expected.json``, the vector of the bundled head that the encoder's
author saw; no encoder is used that does not give it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.errors import ModelError, ScanError
from braincase.files import read_json, refuse_overwrite, write_json
from braincase.images.volume import Volume
from braincase.models.check_head import head_as_scanned, head_hash, head_on_grid
from braincase.models.encoder import Encoder
from braincase.models.encoder_file import (
    EncoderFile,
    Function,
    check_weights,
    run_encoder_file,
    vector_of,
)


@dataclass(frozen=True)
class CheckedEncoder:
    """An encoder file that was checked: its length, and how far its vector is from the expected."""

    file: EncoderFile
    length: int
    distance: float


def load_encoder_file(file: EncoderFile) -> Encoder:
    """Run an encoder file and return it as an `Encoder`, once it has passed its self-test.

    Raises
    ------
    ModelError
        If it cannot be run, or does not give the expected vector.
    """
    check_weights(file)
    expected = read_expected(file)
    function = run_encoder_file(file)
    _distance(file, function, expected)
    length = len(expected)

    def embed(volumes: NDArray[np.uint8]) -> NDArray[np.float32]:
        if file.is_native:
            raise ScanError(file.path, "a standard volume", "the scan as it was scanned")
        codes = [vector_of(file, function, volume, length) for volume in volumes]
        return np.stack(codes) if codes else np.empty((0, length), np.float32)

    def embed_native(scan: Volume) -> NDArray[np.float32]:
        return vector_of(file, function, scan, length)

    return Encoder(
        embed,
        file.standard_grid,
        file.recipe,
        file.fingerprint,
        name=file.name,
        length=length,
        embed_native=embed_native if file.is_native else None,
        strips_native=file.strip,
    )


def expected_path(file: EncoderFile) -> Path:
    """Return where the expected vector of an encoder file lies: ``FILE.expected.json``."""
    return file.path.with_name(f"{file.path.stem}.expected.json")


def read_expected(file: EncoderFile) -> NDArray[np.float32]:
    """Read the expected vector of the bundled head.

    Raises
    ------
    ModelError
        If there is none, or it is of another head.
    """
    path = expected_path(file)
    advice = f"Write it, where the encoder is known to be right: {_command(file)} --write-expected"
    if not path.is_file():
        raise ModelError(path, "no expected vector", "that of the bundled head", advice)
    content = read_json(path, ModelError, advice)
    try:
        vector = np.asarray(content["vector"], dtype=np.float32)
        usable = vector.ndim == 1 and vector.size > 0 and bool(np.isfinite(vector).all())
        usable &= bool(vector.any())
    except (KeyError, TypeError, ValueError):
        usable = False
    if not usable:
        raise ModelError(path, "no vector of numbers", "an expected vector", advice)
    if content.get("head") != head_hash():
        raise ModelError(path, "the vector of another head", f"head {head_hash()[:12]}", advice)
    return vector


def check_encoder(file: EncoderFile) -> CheckedEncoder:
    """Run an encoder file's self-test.

    Raises
    ------
    ModelError
        If it does not pass.
    """
    check_weights(file)
    expected = read_expected(file)
    return CheckedEncoder(file, len(expected), _distance(file, run_encoder_file(file), expected))


def write_expected(file: EncoderFile, force: bool = False) -> CheckedEncoder:
    """Write the vector that an encoder gives for the bundled head as the expected one.

    Whoever does so has seen, on data they know, that the encoder is right.

    Raises
    ------
    UsageError
        If there is an expected vector and `force` is false.
    ModelError
        If the encoder does not give the same vector twice, or an empty one.
    """
    path = expected_path(file)
    refuse_overwrite(path, force)
    check_weights(file)
    function = run_encoder_file(file)
    vector = _head_vector(file, function)
    if not vector.any():
        raise ModelError(file.path, "a vector of zeros for the bundled head", "numbers")
    distance = _relative(_head_vector(file, function), vector)
    if distance > file.tolerance:
        found = f"the same head twice gives vectors {distance:.3g} apart"
        advice = "Is dropout or batch statistics on? A torch network needs eval()."
        raise ModelError(file.path, found, f"at most {file.tolerance:g}", advice)
    numbers = [float(f"{number:.9g}") for number in vector.tolist()]
    write_json(path, {"encoder": file.name, "head": head_hash(), "vector": numbers})
    return CheckedEncoder(file, len(numbers), distance)


def _distance(file: EncoderFile, function: Function, expected: NDArray[np.float32]) -> float:
    """Return how far the vector of the bundled head is from the expected one, relative."""
    vector = _head_vector(file, function)
    if vector.size != expected.size:
        found = f"a vector of {vector.size} numbers for the bundled head"
        raise ModelError(file.path, found, f"{expected.size} numbers ({expected_path(file).name})")
    distance = _relative(vector, expected)
    if not distance <= file.tolerance:
        found = (
            "its vector of the bundled simulated head differs from the expected one by"
            f" {distance:.3g} of its length"
        )
        advice = (
            "Most likely its weights were not loaded (other names in the checkpoint, and"
            " strict=False?); else a library computes otherwise than the author's."
        )
        raise ModelError(file.path, found, f"at most {file.tolerance:g}", advice)
    return distance


def _head_vector(file: EncoderFile, function: Function) -> NDArray[np.float32]:
    grid, strip = file.standard_grid, file.strip
    head = head_as_scanned(strip) if file.is_native else head_on_grid(grid, strip)
    try:
        return vector_of(file, function, head)
    except ScanError as error:
        found = f"{error.found}, for the bundled simulated head"
        raise ModelError(error.where, found, error.expected) from error


def _relative(vector: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    difference = vector.astype(np.float64) - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected.astype(np.float64)))


def _command(file: EncoderFile) -> str:
    return f"braincase encoder check {file.path}"

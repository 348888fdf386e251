"""Encoder files (plug-ins): an encoder of one's own as one small Python file and its weights.

A file says in constants what it is (`NAME`, `GRID`, `STRIP`, `INTENSITY`, `WEIGHTS`,
`WEIGHTS_SHA256`, `TOLERANCE`), and defines ``load(weights)``, which returns a function from a
volume to a vector. The constants are read without running the file, so that its hash, its weights'
hash and its fingerprint are known, and refused, before any of its code runs. docs/encoders.md has
examples.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.derivatives import Recipe
from braincase.errors import BraincaseError, ModelError, ScanError
from braincase.gallery.record.record import MOST_DIMENSIONS
from braincase.images.geometry import STANDARD_GRID, Grid, grid_of_resolution
from braincase.images.volume import Volume
from braincase.json_values import canonical_json
from braincase.preprocess.intensity import NORMALISATIONS
from braincase.preprocess.prepare_volume import recipe_of

#: Installed packages offer encoders under this group; the entry point names a module.
ENTRY_POINTS = "braincase.encoders"
#: By the name a file calls its input: the standard grids, or the scan on its own voxels.
GRIDS: Mapping[str, int | None] = {"2mm": 2, "4mm": 4, "native": None}
#: How far a vector may lie from the expected one, as part of its length, if a file says nothing.
TOLERANCE = 1e-3

Choice = TypeVar("Choice")
#: What a file's ``load`` returns.
Function = Callable[[NDArray[np.uint8] | Volume], object]


@dataclass(frozen=True)
class EncoderFile:
    """What an encoder file says of itself.

    Parameters
    ----------
    path, package
        The file; and its package, where an entry point names it.
    source
        Its bytes, as they were read once.
    name
        What galleries call the encoder.
    grid
        ``2mm`` or ``4mm``: it takes standard volumes, uint8. ``native``: scans on their own voxels.
    strip
        Whether the skull is taken off.
    intensity
        ``white-matter`` or ``gamma18`` on a grid, ``none`` for a native scan.
    weights, weights_sha256
        The weights file and its hash; None for an encoder without.
    tolerance
        How far its vector of the bundled head may be from the expected one, relative.
    """

    path: Path
    source: bytes
    name: str
    grid: str
    strip: bool
    intensity: str
    weights: Path | None
    weights_sha256: str | None
    tolerance: float
    package: str = ""

    @property
    def is_native(self) -> bool:
        """Whether it takes scans on their own voxels."""
        return GRIDS[self.grid] is None

    @property
    def standard_grid(self) -> Grid:
        """The grid of the standard volumes that go with its codes."""
        return grid_of_resolution(GRIDS[self.grid] or STANDARD_GRID.resolution_mm)

    @property
    def recipe(self) -> Recipe:
        """How the standard volumes that go with its codes are prepared."""
        if self.is_native:
            return recipe_of(self.standard_grid)
        return recipe_of(self.standard_grid, self.intensity, strip=self.strip)

    @property
    def fingerprint(self) -> str:
        """Hash of the file, its weights, its input and the recipe."""
        content = {
            "file": hashlib.sha256(self.source).hexdigest(),
            "weights": self.weights_sha256,
            "input": [self.grid, self.strip, self.intensity],
            "recipe": self.recipe,
        }
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def find_encoder_file(model: str | Path) -> EncoderFile | None:
    """Return the encoder file that a user named by its path or by an entry point; else None.

    Raises
    ------
    ModelError
        If it is one, but cannot be read or lacks a constant.
    """
    path = Path(model)
    if path.suffix == ".py":
        return read_encoder_file(path)
    if path.exists():
        return None
    for entry in entry_points(group=ENTRY_POINTS, name=str(model)):
        spec = find_spec(entry.module)
        if spec is None or spec.origin is None:
            raise ModelError(entry.value, "the entry point leads to no file", "a module")
        return read_encoder_file(Path(spec.origin), entry.module.rpartition(".")[0])
    return None


def read_encoder_file(path: Path, package: str = "") -> EncoderFile:
    """Read what an encoder file says of itself, without running it.

    Raises
    ------
    ModelError
        If it cannot be read, or a constant is missing or has a value that cannot be.
    """
    try:
        source = path.read_bytes()
        constants = _constants(ast.parse(source, str(path)))
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(path, f"cannot be read ({reason})", "an encoder file") from None
    file = _Constants(path, constants)
    grid = file.choice("GRID", tuple(GRIDS))
    rules = ("none",) if GRIDS[grid] is None else tuple(NORMALISATIONS)
    weights, digest = file.weights()
    return EncoderFile(
        path,
        source,
        file.name(),
        grid,
        file.choice("STRIP", (True, False)),
        file.choice("INTENSITY", rules),
        weights,
        digest,
        file.tolerance(),
        package,
    )


def _constants(tree: ast.Module) -> dict[str, object]:
    """Return the literals that a module assigns to names, without running it."""
    found: dict[str, object] = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and target.id.isupper():
                try:
                    found[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
                except ValueError:
                    found[target.id] = ...  # computed: told apart from what is missing
    return found


@dataclass(frozen=True)
class _Constants:
    """The constants of one file, each checked as it is taken."""

    path: Path
    values: Mapping[str, object]

    def refusal(self, name: str, expected: str) -> ModelError:
        value = self.values.get(name)
        found = f"no {name}" if value is None else f"{name} = {value!r:.60}"
        found = f"{name} is computed" if value is ... else found
        return ModelError(self.path, found, f"{name} = {expected}, written out")

    def choice(self, name: str, choices: tuple[Choice, ...]) -> Choice:
        value = self.values.get(name)
        for choice in choices:
            if type(value) is type(choice) and value == choice:
                return choice
        raise self.refusal(name, " or ".join(map(repr, choices)))

    def name(self) -> str:
        value = self.values.get("NAME")
        if not isinstance(value, str) or not re.fullmatch(r"[\w.+-][\w .+-]{0,59}", value):
            raise self.refusal("NAME", "'a short name of letters and digits'")
        return value

    def tolerance(self) -> float:
        value = self.values.get("TOLERANCE", TOLERANCE)
        if not isinstance(value, float) or not 0 < value <= 0.1:
            raise self.refusal("TOLERANCE", "a number above 0, at most 0.1")
        return value

    def weights(self) -> tuple[Path | None, str | None]:
        file, digest = self.values.get("WEIGHTS"), self.values.get("WEIGHTS_SHA256")
        if file is None and digest is None:
            return None, None
        if not isinstance(file, str) or not file:
            raise self.refusal("WEIGHTS", "'the name of the weights file'")
        if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
            raise self.refusal("WEIGHTS_SHA256", "'the 64 hexadecimal digits of its SHA-256'")
        return self.path.parent / file, digest.lower()


def check_weights(file: EncoderFile) -> None:
    """Compare the weights file with the hash that the encoder file gives.

    Raises
    ------
    ModelError
        If it is missing or another.
    """
    if file.weights is None:
        return
    try:
        with open(file.weights, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(file.weights, str(error.strerror), f"the weights of {file.path}") from None
    if digest != file.weights_sha256:
        found = f"a weights file with SHA-256 {digest}"
        advice = "Get the weights that the encoder was published with; nothing of it was run."
        raise ModelError(file.weights, found, f"{file.weights_sha256} ({file.path})", advice)


def run_encoder_file(file: EncoderFile) -> Function:
    """Run a file whose weights were checked, and return the function that its ``load`` gives.

    Raises
    ------
    ModelError
        If its code fails.
    """
    module = ModuleType(f"braincase_encoder_{file.fingerprint[:16]}")
    module.__file__, module.__package__ = str(file.path), file.package
    sys.modules[module.__name__] = module  # dataclasses and pickles look their module up
    try:
        exec(compile(file.source, str(file.path), "exec", dont_inherit=True), module.__dict__)
        load = module.__dict__.get("load")
        if not callable(load):
            raise ModelError(file.path, "no function load", "load(weights) -> a function")
        function = load(file.weights)
    except (BraincaseError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(file.path, f"cannot be loaded ({_said(error)})", "an encoder") from error
    if not callable(function):
        found = f"load returned {type(function).__name__}"
        raise ModelError(file.path, found, "a function from a volume to a vector")
    return function  # type: ignore[no-any-return]


def vector_of(
    file: EncoderFile,
    function: Function,
    volume: NDArray[np.uint8] | Volume,
    length: int | None = None,
) -> NDArray[np.float32]:
    """Return the vector that an encoder gives for one volume, float32 of shape (length,).

    Raises
    ------
    ScanError
        If it fails, or gives something else than one vector of `length` finite numbers.
    """
    try:
        with np.errstate(over="ignore"):
            vector = np.asarray(function(volume), dtype=np.float32)
    except MemoryError:
        raise
    except Exception as error:
        raise ScanError(file.path, f"the encoder failed ({_said(error)})", "a vector") from error
    if vector.ndim != 1 or not 1 <= vector.size <= MOST_DIMENSIONS:
        raise ScanError(file.path, f"an array of shape {vector.shape}", "one vector")
    if length is not None and vector.size != length:
        raise ScanError(file.path, f"a vector of {vector.size} numbers", f"{length} numbers")
    if not np.isfinite(vector).all():
        n_bad = int((~np.isfinite(vector)).sum())
        raise ScanError(
            file.path, f"{n_bad} of {vector.size} numbers are not finite", "finite ones"
        )
    return vector


def _said(error: BaseException) -> str:
    """Return the kind and the first line of what foreign code raised."""
    line = next(iter(str(error).splitlines()), "")[:200]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__

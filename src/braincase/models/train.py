"""The training loop: fit an autoencoder to some rows of a cohort.

All randomness of an epoch follows from (seed, epoch, rank) alone, so a run that was killed and goes
on from its last whole epoch ends with the same weights as one that never stopped. Several GPUs are
Lightning Fabric's affair: ``torchrun --nproc-per-node 4 -m braincase train ...``.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from braincase.cohort.cohort import Cohort
from braincase.errors import ParameterError, TrainingError
from braincase.json_values import canonical_json
from braincase.models.augment import augment
from braincase.models.embed import encode
from braincase.models.losses import (
    Losses,
    allowed_exemplars,
    comparable,
    mean_exemplar_distances,
    metric_loss,
    random_exemplar_distances,
    reconstruction_loss,
)
from braincase.models.model import Model
from braincase.models.model_json import PeopleJson, TrainingJson, images_digest
from braincase.models.network import Autoencoder, PrincipalCAE, build_network, to_unit
from braincase.models.principal import MOST_SCANS
from braincase.models.resume import TrainingState, resume_checkpoint, save_checkpoint
from braincase.models.search_code import SearchCode
from braincase.models.settings import ModelSettings
from braincase.models.training_set import NO_LABEL, Rows, TrainingSet, training_set
from braincase.progress import progress
from braincase.volumetry.readout import read_out

#: Number formats of Lightning Fabric in which networks are trained here.
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
#: Gradients longer than this are shortened to it.
GRADIENT_NORM = 5.0


def best_precision(device: str = "auto") -> Precision:
    """Return ``bf16-mixed`` where the hardware multiplies bf16 faster than float32, else float32.

    That is on CUDA devices and on CPUs with AMX tiles (docs/benchmarks.md).
    """
    has_amx = bool(torch.cpu._is_amx_tile_supported())  # no public name for it in torch 2.13
    on_cuda = torch.cuda.is_available() and device in ("auto", "cuda")
    return "bf16-mixed" if on_cuda or (has_amx and device in ("auto", "cpu")) else "32-true"


def train_model(
    cohort: Cohort,
    rows: Rows,
    settings: ModelSettings,
    label: str = "diagnosis",
    checkpoint: str | Path | None = None,
    precision: Precision | None = None,
    device: str = "auto",
) -> Model:
    """Train a model on some rows of a cohort.

    Parameters
    ----------
    cohort
        Prepared scans; only `rows` of it are looked at.
    rows
        The training scans.
    settings
        Architecture, loss, schedule, seed.
    label
        The column that holds the classes; empty for none, where alpha is 0.
    checkpoint
        A folder for the state after each epoch; a run with equal settings and rows goes on there.
    precision
        Of Lightning Fabric; by default what is fastest here.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    TrainingError
        If there is only one class, too few scans for one batch, or a loss that is not finite.
    """
    checkpoint = None if checkpoint is None else Path(checkpoint)
    precision = precision or best_precision(device)
    fabric = _fabric(precision, device)
    scans = training_set(cohort, rows, label, fabric.device)
    _check_trainable(scans, settings, rows)
    network = build_network(settings, cohort.grid)
    show_training_scans(network, scans)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    wrapped, optimizer = fabric.setup(network, optimizer)
    run = run_identity(cohort, rows, settings, label)
    before = resume_checkpoint(checkpoint, run, network, optimizer)
    state = before or TrainingState(0, Losses(math.nan, math.nan, math.nan), 0.0)
    started = time.perf_counter() - state.seconds
    with progress(f"training {settings.name}", settings.epochs) as advance:
        advance(state.epochs_done)
        for epoch in range(state.epochs_done, settings.epochs):
            losses = _train_epoch(fabric, wrapped, optimizer, scans, settings, epoch)
            state = TrainingState(epoch + 1, losses, time.perf_counter() - started)
            if checkpoint and fabric.is_global_zero:
                save_checkpoint(checkpoint, run, network, optimizer, state)
            advance(1, losses.line())
    training: TrainingJson = {
        "run": run,
        **_training_people(cohort, rows, scans, label),
        "losses": state.losses.to_json(),
        "seconds": round(state.seconds, 1),
        "precision": precision,
        "device": str(fabric.device),
        "world_size": fabric.world_size,
    }
    model = Model(network.eval(), settings, cohort.grid, cohort.recipe, training)
    if network.search_code is not None:
        _fit_search_code(network.search_code, model, cohort, rows, scans)
    return model


def show_training_scans(network: Autoencoder, scans: TrainingSet) -> None:
    """Give a network what it knows of the training scans before its first step."""
    if network.mean is not None:
        network.mean.copy_(scans.mean)
    if isinstance(network, PrincipalCAE):
        some = torch.linspace(0, len(scans) - 1, min(len(scans), MOST_SCANS)).long()
        parts = torch.split(some.to(scans.labels.device), 64)
        network.fit_axes(to_unit(scans.read(part).cpu()) for part in parts)


def _fit_search_code(
    search_code: SearchCode, model: Model, cohort: Cohort, rows: Rows, scans: TrainingSet
) -> None:
    """Fit what makes a longer code of the network's; the posterior only if the loss saw labels."""
    parts = np.array_split(rows, max(1, len(rows) // 64))
    network = np.concatenate([encode(model, cohort.volumes[part]) for part in parts])
    readout = np.concatenate([read_out(cohort.volumes[part], cohort.grid) for part in parts])
    labels = scans.labels.cpu().numpy() if model.settings.alpha > 0 else None
    search_code.fit(network, readout, labels)


def _fabric(precision: Precision, device: str) -> Fabric:
    """Join the processes that torchrun started; without torchrun use one device."""
    there = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(),
             "mps": torch.backends.mps.is_available()}  # fmt: skip
    if not there.get(device):
        expected = f"one of {', '.join(name for name, is_there in there.items() if is_there)}"
        raise ParameterError("device", f"'{device}'", expected)
    here, machines = (int(os.environ.get(n, 1)) for n in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))
    strategy = "ddp" if here * machines > 1 else "auto"
    with warnings.catch_warnings():
        # Where SLURM is installed lightning advises srun; torchrun is our way of many processes.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        fabric = Fabric(
            accelerator=device,
            devices=here,
            num_nodes=machines,
            strategy=strategy,
            precision=precision,
        )
    fabric.launch()
    return fabric


def is_main_process() -> bool:
    """Return whether this is rank 0: of the processes that train together, the one that writes."""
    return os.environ.get("RANK", "0") == "0"


def _check_trainable(scans: TrainingSet, settings: ModelSettings, rows: Rows) -> None:
    if len(rows) < settings.batch_size:
        found = f"{len(rows)} scans with batch_size {settings.batch_size}"
        raise TrainingError("training set", found, "at least one batch", "Lower `batch_size`.")
    if settings.alpha > 0 and len(scans.classes) < 2:
        found = f"one class only ({scans.classes[0]})"
        advice = "Choose a label column with several values, or train with alpha = 0."
        raise TrainingError("training set", found, "at least two classes", advice)


def _train_epoch(
    fabric: Fabric,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scans: TrainingSet,
    settings: ModelSettings,
    epoch: int,
) -> Losses:
    """Pass once over all scans in a new order; the last, incomplete batch is left out."""
    network.train()
    batches = _epoch_order(len(scans), settings, epoch, fabric.global_rank, fabric.world_size)
    generator = torch.Generator(fabric.device)
    generator.manual_seed(_seed_of(settings.seed, epoch, 1 + fabric.global_rank))
    sums = torch.zeros(3, device=fabric.device)
    for i, positions in enumerate(batches):
        step = epoch * len(batches) + i
        rate = learning_rate(step, settings.epochs * len(batches), settings.learning_rate)
        optimizer.param_groups[0]["lr"] = rate
        terms = _batch_losses(network, scans, positions.to(fabric.device), settings, generator)
        if not torch.isfinite(terms[2]):
            raise TrainingError(
                settings.name,
                f"the loss became {terms[2].item()} in epoch {epoch + 1}, step {i + 1}",
                "a finite number",
                "Lower learning_rate.",
            )
        optimizer.zero_grad()
        fabric.backward(terms[2])
        fabric.clip_gradients(network, optimizer, max_norm=GRADIENT_NORM)
        optimizer.step()
        sums += torch.stack([t.detach().float() for t in terms])
    reconstruction, metric, total = (sums / len(batches)).tolist()
    return Losses(reconstruction, metric, total)


def _batch_losses(
    network: nn.Module,
    scans: TrainingSet,
    positions: Tensor,
    settings: ModelSettings,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return reconstruction term, metric loss and E = reconstruction + alpha * L of one batch."""
    volumes = to_unit(scans.read(positions))
    if settings.augment:
        volumes = augment(volumes, generator)
    codes, reconstruction = network(volumes)
    rebuilt = reconstruction_loss(reconstruction, volumes, settings.reconstruction, scans.variance)
    if settings.alpha == 0:
        return rebuilt, torch.zeros_like(rebuilt), rebuilt
    labels, subjects = scans.labels[positions], scans.subjects[positions]
    allowed = allowed_exemplars(labels, subjects, len(scans.classes))
    if settings.exemplars == "random":
        distances, exists = random_exemplar_distances(codes, allowed, generator, settings.draws)
    else:
        distances, exists = mean_exemplar_distances(codes, allowed)
    distances, labels = comparable(distances, exists, labels)
    if not len(labels):  # one class only in this batch
        return rebuilt, codes.sum() * 0, rebuilt
    metric = metric_loss(distances, labels)
    return rebuilt, metric, rebuilt + settings.alpha * metric


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the learning rate of a step: linear warm-up over a tenth, then cosine decay to 0."""
    warm = max(1, steps // 10)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _epoch_order(
    scans: int, settings: ModelSettings, epoch: int, rank: int, world_size: int
) -> Sequence[Tensor]:
    """Shuffle all scans alike on every rank and return this rank's batches of positions."""
    generator = torch.Generator().manual_seed(_seed_of(settings.seed, epoch, 0))
    order = torch.randperm(scans, generator=generator)
    together = settings.batch_size * world_size
    steps = max(1, scans // together)
    mine = order[: steps * together].view(steps, -1)
    return [batch[rank::world_size] for batch in mine]


def _seed_of(*numbers: int) -> int:
    return int.from_bytes(sha256(repr(numbers).encode()).digest()[:7], "little")


def run_identity(cohort: Cohort, rows: Rows, settings: ModelSettings, label: str) -> str:
    """Return the hash of all that decides the final weights on one machine."""
    table = cohort.table.iloc[rows]
    classes = table[label] if label else [NO_LABEL] * len(table)
    hashes = [f"{h}:{c}" for h, c in zip(table["image_hash"], classes, strict=True)]
    content = [settings, cohort.grid.resolution_mm, hashes]
    return sha256(canonical_json(content).encode()).hexdigest()


def _training_people(cohort: Cohort, rows: Rows, scans: TrainingSet, label: str) -> PeopleJson:
    """Return how many people and scans of what were trained on, and with which versions.

    Never who: whoever reads a model could guess a hospital number by its hash.
    """
    people = sorted(set(cohort.table["subject"].iloc[rows].astype(str)))
    counts = torch.bincount(scans.labels.cpu(), minlength=len(scans.classes)).tolist()
    return {
        "label": label,
        "classes": list(scans.classes),
        "scans": dict(zip(scans.classes, counts, strict=True)),
        "people": len(people),
        "images": images_digest(cohort.table["image_hash"].iloc[rows].astype(str)),
        "versions": {n: version(n) for n in ("braincase", "torch", "lightning-fabric", "numpy")},
    }

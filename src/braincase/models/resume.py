"""Checkpoints of a training run: save its state after an epoch, and resume from it.

::

    checkpoint/epoch-0003.safetensors  weights and the optimizer's moments
    checkpoint/state.json              written last: of which run, epochs done, losses, seconds

Only the newest epoch stays. A checkpoint of another run (other settings or scans) is ignored, and
so is a damaged one or one of an older version without losses: training then starts anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor, nn

from braincase.files import write_json
from braincase.json_values import parse_json
from braincase.models.losses import Losses
from braincase.models.model import read_tensors, same_shapes, write_tensors

STATE = "state.json"


class StateJson(TypedDict):
    """The content of ``state.json``."""

    run: str
    epochs_done: int
    losses: dict[str, float]
    seconds: float
    tensors: str


@dataclass(frozen=True)
class TrainingState:
    """How far a training run has come.

    Parameters
    ----------
    epochs_done
        Whole epochs.
    losses
        Of the last of them.
    seconds
        Training time until then, over all sessions of the run.
    """

    epochs_done: int
    losses: Losses
    seconds: float


def save_checkpoint(
    folder: Path,
    run: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: TrainingState,
) -> None:
    """Write weights and optimizer state as one safetensors file, then the JSON that names it.

    Parameters
    ----------
    folder
        The checkpoint; what an earlier epoch left there is replaced.
    run
        Hash of all that decides the weights: only an equal run resumes here.
    network, optimizer
        What is trained, and what trains it.
    state
        How far it has come.
    """
    tensors = {f"network.{n}": t for n, t in network.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{n}": torch.as_tensor(t) for n, t in moments.items()}
    name = f"epoch-{state.epochs_done:04d}.safetensors"
    write_tensors(folder / name, tensors)
    content: StateJson = {
        "run": run,
        "epochs_done": state.epochs_done,
        "losses": state.losses.to_json(),
        "seconds": state.seconds,
        "tensors": name,
    }
    write_json(folder / STATE, content)
    for old in folder.glob("epoch-*.safetensors"):
        if old.name != name:
            old.unlink()


def resume_checkpoint(
    folder: Path | None, run: str, network: nn.Module, optimizer: torch.optim.Optimizer
) -> TrainingState | None:
    """Load the checkpoint of an equal run into network and optimizer, and return its state.

    Parameters
    ----------
    folder
        The checkpoint; None where there is none.
    run, network, optimizer
        As in `save_checkpoint`.

    Returns
    -------
    None where there is no checkpoint of this run; network and optimizer are then untouched.
    """
    if folder is None or not (folder / STATE).exists():
        return None
    content: StateJson = parse_json((folder / STATE).read_text(encoding="utf-8"))
    if content["run"] != run or "losses" not in content:
        return None
    tensors = read_tensors(folder / content["tensors"])
    if tensors is None:
        return None
    weights = _part(tensors, "network.")
    if not same_shapes(weights, network.state_dict()):
        return None
    network.load_state_dict(weights)
    parameters = list(network.parameters())
    by_number: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimizer.").items():
        number, key = name.split(".", 1)
        laid_out = _laid_out_like(parameters[int(number)], tensor)
        by_number.setdefault(int(number), {})[key] = laid_out
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": by_number, "param_groups": groups})
    return TrainingState(content["epochs_done"], Losses(**content["losses"]), content["seconds"])


def _laid_out_like(parameter: Tensor, state: Tensor) -> Tensor:
    """Give a restored moment the memory layout of its parameter.

    The fused optimizer walks both as flat memory: moments in another order than a channels-last
    kernel would be applied to other weights, without a word.
    """
    if state.shape != parameter.shape:
        return state  # the step count
    return torch.empty_like(parameter).copy_(state)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

"""Checkpoints of a training run: save its state after an epoch, and resume from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from braincase.files import write_json
from braincase.models.model import read_tensors, same_shapes, write_tensors


def _save_state(folder: Path, run: str, network: Any, optimizer: Any, epochs_done: int) -> None:
    """Write weights and optimizer state as one safetensors file, then the JSON that names it."""
    tensors = {f"network.{n}": t for n, t in network.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{n}": torch.as_tensor(t) for n, t in state.items()}
    name = f"epoch-{epochs_done:04d}.safetensors"
    write_tensors(folder / name, tensors)
    write_json(folder / "state.json", {"run": run, "epochs_done": epochs_done, "tensors": name})
    for old in folder.glob("epoch-*.safetensors"):
        if old.name != name:
            old.unlink()


def _resume(folder: Path | None, run: str, network: Any, optimizer: Any) -> int:
    """Load the state that an equal run left; return the number of epochs done."""
    if folder is None or not (folder / "state.json").exists():
        return 0
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    tensors = read_tensors(folder / state["tensors"]) if state["run"] == run else None
    if tensors is None:
        return 0
    weights = _part(tensors, "network.")
    if not same_shapes(weights, network.state_dict()):
        return 0
    network.load_state_dict(weights)
    parameters = list(network.parameters())
    by_number: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimizer.").items():
        number, key = name.split(".", 1)
        laid_out = _laid_out_like(parameters[int(number)], tensor)
        by_number.setdefault(int(number), {})[key] = laid_out
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": by_number, "param_groups": groups})
    return int(state["epochs_done"])


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

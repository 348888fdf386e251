"""Make the starter model out of a trained one: weights of 16 bits, card, and the code to check.

python benchmarks/starter.py MODEL src/braincase/models/starter
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from braincase.files import write_json, write_text
from braincase.models.card import write_card
from braincase.models.check_head import head_on_grid
from braincase.models.embed import embedder
from braincase.models.model import CARD, WEIGHTS, load_model, write_tensors
from braincase.models.model_json import ABOUT
from braincase.models.starter import CHECK


def main(trained: Path, out: Path) -> None:
    model = load_model(trained)
    with torch.no_grad():
        for tensor in model.network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    model = replace(model)  # its fingerprint is that of the rounded weights
    weights = {n: half(t) for n, t in model.network.state_dict().items()}
    out.mkdir(parents=True, exist_ok=True)
    write_tensors(out / WEIGHTS, weights)
    write_text(out / CARD, write_card(model))
    write_json(out / ABOUT, model.about())
    code = embedder(model)(head_on_grid(model.grid, strip=True)[None])[0]
    np.savez(out / CHECK, code=code)
    for path in out.iterdir():
        path.chmod(0o644)
    print(f"{model.fingerprint[:12]}, {sum(f.stat().st_size for f in out.iterdir()) / 1e6:.1f} MB")


def half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

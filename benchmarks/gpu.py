"""GPU run: throughput, the paper's network to its end at 4 and 2 mm, preprocessing; in one file.

``experiments/gpu.sh OUT [MINUTES] [--tiny]``. The steps are in the order of their worth, and
``OUT/gpu.json`` is written whole after each: whenever the run is cut, what is there counts. Cohorts
and models stay in ``build/gpu`` and are not made twice. Simulated people; `--tiny` tries every step
on a few of them, on a processor, in minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from braincase.cohort.cohort import Cohort
from braincase.files import write_json
from braincase.images.geometry import STANDARD_GRID
from braincase.images.volume import Volume
from braincase.json_values import Json, to_json
from braincase.models.embed import embedder
from braincase.models.network import build_network
from braincase.models.settings import ModelSettings, load_settings
from braincase.models.train import best_precision, train_model
from braincase.preprocess.prepare_volume import prepare_batch
from braincase.simulate.cohort import simulate_cohort
from braincase.simulate.head import simulate_head
from braincase.workflows.experiment import evaluate_and_report
from train import matmul_gflops, naive_encode, naive_epoch, seconds, step_gflop

WORK = Path("build/gpu")
#: The paper's network under the paper's losses, and ours (docs/method.md has the units of alpha).
PAPER = ModelSettings("plain", "paper-mean", 27, 0.0, batch_size=32, augment=False)
CONTESTANTS = (
    PAPER,
    replace(PAPER, name="ddcml", alpha=1.0, exemplars="random"),
    ModelSettings("braincase", batch_size=32, alpha=0.5, learning_rate=2e-3, local=True),
)
#: The deeper reading of the paper's network, in batches for a GPU: with alpha = 1 its codes die.
DEEP = tuple(
    replace(load_settings(f"experiments/{name}-deep-4mm.toml"), batch_size=32)
    for name in ("plain", "ddcml")
)
#: Part of the time left that the five folds at 4 mm and the folds at 2 mm may take.
SHARE_4MM, SHARE_2MM = 0.6, 0.8
MOST_EPOCHS = 100


@dataclass(frozen=True)
class Run:
    """What all steps share: the device, how much is done, and when to be done."""

    device: torch.device
    tiny: bool
    until: float

    @property
    def left_s(self) -> float:
        """Seconds left."""
        return self.until - time.monotonic()

    def settings(self, settings: ModelSettings) -> ModelSettings:
        """Return settings as they are, or those of a tiny trial."""
        small = replace(settings, channels=min(settings.channels, 4), batch_size=8)
        return small if self.tiny else settings

    def cohort(self, resolution_mm: int) -> Cohort:
        """Return the simulated people at a resolution: the paper's number of them at 4 mm."""
        size = "tiny" if self.tiny else "paper" if resolution_mm == 4 else "small"
        return simulate_cohort(WORK / f"{size}-{resolution_mm}mm", size, 0, resolution_mm)


def machine(run: Run) -> dict[str, Json]:
    """Measure the chip's practical limits: a large matrix product, a copy of device memory."""
    bf16 = best_precision() == "bf16-mixed"
    data = torch.empty(2**24 if run.tiny else 2**30, dtype=torch.int32, device=run.device)
    copy_s = seconds(lambda: data.clone())
    name = torch.cuda.get_device_name() if run.device.type == "cuda" else "processor"
    return {
        "device": name,
        "torch": torch.__version__,
        "precision": best_precision(),
        "matmul_tflops": matmul_gflops(run.device, torch.bfloat16 if bf16 else torch.float32) / 1e3,
        "copy_gb_per_s": 2 * data.nbytes / copy_s / 1e9,
    }


def least_gb(settings: ModelSettings, cohort: Cohort) -> float:
    """Return the bytes of one scan's training step that no order of work avoids, in units of 1e9.

    Each layer's output in half precision is written and read forward, and again backward.
    """
    network, sizes = build_network(settings, cohort.grid), list[int]()
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: sizes.append(out.numel()))
        for module in network.modules()
        if not list(module.children())
    ]
    with torch.no_grad():
        network(torch.zeros(1, 1, *cohort.grid.shape))
    for hook in hooks:
        hook.remove()
    return 4 * 2 * sum(sizes) / 1e9


def throughput(run: Run, resolution_mm: int) -> dict[str, Json]:
    """Time training and encoding of each network against naive PyTorch, in one run."""
    whole = run.cohort(resolution_mm)
    rows = np.arange(min(len(whole), 256))
    told: dict[str, Json] = {}
    for chosen in (*CONTESTANTS[1:], DEEP[1]):
        settings = replace(run.settings(chosen), epochs=1, augment=False, local=False)
        model = train_model(whole, rows, settings)
        embed, volumes, n = embedder(model), whole.volumes[rows], len(rows)
        part = replace(whole, table=whole.table.iloc[rows])
        ours = seconds(partial(train_model, whole, rows, settings)) / n
        naive = seconds(partial(naive_epoch, part, settings, run.device)) / n
        code = seconds(partial(embed, volumes)) / n
        plain = seconds(partial(naive_encode, part, settings, run.device)) / n
        gflop = step_gflop(whole, settings)
        told[settings.name] = {
            "train_ms_per_scan": 1e3 * ours,
            "train_ratio_to_naive": naive / ours,
            "encode_ms_per_scan": 1e3 * code,
            "encode_ratio_to_naive": plain / code,
            "gflop_per_scan": gflop,
            "achieved_tflops": gflop / ours / 1e3,
            "achieved_gb_per_s_at_least": least_gb(settings, whole) / ours,
        }
    return told


def preprocessing(run: Run) -> dict[str, Json]:
    """Time preprocessing of simulated raw heads in one batch on the device."""
    made = [simulate_head(number) for number in range(1 if run.tiny else 8)]
    heads = [Volume(head.data, head.affine) for head in made]
    device = "cuda" if run.device.type == "cuda" else None
    best = seconds(partial(prepare_batch, heads, STANDARD_GRID, device=device)) / len(heads)
    return {"heads": len(heads), "seconds_per_head": best, "device": device}


def folds(
    run: Run,
    resolution_mm: int,
    run_folds: int,
    share: float,
    contestants: Sequence[ModelSettings] = CONTESTANTS,
) -> dict[str, Json]:
    """Train contestants on folds as long as the time allows; the paper's protocol on them."""
    cohort = run.cohort(resolution_mm)
    began, training = time.monotonic(), int(0.8 * len(cohort))
    rows = np.arange(min(len(cohort), 256))
    for chosen in contestants:  # how long an epoch takes: also warms up the kernels
        train_model(cohort, rows, replace(run.settings(chosen), epochs=1))
    epoch_s = (time.monotonic() - began) / len(rows) * training
    epochs = int(share * run.left_s / (run_folds * epoch_s))
    epochs = 1 if run.tiny else int(np.clip(epochs, 1, MOST_EPOCHS))
    chosen_settings = [replace(run.settings(one), epochs=epochs) for one in contestants]
    results, page = evaluate_and_report(
        cohort, WORK / f"report-{contestants[0].name}-{resolution_mm}mm", ("paper",),
        chosen_settings, run_folds=run_folds, force=True,
    )  # fmt: skip
    told = {name: part for name, part in results[0].to_json().items() if name != "maps"}
    return {"epochs": epochs, "settings": to_json([asdict(s) for s in chosen_settings]),
            "page": str(page), **told}  # fmt: skip


STEPS: tuple[tuple[str, Callable[[Run], dict[str, Json]]], ...] = (
    ("machine", machine),
    ("throughput_4mm", lambda run: throughput(run, 4)),
    ("one_fold_4mm", lambda run: folds(run, 4, 1, 0.2)),
    ("five_folds_4mm", lambda run: folds(run, 4, 5, SHARE_4MM)),
    ("preprocessing", preprocessing),
    ("one_deep_fold_4mm", lambda run: folds(run, 4, 1, 0.3, DEEP)),
    ("throughput_2mm", lambda run: throughput(run, 2)),
    ("one_fold_2mm", lambda run: folds(run, 2, 1, SHARE_2MM)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("minutes", type=float, nargs="?", default=9.0)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = Run(device, options.tiny, time.monotonic() + 60 * options.minutes)
    options.out.mkdir(parents=True, exist_ok=True)
    told: dict[str, Json] = {"simulated": True, "tiny": options.tiny}
    for name, step in STEPS:
        if run.left_s < 20:
            told[name] = "no time left"
            continue
        began = time.monotonic()
        try:
            told[name] = {**step(run), "seconds": round(time.monotonic() - began, 1)}
        except Exception as error:
            # The next step is worth trying: a machine like this is rare.
            traceback.print_exc()
            told[name] = f"failed: {type(error).__name__}: {error}"
        write_json(options.out / "gpu.json", told)
        print(f"{name}: {time.monotonic() - began:.0f} s, {run.left_s:.0f} s left", file=sys.stderr)


if __name__ == "__main__":
    main()

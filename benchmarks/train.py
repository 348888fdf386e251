"""Training and encoding throughput against a naive PyTorch version of the same network.

Naive: float32, NCDHW, a Dataset that opens one NIfTI file a scan. Ours: `braincase.models.train` as
it is (8-bit volumes resident, channels last, bf16 where the hardware is faster in it). Both in one
run on one machine; look at the ratios.

    python benchmarks/train.py [--resolution 4] [--scans 64]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from braincase.cohort.cohort import Cohort
from braincase.images.geometry import grid_of_resolution
from braincase.models.embed import embedder
from braincase.models.layers import CellwiseLinear, PooledConvolution
from braincase.models.losses import (
    allowed_exemplars,
    comparable,
    mean_exemplar_distances,
    metric_loss,
)
from braincase.models.network import Autoencoder, build_network
from braincase.models.settings import ModelSettings, load_settings
from braincase.models.train import best_precision, show_training_scans, train_model
from braincase.models.training_set import training_set
from braincase.simulate.cohort import recipe_of, write_visits
from braincase.simulate.people import SIZES, draw_visits


class NaiveScans(Dataset):  # type: ignore[type-arg]
    """One NIfTI file an item, as tutorials do it."""

    def __init__(self, cohort: Cohort) -> None:
        self.paths = [cohort.folder / image for image in cohort.table["image"]]
        self.labels = (cohort.table["diagnosis"] == "AD").to_numpy().astype(np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        data = nibabel.load(self.paths[i]).get_fdata(dtype=np.float32) / 255
        return torch.from_numpy(data)[None], int(self.labels[i])


def naive_network(settings: ModelSettings, cohort: Cohort, device: torch.device) -> Autoencoder:
    """The same network in PyTorch's default layout, layer by layer as it is described."""
    network = build_network(settings, cohort.grid)
    rows = np.arange(len(cohort))
    show_training_scans(network, training_set(cohort, rows, "diagnosis", torch.device("cpu")))
    for parameter in network.parameters():
        parameter.data = torch.empty(parameter.shape).copy_(parameter.data)
    for layer in network.modules():
        if isinstance(layer, CellwiseLinear):
            layer.is_small = False  # each cell's neighbours are gathered by copies
    if isinstance(network.encoder[0], PooledConvolution):  # the paper's, not its deeper reading
        first, last = network.encoder[0].convolution, network.decoder[-1].convolution
        network.encoder[0] = nn.Sequential(first, nn.ReLU(), nn.AvgPool3d(2))
        network.decoder[-1] = nn.Sequential(nn.Upsample(scale_factor=2, mode="trilinear"), last)
    return network.to(device)


def naive_epoch(cohort: Cohort, settings: ModelSettings, device: torch.device) -> None:
    network = naive_network(settings, cohort, device)
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate)
    loader = DataLoader(NaiveScans(cohort), settings.batch_size, shuffle=True, drop_last=True)
    for volumes, labels in loader:
        volumes, labels = volumes.to(device), labels.to(device)
        codes, rebuilt = network(volumes)
        allowed = allowed_exemplars(labels, torch.arange(len(labels), device=device), 2)
        distances, own = comparable(*mean_exemplar_distances(codes, allowed), labels)
        loss = torch.nn.functional.mse_loss(rebuilt, volumes)
        if len(own):
            loss = loss + settings.alpha * metric_loss(distances, own)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def naive_encode(cohort: Cohort, settings: ModelSettings, device: torch.device) -> None:
    network = naive_network(settings, cohort, device).eval()
    with torch.no_grad():
        for volumes, _ in DataLoader(NaiveScans(cohort), settings.batch_size):
            network.encode(volumes.to(device))


def seconds(work: Callable[[], object]) -> float:
    work()  # warm up: caches, kernels, page cache
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def matmul_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """The chip's practical limit: a large matrix product."""
    n = 8192 if device.type == "cuda" else 2048
    a = torch.randn(n, n, device=device, dtype=dtype)
    return 2 * n**3 / seconds(lambda: a @ a) / 1e9


def step_gflop(cohort: Cohort, settings: ModelSettings) -> float:
    """Floating-point operations of one scan's forward and backward pass, in units of 1e9.

    Of the layers as they are described, whatever is computed instead.
    """
    network = naive_network(settings, cohort, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        codes, rebuilt = network(torch.zeros(2, 1, *cohort.grid.shape))
        (codes.sum() + rebuilt.sum()).backward()
    return counter.get_total_flops() / 2 / 1e9


def make_cohort(folder: Path, resolution_mm: int, scans: int) -> tuple[Cohort, float]:
    visits = draw_visits(SIZES["small"], 0)
    visits = [visits[i] for i in np.linspace(0, 549, scans).astype(int)]
    start = time.perf_counter()
    grid = grid_of_resolution(resolution_mm)
    cohort = write_visits(folder, grid, visits, recipe_of("benchmark", 0, 0.0))
    return cohort, (time.perf_counter() - start) / scans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=4)
    parser.add_argument("--scans", type=int, default=64)
    parser.add_argument("--settings", default="braincase", help="preset or TOML file")
    parser.add_argument("--batch", type=int, default=0, help="instead of the settings' own")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = replace(load_settings(options.settings), epochs=1, augment=False)
    settings = replace(settings, batch_size=options.batch or settings.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        cohort, simulated = make_cohort(Path(folder), options.resolution, options.scans)
        rows = np.arange(len(cohort))
        model = train_model(cohort, rows, settings)
        embed = embedder(model)
        volumes = cohort.volumes[:]
        n = len(rows)
        naive_train = seconds(lambda: naive_epoch(cohort, settings, device)) / n * 1e3
        ours_train = seconds(lambda: train_model(cohort, rows, settings)) / n * 1e3
        naive_code = seconds(lambda: naive_encode(cohort, settings, device)) / n * 1e3
        ours_code = seconds(lambda: embed(volumes)) / n * 1e3
        gflop = step_gflop(cohort, settings)
    bf16 = best_precision() == "bf16-mixed"
    limit = matmul_gflops(device, torch.bfloat16 if bf16 else torch.float32)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{device}, {torch.get_num_threads()} threads, {best_precision()}, {settings.name} at "
          f"{options.resolution} mm, {n} simulated scans, batch {settings.batch_size}")  # fmt: skip
    print("| what | naive ms/scan | braincase ms/scan | ratio |\n|---|---|---|---|")
    print(f"| training | {naive_train:.1f} | {ours_train:.1f} | {naive_train / ours_train:.2f} |")
    print(f"| encoding | {naive_code:.1f} | {ours_code:.1f} | {naive_code / ours_code:.2f} |")
    achieved = gflop / ours_train * 1e3
    share = f"{achieved / limit:.0%} of a large matrix product's {limit:.0f} GFLOP/s"
    print(f"training does {gflop:.2f} GFLOP a scan: {achieved:.0f} GFLOP/s, {share}")
    print(f"simulation {simulated:.2f} s/scan (all cores); peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()

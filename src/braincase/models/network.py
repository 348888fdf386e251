"""The two convolutional autoencoders (CAE); their code is a 5 x 6 x 5 map of MNI space.

``encode`` takes volumes (b, 1, *grid.shape) in [0, 1] and gives codes (b, 150): one number for each
32 mm cell, C order. ``decode`` takes the codes and gives volumes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise, product
from math import log2, prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from braincase.images.geometry import CELL_MM, CELLS, Grid
from braincase.models.search_code import SearchCode
from braincase.models.settings import ModelSettings

CODE_SIZE = prod(CELLS)
#: The difference from the mean image is small; this brings it to about unit spread.
DIFFERENCE_GAIN = 4.0
#: Voxels along the edge of a patch of the linear basis: a 32 mm cell at 4 mm.
PATCH = 8
#: Spread of the stored weights of `CellwiseLinear` before training.
FIRST_WEIGHTS = 0.05
#: Codes begin with squared distances of about 1, where the softmax of the metric loss is neither
#: flat nor saturated.
CODE_GAIN = 0.05
#: `CellwiseLinear` is one matrix up to this many pairs of channels: beyond, its zeros cost more.
MATRIX_CHANNELS = 128


class Autoencoder(nn.Module, ABC):
    """A convolutional autoencoder (CAE): the interface that both networks implement.

    `search_code` makes its code a longer one to search with; None where the code is searched as it
    is.
    """

    search_code: SearchCode | None

    def __init__(self) -> None:
        super().__init__()
        self.search_code = None

    @abstractmethod
    def encode(self, volumes: Tensor) -> Tensor:
        """Turn volumes (b, 1, *shape) into codes (b, 150)."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Turn codes (b, 150) into volumes (b, 1, *shape)."""

    def forward(self, volumes: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes and reconstructions."""
        codes = self.encode(volumes)
        return codes, self.decode(codes)


def halvings(grid: Grid) -> int:
    """Return how often `grid` is halved until a voxel is one code cell: 4 at 2 mm, 3 at 4 mm."""
    return round(log2(CELL_MM / grid.resolution_mm))


class PaperCAE(Autoencoder):
    """The 3D convolutional autoencoder of Onga et al. 2019, as we read the paper.

    Stated in the paper: kernels of 3 x 3 x 3 with padding 1, ReLU, 2 x 2 x 2 average pooling,
    linear up-sampling, a code of 150 numbers. Our reading of what it leaves open, after the group's
    later work (DI-PSS, arXiv 2108.06518): four stages of 27 kernels, each ended by a pooling;
    residual sums in the last two; a last convolution to one channel and no dense layer. The decoder
    is the mirror image with a sigmoid at the end. On the 4 mm grid the first plain stage is left
    out, so the code is the same 5 x 6 x 5.

    References
    ----------
    Onga, Fujiyama, Arai, Chayama, Iyatomi, Oishi (2019). Efficient feature embedding of 3D brain
    MRI images for content-based image retrieval with deep metric learning. Long form: arXiv
    1912.01824.
    """

    def __init__(self, grid: Grid, channels: int) -> None:
        super().__init__()
        plain = [_relu_conv(channels, channels) for _ in range(halvings(grid) - 3)]
        residual = [ResidualSum(channels), ResidualSum(channels)]
        down = [_relu_conv(1, channels), *plain, *residual]
        self.encoder = nn.Sequential(
            *[nn.Sequential(stage, nn.AvgPool3d(2)) for stage in down],
            nn.Conv3d(channels, 1, 3, padding=1),
        )
        plain = [_relu_conv(channels, channels) for _ in range(halvings(grid) - 3)]
        residual = [ResidualSum(channels), ResidualSum(channels)]
        up = [*residual, *plain, nn.Conv3d(channels, 1, 3, padding=1)]
        self.decoder = nn.Sequential(
            _relu_conv(1, channels),
            *[nn.Sequential(nn.Upsample(scale_factor=2, mode="trilinear"), s) for s in up],
            nn.Sigmoid(),
        )

    def encode(self, volumes: Tensor) -> Tensor:
        """Turn volumes (b, 1, *shape) into codes (b, 150)."""
        return torch.flatten(self.encoder(volumes), 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Turn codes (b, 150) into volumes (b, 1, *shape) in (0, 1)."""
        volumes: Tensor = self.decoder(codes.view(-1, 1, *CELLS))
        return volumes


class ResidualSum(nn.Module):
    """ReLU(x + convolution(x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, channels, x, y, z)."""
        return F.relu(x + self.convolution(x))


def _relu_conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(inputs, outputs, 3, padding=1), nn.ReLU())


class BraincaseCAE(Autoencoder):
    """A strided 3D-CAE of differences from the mean brain, with a layer that knows where it is.

    A convolution weighs every place of the brain alike, but in MNI space places have names. So the
    code is read out by an own set of weights for each cell (`CellwiseLinear`) from the 3 x 3 x 3
    cells around it. The decoder adds two parts to the mean of the training volumes: what
    convolutions draw, and a linear basis of 8 x 8 x 8 patches, one set for each cell, which learns
    fast as a principal component does. See docs/decisions/0001-local-code.md.
    """

    mean: Tensor

    def __init__(self, grid: Grid, channels: int) -> None:
        super().__init__()
        self.shape = grid.shape
        widths = [channels * 2**i for i in range(halvings(grid))]
        self.register_buffer("mean", torch.zeros(1, 1, *grid.shape))
        self.encoder = nn.Sequential(
            *[_down(i, o) for i, o in zip([1, *widths], widths, strict=False)],
            CellwiseLinear(widths[-1], 1, CODE_GAIN),
        )
        narrowing = widths[::-1]
        self.decoder = nn.Sequential(
            CellwiseLinear(1, widths[-1], 1 / CODE_GAIN),
            nn.BatchNorm3d(widths[-1]),
            nn.LeakyReLU(0.1),
            *[_up(i, o) for i, o in pairwise(narrowing)],
            nn.ConvTranspose3d(channels, 1, 2, stride=2),
        )
        self.basis = CellwiseLinear(1, PATCH**3, 1.0)

    def encode(self, volumes: Tensor) -> Tensor:
        """Turn volumes (b, 1, *shape) into codes (b, 150)."""
        return torch.flatten(self.encoder(DIFFERENCE_GAIN * (volumes - self.mean)), 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Turn codes (b, 150) into volumes (b, 1, *shape)."""
        cells = codes.view(-1, 1, *CELLS)
        difference: Tensor = self.decoder(cells) + self._lay_patches(self.basis(cells))
        return self.mean + difference / DIFFERENCE_GAIN

    def _lay_patches(self, patches: Tensor) -> Tensor:
        """Put each cell's 8 x 8 x 8 patch (b, 512, 5, 6, 5) in its place, (b, 1, *shape)."""
        size = (PATCH, PATCH, PATCH)
        by_axis = patches.view(-1, *size, *CELLS).permute(0, 4, 1, 5, 2, 6, 3)
        laid = by_axis.reshape(-1, 1, *[PATCH * n for n in CELLS])
        if laid.shape[2:] == self.shape:
            return laid
        return F.interpolate(laid, self.shape, mode="trilinear")


class CellwiseLinear(nn.Module):
    """A linear map of each cell's 3 x 3 x 3 neighbourhood, with weights of its own in each cell.

    The weights are stored at one size and multiplied by `gain` in use, so that a step of Adam moves
    them by the same share whatever size the output must have. Between few channels it is computed
    as one matrix with zeros between cells that are not neighbours: more products, but in one go,
    and none of the 27 shifted copies (measured: a quarter of a training step).
    """

    neighbours: Tensor

    def __init__(self, inputs: int, outputs: int, gain: float) -> None:
        super().__init__()
        self.gain = gain
        self.weight = nn.Parameter(FIRST_WEIGHTS * torch.randn(CODE_SIZE, 27 * inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(CODE_SIZE, 1, outputs))
        self.register_buffer("neighbours", _neighbours(), persistent=False)
        self.is_small = inputs * outputs <= MATRIX_CHANNELS

    def forward(self, cells: Tensor) -> Tensor:
        """Turn (b, inputs, 5, 6, 5) into (b, outputs, 5, 6, 5)."""
        return self._in_one_matrix(cells) if self.is_small else self._cell_by_cell(cells)

    def _in_one_matrix(self, cells: Tensor) -> Tensor:
        inputs, outputs = cells.shape[1], self.weight.shape[2]
        blocks = self.gain * self.weight.view(27 * CODE_SIZE, inputs * outputs)
        blocks = torch.cat([blocks, blocks.new_zeros(1, inputs * outputs)])
        by_pair = F.embedding(self.neighbours, blocks, padding_idx=len(blocks) - 1)
        by_pair = by_pair.view(CODE_SIZE, CODE_SIZE, inputs, outputs)
        matrix = by_pair.permute(0, 2, 1, 3).reshape(CODE_SIZE * inputs, CODE_SIZE * outputs)
        values = cells.permute(0, 2, 3, 4, 1).reshape(len(cells), -1)
        out = torch.addmm(self.bias.view(1, -1).to(values.dtype), values, matrix.to(values.dtype))
        return out.view(-1, *CELLS, outputs).permute(0, 4, 1, 2, 3)

    def _cell_by_cell(self, cells: Tensor) -> Tensor:
        nx, ny, nz = CELLS
        padded = F.pad(cells, (1,) * 6)
        around = torch.cat(
            [
                padded[:, :, i : i + nx, j : j + ny, k : k + nz]
                for i, j, k in product(range(3), repeat=3)
            ],
            dim=1,
        )
        by_cell = around.flatten(2).permute(2, 0, 1)
        weight = self.gain * self.weight
        out = torch.baddbmm(self.bias.to(by_cell.dtype), by_cell, weight.to(by_cell.dtype))
        return out.permute(1, 2, 0).reshape(len(cells), -1, nx, ny, nz)


def _neighbours() -> Tensor:
    """Number the weights between each pair of cells, (150 from, 150 to); 150 * 27 means none."""
    numbers = torch.full((CODE_SIZE, CODE_SIZE), 27 * CODE_SIZE)
    places = torch.cartesian_prod(*[torch.arange(n) for n in CELLS])
    steps = places[:, None] - places[None, :] + 1  # of 'from' as seen from 'to': 0, 1, 2
    near = ((steps >= 0) & (steps <= 2)).all(2)
    which = (steps * torch.tensor([9, 3, 1])).sum(2)
    to = torch.arange(CODE_SIZE).expand(CODE_SIZE, -1)
    numbers[near] = (27 * to + which)[near]
    return numbers


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm3d(outputs),
        nn.LeakyReLU(0.1, inplace=True),
    )


def _up(inputs: int, outputs: int) -> nn.Sequential:
    # 2 x 2 x 2 and not 4 x 4 x 4: on a CPU the latter took half of all training time.
    return nn.Sequential(
        nn.ConvTranspose3d(inputs, outputs, 2, stride=2, bias=False),
        nn.BatchNorm3d(outputs),
        nn.LeakyReLU(0.1, inplace=True),
    )


def build_network(settings: ModelSettings, grid: Grid) -> Autoencoder:
    """Build the untrained network of these settings for this grid, weights drawn from its seed."""
    architecture = PaperCAE if settings.architecture == "paper" else BraincaseCAE
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network: Autoencoder = architecture(grid, settings.channels)
    if settings.local:
        network.search_code = SearchCode()
    for parameter in network.parameters():
        if parameter.dim() == 5:  # convolution kernels, so that no call reorders them
            parameter.data = _channels_last(parameter.data)
    return network


def _channels_last(kernel: Tensor) -> Tensor:
    """Lay out a kernel channels last, also by its strides.

    ``contiguous(memory_format=...)`` leaves a kernel with one input channel alone, whose output is
    then laid out otherwise than the gradients that come back: three times the cost.
    """
    return torch.empty_like(kernel, memory_format=torch.channels_last_3d).copy_(kernel)


def to_unit(batch: Tensor) -> Tensor:
    """Turn uint8 volumes (b, *shape) into float32 (b, 1, *shape) in [0, 1], channels last."""
    return (batch[:, None].float() / 255).contiguous(memory_format=torch.channels_last_3d)

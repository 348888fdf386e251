"""Layers: residual sums, pooled and up-sampled convolutions, cell-wise linear maps, strided stages.

Tensors are (b, channels, x, y, z); at the size of the code x, y, z are the 5 x 6 x 5 cells.
"""

from __future__ import annotations

from itertools import pairwise, product
from math import log2, prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from braincase.images.geometry import CELL_MM, CELLS, Grid
from braincase.models.numpy_network import CODE_GAIN, LEAK

CODE_SIZE = prod(CELLS)
#: Spread of the stored weights of `CellwiseLinear` before training.
FIRST_WEIGHTS = 0.05
#: The eight fine voxels of a coarse one.
PLACES = tuple(product(range(2), repeat=3))
#: `CellwiseLinear` is one matrix up to this many pairs of channels: beyond, its zeros cost more.
MATRIX_CHANNELS = 128


def halvings(grid: Grid) -> int:
    """Return how often `grid` is halved until a voxel is one code cell: 4 at 2 mm, 3 at 4 mm."""
    return round(log2(CELL_MM / grid.resolution_mm))


def strided_encoder(grid: Grid, channels: int) -> nn.Sequential:
    """Return strided convolutions and a cell-wise read-out: volumes become (b, 1, 5, 6, 5)."""
    widths = _widths(grid, channels)
    return nn.Sequential(
        *[_down(i, o) for i, o in zip([1, *widths], widths, strict=False)],
        CellwiseLinear(widths[-1], 1, CODE_GAIN),
    )


def strided_decoder(grid: Grid, channels: int) -> nn.Sequential:
    """Return the mirror image of `strided_encoder`, with transposed convolutions."""
    narrowing = _widths(grid, channels)[::-1]
    return nn.Sequential(
        CellwiseLinear(1, narrowing[0], 1 / CODE_GAIN),
        nn.BatchNorm3d(narrowing[0]),
        nn.LeakyReLU(LEAK),
        *[_up(i, o) for i, o in pairwise(narrowing)],
        nn.ConvTranspose3d(channels, 1, 2, stride=2),
    )


def _widths(grid: Grid, channels: int) -> list[int]:
    return [channels * 2**i for i in range(halvings(grid))]


class ResidualSum(nn.Module):
    """ReLU(x + convolution(x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, channels, x, y, z)."""
        return F.relu(x + self.convolution(x))


def relu_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Return a convolution of 3 x 3 x 3 and ReLU."""
    return nn.Sequential(nn.Conv3d(inputs, outputs, 3, padding=1), nn.ReLU())


class PooledConvolution(nn.Module):
    """Average pooling (2 x 2 x 2) of ReLU(3 x 3 x 3 convolution) of volumes with one channel.

    The eight voxels that are pooled lie in one block of 4 x 4 x 4 voxels; so a scan is one product
    of its blocks with the kernels at their eight places, and the mean is another. Measured: a fifth
    of the time of the three layers one after the other, whose tensors are 27 times the scan.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, outputs, 3, padding=1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Turn (b, 1, 2x, 2y, 2z) into (b, outputs, x, y, z)."""
        kernel, bias = self.convolution.parameters()
        outputs = len(kernel)
        placed = [F.pad(kernel, (k, 1 - k, j, 1 - j, i, 1 - i)) for i, j, k in PLACES]
        matrix, biases = torch.cat(placed).reshape(-1, 4**3), bias.repeat(len(PLACES))
        mean = torch.eye(outputs, device=kernel.device).repeat(1, len(PLACES)) / len(PLACES)
        blocks = F.pad(volumes[:, 0], (1,) * 6)
        for axis in (1, 2, 3):
            blocks = blocks.unfold(axis, 4, 2)
        pooled = [
            F.linear(F.linear(scan.reshape(-1, 4**3), matrix, biases).relu_(), mean)
            for scan in blocks  # one at a time: what is between stays in the processor's cache
        ]
        return torch.stack(pooled).view(*blocks.shape[:4], outputs).permute(0, 4, 1, 2, 3)


class UpsampledConvolution(nn.Module):
    """3 x 3 x 3 convolution to one channel after 2x trilinear up-sampling, at the coarse size.

    Both are linear, so each of the eight voxels that come of one coarse voxel is a convolution of
    the coarse ones (sub-pixel convolution, Shi 2016). Beyond the edge the edge is repeated.
    Measured: a fifth of the time of the two layers.
    """

    interpolation: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(inputs, 1, 3, padding=1, padding_mode="replicate")
        self.register_buffer("interpolation", _linear_interpolation(), persistent=False)

    def forward(self, coarse: Tensor) -> Tensor:
        """Turn (b, inputs, x, y, z) into (b, 1, 2x, 2y, 2z)."""
        kernel, bias = self.convolution.parameters()
        along = self.interpolation
        kernels = torch.einsum("aux,bvy,cwz,nxyz->abcnuvw", along, along, along, kernel[0])
        kernels = kernels.flatten(0, 2).contiguous(memory_format=torch.channels_last_3d)
        padded = F.pad(coarse, (1,) * 6, mode="replicate")
        fine = F.conv3d(padded, kernels, bias.repeat(len(PLACES)))
        by_axis = fine.view(-1, 2, 2, 2, *coarse.shape[2:]).permute(0, 4, 1, 5, 2, 6, 3)
        return by_axis.reshape(len(coarse), 1, *[2 * n for n in coarse.shape[2:]])


def _linear_interpolation() -> Tensor:
    """Weigh coarse voxels i-1, i, i+1 for fine voxels 2i + place + tap - 1: (place, coarse, tap).

    Voxel centres keep their place in space (align_corners=False): quarters and three quarters.
    """
    fine = torch.arange(2)[:, None, None] + torch.arange(-1, 2)
    coarse = torch.arange(-1, 2)[:, None]
    return (1 - (fine / 2 - 0.25 - coarse).abs()).clamp(min=0)


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
        nn.LeakyReLU(LEAK, inplace=True),
    )


def _up(inputs: int, outputs: int) -> nn.Sequential:
    # 2 x 2 x 2 and not 4 x 4 x 4: on a CPU the latter took half of all training time.
    return nn.Sequential(
        nn.ConvTranspose3d(inputs, outputs, 2, stride=2, bias=False),
        nn.BatchNorm3d(outputs),
        nn.LeakyReLU(LEAK, inplace=True),
    )

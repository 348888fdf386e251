"""The convolutional autoencoders (CAE); their code is a 5 x 6 x 5 map of MNI space.

``encode`` takes volumes (b, 1, *grid.shape) in [0, 1] and gives codes (b, 150): one number for each
32 mm cell, C order. ``decode`` takes the codes and gives volumes.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from braincase.images.geometry import CELLS, Grid
from braincase.models.layers import (
    CODE_SIZE,
    CellwiseLinear,
    PooledConvolution,
    ResidualSum,
    UpsampledConvolution,
    halvings,
    relu_conv,
    strided_decoder,
    strided_encoder,
)
from braincase.models.numpy_network import DIFFERENCE_GAIN
from braincase.models.principal import PrincipalAxes
from braincase.models.search_code import SearchCode
from braincase.models.settings import ModelSettings

#: The least intensity that a sigmoid is asked to draw: half a grey level of 255.
BLACK = 0.5 / 255
#: Voxels along the edge of a patch of the linear basis: a 32 mm cell at 4 mm.
PATCH = 8


class Autoencoder(nn.Module, metaclass=ABCMeta):
    """A convolutional autoencoder (CAE): the interface that all networks implement.

    `search_code` makes its code a longer one to search with; None where the code is searched as it
    is. `mean` is the mean brain of the training scans, shape (1, 1, *shape) in [0, 1]; None where
    the network is not about it.
    """

    search_code: SearchCode | None
    mean: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.search_code = None
        self.register_buffer("mean", None)

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


class PaperCAE(Autoencoder):
    """The 3D convolutional autoencoder of Onga et al. 2019, as we read the paper.

    Stated in the paper: kernels of 3 x 3 x 3 with padding 1, ReLU, 2 x 2 x 2 average pooling,
    linear up-sampling, a code of 150 numbers. Our reading of what it leaves open, after the group's
    later work (DI-PSS, arXiv 2108.06518): four stages of 27 kernels, each ended by a pooling;
    residual sums in the last two; a last convolution to one channel and no dense layer. The decoder
    is the mirror image with a sigmoid at the end. On the 4 mm grid one plain stage is left out, so
    the code is the same 5 x 6 x 5.

    With `about_mean` the same layers see the difference from the mean brain, and the decoder draws
    beside it: within the epochs that two cores can do, nothing else is learned but the mean brain.

    `deep` is the other reading, which the group's later public code suggests: eight convolutions a
    side (two a stage; six on the 4 mm grid) and a ReLU on the code. Its weights are drawn after He
    et al. (2015): by PyTorch's default two people's codes differ by 1e-3 at the start, and under
    the metric loss they then collapse into one.

    References
    ----------
    Onga, Fujiyama, Arai, Chayama, Iyatomi, Oishi (2019). Efficient feature embedding of 3D brain
    MRI images for content-based image retrieval with deep metric learning. Long form: arXiv
    1912.01824. He, Zhang, Ren, Sun (2015). Delving deep into rectifiers.
    """

    def __init__(
        self, grid: Grid, channels: int, about_mean: bool = False, deep: bool = False
    ) -> None:
        super().__init__()
        plain = halvings(grid) - 3
        self.encoder = (_deep_encoder if deep else _shallow_encoder)(channels, plain)
        self.decoder = (_deep_decoder if deep else _shallow_decoder)(channels, plain)
        if deep:
            self.apply(_draw_for_relu)
        if about_mean:
            self.register_buffer("mean", torch.zeros(1, 1, *grid.shape))
            _draw_nothing(self.decoder[-1])

    def encode(self, volumes: Tensor) -> Tensor:
        """Turn volumes (b, 1, *shape) into codes (b, 150)."""
        seen = volumes if self.mean is None else DIFFERENCE_GAIN * (volumes - self.mean)
        return torch.flatten(self.encoder(seen), 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Turn codes (b, 150) into volumes (b, 1, *shape) in (0, 1)."""
        drawn: Tensor = self.decoder(codes.view(-1, 1, *CELLS))
        beside = 0 if self.mean is None else torch.logit(self.mean, BLACK)
        return torch.sigmoid(drawn + beside)


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
        self.register_buffer("mean", torch.zeros(1, 1, *grid.shape))
        self.encoder = strided_encoder(grid, channels)
        self.decoder = strided_decoder(grid, channels)
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


class PrincipalCAE(Autoencoder):
    """A strided 3D-CAE around principal component analysis (PCA) of the training volumes.

    The code is the sum of where a scan lies along the axes, mixed by a learned matrix, and of what
    the convolutions of `BraincaseCAE` add. The decoder adds up likewise: the mean brain, the axes
    times the code, mixed again, and what convolutions draw. Before any training it rebuilds what
    150 principal components do. See docs/decisions/0072-principal-axes.md.
    """

    mean: Tensor

    def __init__(self, grid: Grid, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 1, *grid.shape))
        self.encoder = strided_encoder(grid, channels)
        self.decoder = strided_decoder(grid, channels)
        _draw_nothing(self.decoder[-1])  # the axes alone rebuild
        self.axes = PrincipalAxes(grid)
        self.mix = nn.Parameter(torch.eye(CODE_SIZE))
        self.unmix = nn.Parameter(torch.eye(CODE_SIZE))

    def fit_axes(self, batches: Iterable[Tensor]) -> None:
        """Take the axes from training volumes (b, 1, *shape) in [0, 1]; `mean` is set before."""
        self.axes.fit((DIFFERENCE_GAIN * (batch - self.mean) for batch in batches), self.mean)

    def encode(self, volumes: Tensor) -> Tensor:
        """Turn volumes (b, 1, *shape) into codes (b, 150)."""
        differences = DIFFERENCE_GAIN * (volumes - self.mean)
        convolved = torch.flatten(self.encoder(differences), 1)
        return self.axes.encode(differences) @ self.mix + convolved

    def decode(self, codes: Tensor) -> Tensor:
        """Turn codes (b, 150) into volumes (b, 1, *shape)."""
        drawn: Tensor = self.decoder(codes.view(-1, 1, *CELLS))
        difference = drawn + self.axes.decode(codes @ self.unmix)
        return self.mean + difference / DIFFERENCE_GAIN


def build_network(settings: ModelSettings, grid: Grid) -> Autoencoder:
    """Build the untrained network of these settings for this grid, weights drawn from its seed."""
    build: Mapping[str, Callable[[Grid, int], Autoencoder]] = {
        "paper": PaperCAE,
        "paper-mean": partial(PaperCAE, about_mean=True),
        "paper-deep": partial(PaperCAE, about_mean=True, deep=True),
        "braincase": BraincaseCAE,
        "principal": PrincipalCAE,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network: Autoencoder = build[settings.architecture](grid, settings.channels)
    if settings.local:
        network.search_code = SearchCode()
    for parameter in network.parameters():
        if parameter.dim() == 5:  # convolution kernels, so that no call reorders them
            parameter.data = _channels_last(parameter.data)
    return network


def _shallow_encoder(channels: int, plain: int) -> nn.Sequential:
    """Return stages of one convolution each, `plain` ones between the first and the residual."""
    between = [relu_conv(channels, channels) for _ in range(plain)]
    residual = [ResidualSum(channels), ResidualSum(channels)]
    return nn.Sequential(
        PooledConvolution(channels),
        *[nn.Sequential(stage, nn.AvgPool3d(2)) for stage in [*between, *residual]],
        nn.Conv3d(channels, 1, 3, padding=1),
    )


def _shallow_decoder(channels: int, plain: int) -> nn.Sequential:
    between = [relu_conv(channels, channels) for _ in range(plain)]
    residual = [ResidualSum(channels), ResidualSum(channels)]
    return nn.Sequential(
        relu_conv(1, channels),
        *[nn.Sequential(_doubled(), stage) for stage in [*residual, *between]],
        UpsampledConvolution(channels),
    )


def _deep_encoder(channels: int, plain: int) -> nn.Sequential:
    """Return stages of two convolutions each, but for the last, and a ReLU on the code."""
    pairs = [(relu_conv(1, channels), relu_conv(channels, channels))]
    pairs += [(relu_conv(channels, channels), relu_conv(channels, channels)) for _ in range(plain)]
    return nn.Sequential(
        *[nn.Sequential(*pair, nn.AvgPool3d(2)) for pair in pairs],
        nn.Sequential(relu_conv(channels, channels), ResidualSum(channels), nn.AvgPool3d(2)),
        nn.Sequential(ResidualSum(channels), nn.AvgPool3d(2)),
        relu_conv(channels, 1),
    )


def _deep_decoder(channels: int, plain: int) -> nn.Sequential:
    pairs = [(relu_conv(channels, channels), relu_conv(channels, channels)) for _ in range(plain)]
    return nn.Sequential(
        relu_conv(1, channels),
        nn.Sequential(_doubled(), ResidualSum(channels)),
        nn.Sequential(_doubled(), ResidualSum(channels), relu_conv(channels, channels)),
        *[nn.Sequential(_doubled(), *pair) for pair in pairs],
        nn.Sequential(_doubled(), relu_conv(channels, channels)),
        nn.Conv3d(channels, 1, 3, padding=1),
    )


def _doubled() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="trilinear")


def _draw_for_relu(layer: nn.Module) -> None:
    """Draw a convolution's weights so that ReLUs keep the size of what goes through (He 2015)."""
    if isinstance(layer, nn.Conv3d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)


def _draw_nothing(layer: nn.Module) -> None:
    """Let the last layer of a decoder begin at zero, where the network is what it draws beside."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _channels_last(kernel: Tensor) -> Tensor:
    """Lay out a kernel channels last, also by its strides.

    ``contiguous(memory_format=...)`` leaves a kernel with one input channel alone, whose output is
    then laid out otherwise than the gradients that come back: three times the cost.
    """
    return torch.empty_like(kernel, memory_format=torch.channels_last_3d).copy_(kernel)


def to_unit(batch: Tensor) -> Tensor:
    """Turn uint8 volumes (b, *shape) into float32 (b, 1, *shape) in [0, 1], channels last."""
    return (batch[:, None].float() / 255).contiguous(memory_format=torch.channels_last_3d)

"""Data sets by name. Each is a function of the data root, `train` or `test`, and whether it may download.

Listing them needs no torch; reading one does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from arch.errors import InputError
from arch.registry import Definitions
from search.recipes.parts import Part

if TYPE_CHECKING:
    from search.data.cache import Pixels


DATASETS = Definitions("data set", Part, "datasets")


@DATASETS.register
def digits(root: Path, part: str, download: bool) -> Pixels:
    """scikit-learn's 1,797 handwritten digits at 32x32x3, 80/20 stratified: embedded, nothing to fetch."""
    return _embedded_digits(part, noise=0.0)


@DATASETS.register
def digits_noisy(root: Path, part: str, download: bool) -> Pixels:
    """The digits with fixed Gaussian noise, sigma 1.5 on pixels in [-1, 1]: hard enough to tell splits apart."""
    return _embedded_digits(part, noise=1.5)


def _embedded_digits(part: str, noise: float) -> Pixels:
    import torch
    import torch.nn.functional as F
    from sklearn.datasets import load_digits

    from search.data.batches import stratified
    from search.data.cache import Pixels

    raw = load_digits()
    labels = torch.from_numpy(raw.target).long()
    images = torch.from_numpy(raw.images).float().unsqueeze(1) / 16
    images = F.interpolate(images, (32, 32), mode="bilinear").expand(-1, 3, -1, -1)
    if noise:
        # One uint8 step is 1/21 here: the range of four deviations of noise around [-1, 1] is kept.
        drawn = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        images = (images * 2 - 1 + noise * drawn + 6) / 12
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    is_test[stratified(labels, 0.2, 0)] = True
    chosen = is_test if part == "test" else ~is_test
    return Pixels.of(pixels[chosen].contiguous(), labels[chosen], tuple(str(digit) for digit in range(10)))


def _from_torchvision(kind: str, root: Path, part: str, download: bool) -> Pixels:
    import torch
    from torchvision import datasets

    from search.data.cache import Pixels

    try:
        source = getattr(datasets, kind)(root, train=part == "train", download=download)
    except RuntimeError:
        raise InputError(
            f"{kind} is not under {root}; put its original files there, or ask for it with --download."
        ) from None
    pixels = torch.as_tensor(source.data)
    pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return Pixels.of(pixels.contiguous(), torch.as_tensor(source.targets).long(), tuple(source.classes))


@DATASETS.register
def cifar10(root: Path, part: str, download: bool) -> Pixels:
    """CIFAR-10: 60,000 photographs of 10 kinds at 32x32 (torchvision's files, or a class-folder tree)."""
    return _from_torchvision("CIFAR10", root, part, download)


@DATASETS.register
def cifar100(root: Path, part: str, download: bool) -> Pixels:
    """CIFAR-100: 60,000 photographs of 100 kinds at 32x32 (torchvision's files)."""
    return _from_torchvision("CIFAR100", root, part, download)


@DATASETS.register
def fashion_mnist(root: Path, part: str, download: bool) -> Pixels:
    """Fashion-MNIST: 70,000 grey pictures of 10 kinds of clothing at 28x28 (torchvision's files)."""
    return _from_torchvision("FashionMNIST", root, part, download)

"""Random changes to a batch of training images, as torch operations on uint8."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def moved(images: Tensor, shift: int, flip: bool) -> Tensor:
    """Shift, then perhaps mirror."""
    images = random_shift(images, shift)
    return random_flip(images) if flip else images


def random_shift(images: Tensor, pixels: int) -> Tensor:
    """Shift each image by up to `pixels` in both directions over a black border.

    images: (batch, channels, height, width).
    """
    if not pixels:
        return images
    batch, _, height, width = images.shape
    padded = F.pad(images, (pixels,) * 4)
    device = images.device
    dy, dx = torch.randint(0, 2 * pixels + 1, (2, batch, 1), device=device)
    rows, columns = dy + torch.arange(height, device=device), dx + torch.arange(width, device=device)
    image = torch.arange(batch, device=device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def random_flip(images: Tensor) -> Tensor:
    """Mirror each image left to right with probability 1/2. images: (batch, channels, height, width)."""
    flip = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(flip, images.flip(3), images)


def mixed(images: Tensor, labels: Tensor, classes: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Mixup (arXiv 1710.09412): each image blended with another of the batch, its share drawn from Beta(alpha, alpha).

    Returns uint8 images, as a camera could give them, and labels as float32 (batch, classes), blended in the same
    shares.
    """
    concentration = torch.tensor(alpha, device=images.device)
    share = torch.distributions.Beta(concentration, concentration).sample((len(images),))
    other = torch.randperm(len(images), device=images.device)
    weight = share[:, None, None, None]
    blended = torch.round(weight * images + (1 - weight) * images[other]).to(torch.uint8)
    sure = F.one_hot(labels, classes).float()
    return blended, share[:, None] * sure + (1 - share[:, None]) * sure[other]

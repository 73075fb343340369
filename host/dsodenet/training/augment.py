"""Random changes to a batch of training images, as torch operations on uint8."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dsodenet.training.options import Options


def moved(images: Tensor, options: Options) -> Tensor:
    """Turned and scaled, lit otherwise, shifted, perhaps mirrored, each as far as the options say."""
    images = random_light(random_turn(images, options.turn, options.zoom), options.light)
    images = random_shift(images, options.shift)
    return random_flip(images) if options.flip else images


def random_turn(images: Tensor, degrees: float, zoom: float) -> Tensor:
    """Turn each image by up to `degrees` and scale it by up to 1 +- `zoom`, its border repeated outwards.

    images: uint8 (batch, channels, height, width).
    """
    if not degrees and not zoom:
        return images
    angle, scale = (2 * torch.rand(2, len(images), device=images.device) - 1).unbind()
    angle, scale = angle * math.radians(degrees), 1 + scale * zoom
    aspect = images.shape[2] / images.shape[3]  # grids reach from -1 to 1 on both sides, whatever their lengths
    rows = (
        torch.stack([scale * angle.cos(), -scale * angle.sin() * aspect, torch.zeros_like(angle)], 1),
        torch.stack([scale * angle.sin() / aspect, scale * angle.cos(), torch.zeros_like(angle)], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    turned = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return turned.round().clamp(0, 255).to(torch.uint8)


def random_light(images: Tensor, share: float) -> Tensor:
    """Scale each image's contrast about its mean, and its brightness, each by up to 1 +- `share`."""
    if not share:
        return images
    contrast, brightness = 1 + share * (2 * torch.rand(2, len(images), 1, 1, 1, device=images.device) - 1)
    x = images.float()
    mean = x.mean((1, 2, 3), keepdim=True)
    return ((x - mean) * contrast + mean).mul(brightness).round().clamp(0, 255).to(torch.uint8)


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

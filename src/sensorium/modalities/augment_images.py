"""Augmentation of pictures: crops, flips and colours, by one draw a picture.

Every draw is of the `torch.Generator` that is given, one of the CPU, so that a seeded run repeats itself on any device.
Pictures are 0 to 255 in bytes or 0 to 1 in floats, and come out as what they were; normalise afterwards.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from sensorium.errors import InputError

Pictures = UInt8[Tensor, "batch channels height width"] | Float[Tensor, "batch channels height width"]
_LUMA = (0.299, 0.587, 0.114)
_ATTEMPTS = 10


def random_resized_crop(
    images: Pictures,
    size: tuple[int, int],
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    generator: torch.Generator,
) -> UInt8[Tensor, "batch channels new_height new_width"] | Float[Tensor, "batch channels new_height new_width"]:
    """A part of each picture, brought to one size (Szegedy et al. 2015).

    Args:
        images: pictures.
        size: height and width of what comes out.
        scale: the part's area, as a share of the picture's.
        ratio: its width over its height; drawn evenly on a logarithmic scale.
        generator: draws.

    Raises:
        InputError: a range is empty, or not above 0.
    """
    if not (0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1] and min(size) > 0):
        raise InputError(f"size {size}, scale {scale} or ratio {ratio} is out of range")
    parts = []
    for image in images:
        top, left, height, width = _part(image.shape[-2], image.shape[-1], scale, ratio, generator)
        part = image[None, :, top : top + height, left : left + width]
        part = part.float() if part.dtype == torch.uint8 else part
        part = F.interpolate(part, size, mode="bilinear", antialias=True, align_corners=False)
        parts.append(part.round_().to(torch.uint8) if images.dtype == torch.uint8 else part)
    return torch.cat(parts) if parts else images.new_empty(0, images.shape[1], *size)


def _part(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], generator: torch.Generator
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a part that fits; the whole picture, if none of ten does."""
    for _ in range(_ATTEMPTS):
        area, shape, down, right = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        area = height * width * (scale[0] + area * (scale[1] - scale[0]))
        shape = math.exp(math.log(ratio[0]) + shape * math.log(ratio[1] / ratio[0]))
        tall, wide = max(1, round(math.sqrt(area / shape))), max(1, round(math.sqrt(area * shape)))
        if tall <= height and wide <= width:
            return int(down * (height - tall + 1)), int(right * (width - wide + 1)), tall, wide
    return 0, 0, height, width


def horizontal_flip(images: Pictures, *, p: float = 0.5, generator: torch.Generator) -> Pictures:
    """Each picture mirrored left to right with probability `p`."""
    flipped = torch.rand(len(images), generator=generator) < p
    return torch.where(flipped.to(images.device).view(-1, 1, 1, 1), images.flip(-1), images)


def colour_jitter(
    images: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"],
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    generator: torch.Generator,
) -> UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"]:
    """Brightness, then contrast, then saturation of each picture changed at random (Howard 2013).

    Args:
        images: RGB.
        brightness, contrast, saturation: each factor is drawn from 1 - this to 1 + this.
        generator: draws.

    Raises:
        InputError: a strength is below 0.
    """
    strengths = torch.tensor([brightness, contrast, saturation])
    if strengths.min() < 0:
        raise InputError(f"strengths {strengths.tolist()} must not be below 0")
    draws = torch.rand(3, len(images), 1, 1, 1, generator=generator) * 2 - 1
    factors = (1 + draws * strengths.view(3, 1, 1, 1, 1)).clamp_(min=0).to(images.device)
    pixels = images.float() / 255 if images.dtype == torch.uint8 else images.clone()
    bright, contrasted, saturated = factors.to(pixels.dtype)
    pixels = pixels.mul_(bright).clamp_(0, 1)
    mean = _grey(pixels).mean((1, 2, 3), keepdim=True)
    pixels = torch.lerp(mean.expand_as(pixels), pixels, contrasted).clamp_(0, 1)
    pixels = torch.lerp(_grey(pixels).expand_as(pixels), pixels, saturated).clamp_(0, 1)
    return pixels.mul_(255).round_().to(torch.uint8) if images.dtype == torch.uint8 else pixels


def _grey(pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 height width"]:
    weights = torch.tensor(_LUMA, dtype=pixels.dtype, device=pixels.device).view(1, 3, 1, 1)
    return (pixels * weights).sum(1, keepdim=True)

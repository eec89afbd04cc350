"""Random changes of a training batch, as tensor operations on the training device: what a face may look like too."""

import numpy as np
import torch
from torch.nn import functional as F

from fer_hub.recipes import TrainConfig

ERASED_AREA = (0.02, 0.25)  # share of the picture, and
ERASED_ASPECT = (0.3, 1 / 0.3)  # height / width: Zhong et al. 2020, "Random Erasing Data Augmentation"


def mixes(config: TrainConfig) -> bool:
    """Whether images are blended in pairs, so that labels must be distributions over the classes."""
    return bool(config.mixup or config.cutmix)


def change(
    images: torch.Tensor, targets: torch.Tensor, config: TrainConfig, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a training step sees instead of its images: `augment`, then `mix`, as far as the recipe has them."""
    if any((config.hflip, config.rotation, config.scale, config.translate, config.crop_size, config.brightness,
            config.contrast, config.erasing)):  # fmt: skip
        images = augment(images, config, generator)
    return mix(images, targets, config, generator) if mixes(config) else (images, targets)


def augment(images: torch.Tensor, config: TrainConfig, generator: np.random.Generator) -> torch.Tensor:
    """Flips, turns, scales, shifts, crops, lightens and erases each image in its own way.

    Args:
        images: uint8 (B, S, S), 0-255.
        config: `hflip` and `erasing` are probabilities; `rotation` in degrees, `scale` and `translate` as shares (of
            the size and of the side), `brightness` (of 255) and `contrast` (of the distances to the image's mean) are
            the largest changes in either direction, drawn uniformly; what moves in from outside is black. `crop_size`
            is the side of the piece that is left, at a random place.
        generator: the same one gives the same images on every device, up to rounding.

    Returns:
        uint8 (B, S, S), or (B, crop_size, crop_size); `images` itself is not changed. A flip alone moves pixels and
        changes none of them; every other movement interpolates between pixels (bilinear).
    """
    count, _, side = images.shape
    out = config.crop_size or side
    pixels = images.unsqueeze(1).float()
    if config.hflip or config.rotation or config.scale or config.translate or config.crop_size:
        matrices = _affine_matrices(count, out / side, config, generator)
        grid = F.affine_grid(torch.from_numpy(matrices).to(images.device), [count, 1, out, out], align_corners=False)
        pixels = F.grid_sample(pixels, grid, align_corners=False)
    if config.brightness or config.contrast:
        factors = _column(generator.uniform(1 - config.contrast, 1 + config.contrast, count), pixels)
        shifts = _column(generator.uniform(-config.brightness, config.brightness, count) * 255, pixels)
        means = pixels.mean((1, 2, 3), keepdim=True)
        pixels = (pixels - means) * factors + (means + shifts)
    if config.erasing:
        # All is drawn for each image, so that who is erased does not change what the next images get.
        gray = _column(generator.uniform(0, 255, count), pixels)
        area = generator.uniform(*ERASED_AREA, count) * (generator.random(count) < config.erasing)
        aspect = np.exp(generator.uniform(*np.log(ERASED_ASPECT), count))
        tall, wide = np.rint(np.sqrt(area * aspect) * out), np.rint(np.sqrt(area / aspect) * out)
        erased = _rectangles(tall, wide, out, generator).unsqueeze(1)
        pixels = torch.where(erased.to(pixels.device), gray, pixels)
    return pixels.round_().clamp_(0, 255).to(torch.uint8).squeeze(1)


def mix(
    images: torch.Tensor, targets: torch.Tensor, config: TrainConfig, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blends each image with another of the batch (mixup, Zhang et al. 2018) or pastes a piece of it (CutMix, Yun et
    al. 2019); where the recipe has both, a coin decides for the batch.

    Args:
        images: uint8 (B, S, S), 0-255.
        targets: float (B, C), distributions over the classes, or several of them side by side.
        config: `mixup` and `cutmix` are the parameters of the symmetric beta distribution that shares are drawn from.
        generator: as for `augment`.

    Returns:
        Images and targets, shaped and typed as they came. Each image keeps the larger share of its own target; with
        CutMix this is its share of the pixels.
    """
    count, _, side = images.shape
    partner = torch.from_numpy(generator.permutation(count)).to(images.device)
    blend = config.mixup and (not config.cutmix or generator.random() < 0.5)
    alpha = config.mixup if blend else config.cutmix
    share = generator.beta(alpha, alpha, count)
    share = np.maximum(share, 1 - share)
    if blend:
        blended = torch.lerp(images[partner].float(), images.float(), _column(share, images).squeeze(1))
        images = blended.round_().to(torch.uint8)
    else:
        edge = np.floor(np.sqrt(1 - share) * side)  # rounded down, so that the piece is never the larger part
        pasted = _rectangles(edge, edge, side, generator).to(images.device)
        images = torch.where(pasted, images[partner], images)
        share = 1 - (edge / side) ** 2
    own = torch.from_numpy(share).to(targets).unsqueeze(1)
    return images, torch.lerp(targets[partner], targets, own)


def _affine_matrices(count: int, piece: float, config: TrainConfig, generator: np.random.Generator) -> np.ndarray:
    """float32 (count, 2, 3): from places in the result to places in the image, both -1..1 as `grid_sample` has them.

    `piece` is the side of the result as a share of the image's.
    """
    angle = np.deg2rad(generator.uniform(-config.rotation, config.rotation, count))
    zoom = piece / generator.uniform(1 - config.scale, 1 + config.scale, count)
    mirror = np.where(generator.random(count) < config.hflip, -1.0, 1.0)
    shifts = generator.uniform(-1, 1, (2, count)) * 2 * config.translate
    places = generator.uniform(-1, 1, (2, count)) * (1 - piece)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    matrices = np.empty((count, 2, 3), np.float32)
    matrices[:, 0] = np.stack([mirror * cos, mirror * -sin, shifts[0] + places[0]], 1)
    matrices[:, 1] = np.stack([sin, cos, shifts[1] + places[1]], 1)
    return matrices


def _rectangles(tall: np.ndarray, wide: np.ndarray, side: int, generator: np.random.Generator) -> torch.Tensor:
    """One rectangle of `tall` x `wide` pixels (whole numbers) at a random place in each image: bool (B, S, S)."""
    top = np.floor(generator.random(len(tall)) * (side - tall + 1))
    left = np.floor(generator.random(len(wide)) * (side - wide + 1))
    at = np.arange(side)
    inside_y = (at >= top[:, None]) & (at < (top + tall)[:, None])
    inside_x = (at >= left[:, None]) & (at < (left + wide)[:, None])
    return torch.from_numpy(inside_y[:, :, None] & inside_x[:, None, :])


def _column(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """float32 (B, 1, 1, 1), on the same device."""
    return torch.from_numpy(values).to(like.device, torch.float32).view(-1, 1, 1, 1)

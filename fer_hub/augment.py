"""Random changes of a training batch, as tensor operations on the training device: what a face may look like too."""

import numpy as np
import torch
from torch.nn import functional as F

from fer_hub.recipes import TrainConfig

ERASED_AREA = (0.02, 0.25)  # share of the picture, and
ERASED_ASPECT = (0.3, 1 / 0.3)  # height / width: Zhong et al. 2020, "Random Erasing Data Augmentation"


def changes_images(config: TrainConfig) -> bool:
    """Whether the recipe augments at all."""
    return changes_single_images(config) or mixes(config)


def changes_single_images(config: TrainConfig) -> bool:
    """Whether there is anything that `augment` does."""
    return any((config.hflip, config.rotation, config.scale, config.translate, config.crop_size,
                config.brightness, config.contrast, config.erasing))  # fmt: skip


def mixes(config: TrainConfig) -> bool:
    """Whether images are blended in pairs, so that labels must be distributions over the classes."""
    return bool(config.mixup or config.cutmix)


def augment(images: torch.Tensor, config: TrainConfig, generator: np.random.Generator) -> torch.Tensor:
    """Flips, turns, scales, shifts, crops, lightens and erases each image in its own way.

    Args:
        images: uint8 (B, H, W), 0-255.
        config: `hflip` and `erasing` are probabilities; `rotation` in degrees, `scale` and `translate` as shares (of
            the size and of the side), `brightness` (of 255) and `contrast` (of the distances to the image's mean) are
            the largest changes in either direction, drawn uniformly; what moves in from outside is black. `crop_size`
            is the side of the piece that is left, at a random place.
        generator: the same one gives the same images on every device, up to rounding.

    Returns:
        uint8 (B, H, W), or (B, crop_size, crop_size); `images` itself is not changed.
    """
    count, height, width = images.shape
    out = config.crop_size or height, config.crop_size or width
    pixels = images.unsqueeze(1).float()
    if config.hflip or config.rotation or config.scale or config.translate or config.crop_size:
        matrices = _affine_matrices(count, (height, width), out, config, generator)
        grid = F.affine_grid(torch.from_numpy(matrices).to(images.device), [count, 1, *out], align_corners=False)
        pixels = F.grid_sample(pixels, grid, align_corners=False)
    if config.brightness or config.contrast:
        factors = _column(generator.uniform(1 - config.contrast, 1 + config.contrast, count), pixels)
        shifts = _column(generator.uniform(-config.brightness, config.brightness, count) * 255, pixels)
        means = pixels.mean((1, 2, 3), keepdim=True)
        pixels = (pixels - means) * factors + (means + shifts)
    if config.erasing:
        # One draw for all keeps the draws of a batch independent of who is erased.
        gray = _column(generator.uniform(0, 255, count), pixels)
        area = generator.uniform(*ERASED_AREA, count) * (generator.random(count) < config.erasing)
        aspect = np.exp(generator.uniform(*np.log(ERASED_ASPECT), count))
        pixels = torch.where(_rectangles(area, aspect, out, generator).to(pixels.device), gray, pixels)
    return pixels.round_().clamp_(0, 255).to(torch.uint8).squeeze(1)


def mix(
    images: torch.Tensor, targets: torch.Tensor, config: TrainConfig, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blends each image with another of the batch (mixup, Zhang et al. 2018) or pastes a piece of it (CutMix, Yun et
    al. 2019); where the recipe has both, a coin decides for the batch.

    Args:
        images: uint8 (B, H, W), 0-255.
        targets: float (B, C), distributions over the classes.
        config: `mixup` and `cutmix` are the parameters of the symmetric beta distribution that shares are drawn from.
        generator: as for `augment`.

    Returns:
        Images and targets, shaped and typed as they came. Each image keeps the larger share of its own target.
    """
    count, height, width = images.shape
    partner = torch.from_numpy(generator.permutation(count)).to(images.device)
    blend = config.mixup and (not config.cutmix or generator.random() < 0.5)
    alpha = config.mixup if blend else config.cutmix
    share = generator.beta(alpha, alpha, count)
    share = np.maximum(share, 1 - share)
    if blend:
        own = torch.from_numpy(share).to(images.device, torch.float32)
        pixels = torch.lerp(images[partner].float(), images.float(), own.view(-1, 1, 1)).round_().to(torch.uint8)
    else:
        pasted = _rectangles(1 - share, np.ones(count), (height, width), generator).squeeze(1)
        own = 1 - pasted.float().mean((1, 2)).to(images.device)
        pixels = torch.where(pasted.to(images.device), images[partner], images)
    return pixels, torch.lerp(targets[partner], targets, own.unsqueeze(1))


def _affine_matrices(
    count: int, size: tuple[int, int], out: tuple[int, int], config: TrainConfig, generator: np.random.Generator
) -> np.ndarray:
    """float32 (count, 2, 3): from places in the result to places in the image, both -1..1 as `grid_sample` has them."""
    angle = np.deg2rad(generator.uniform(-config.rotation, config.rotation, count))
    zoom = 1 / generator.uniform(1 - config.scale, 1 + config.scale, count)
    mirror = np.where(generator.random(count) < config.hflip, -1.0, 1.0)
    shifts = generator.uniform(-1, 1, (2, count)) * 2 * config.translate
    piece = np.array([out[1] / size[1], out[0] / size[0]])
    places = generator.uniform(-1, 1, (2, count)) * (1 - piece)[:, None]
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    columns, rows = piece
    matrices = np.empty((count, 2, 3), np.float32)
    matrices[:, 0] = np.stack([mirror * cos * columns, mirror * -sin * rows, shifts[0] + places[0]], 1)
    matrices[:, 1] = np.stack([sin * columns, cos * rows, shifts[1] + places[1]], 1)
    return matrices


def _rectangles(
    area: np.ndarray, aspect: np.ndarray, size: tuple[int, int], generator: np.random.Generator
) -> torch.Tensor:
    """One rectangle for each image, bool (count, 1, H, W): a rectangle at a random place inside each image, of this share and height / width."""
    height, width = size
    tall = np.minimum(np.rint(np.sqrt(area * aspect) * height), height)
    wide = np.minimum(np.rint(np.sqrt(area / aspect) * width), width)
    top = np.floor(generator.random(len(area)) * (height - tall + 1))
    left = np.floor(generator.random(len(area)) * (width - wide + 1))
    y, x = np.arange(height), np.arange(width)
    inside_y = (y >= top[:, None]) & (y < (top + tall)[:, None])
    inside_x = (x >= left[:, None]) & (x < (left + wide)[:, None])
    return torch.from_numpy(inside_y[:, None, :, None] & inside_x[:, None, None, :])


def _column(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values).to(like.device, torch.float32).view(-1, 1, 1, 1)

"""Image corruptions at five severities: what cameras, compression, framing and covered faces do to 48x48 gray faces.

Every corruption is a function of `images`, uint8 (N, 48, 48), 0-255, on the CPU, of `severity`, 1 (mild) to 5 (hard: a
person can often still tell the expression), and of a `torch.Generator`; it returns new images of the same shape and
type. Images are corrupted one by one, in their order, and random numbers are drawn in that order: two halves of a split
that share a generator become what the whole split becomes. `corrupt` gives the generator its seed.

Noise, blur, JPEG and contrast are those of Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations". Their strengths hang on the size of the images: one set is for 32 px
(CIFAR-10-C), one for 64 px (Tiny ImageNet-C), one for 224 px (ImageNet-C). Ours for 48 px stand below, with what was
taken from them; accuracies are not comparable with theirs. The other strengths are our own judgement, in physical
units. All were checked by looking at faces; none was chosen for the accuracy of a model.
"""

import hashlib
import io
import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from fer_hub.images import SIZE

SEVERITIES = (1, 2, 3, 4, 5)
CHUNK = 512  # images at once; bounds memory (a float32 copy takes 5 MB, a sampling grid 9 MB)


def _by_severity(*strengths: float | tuple[int, int]) -> dict:
    return dict(zip(SEVERITIES, strengths, strict=True))


# Standard deviation, in units of the range from black to white; halfway between CIFAR-10-C's and Tiny ImageNet-C's. The
# same noise is plainer in gray: the luma of three independently noisy colours has 0.67 of it.
GAUSSIAN_SIGMA = _by_severity(0.04, 0.07, 0.1, 0.12, 0.14)
# Photons that a white pixel collects (mean of a Poisson distribution); halfway likewise.
SHOT_PHOTONS = _by_severity(375, 175, 75, 52.5, 32.5)
# Pixels that a point travels, straight and at constant speed, while the shutter is open. Hendrycks & Dietterich smear
# with half a Gaussian, which also moves the image; their standard deviations at 64 px are those of lines of 2 to 6 px.
MOTION_PIXELS = _by_severity(2, 3.5, 5, 6.5, 8)
# Radius of the disk that a point becomes, in pixels. The last one is halfway likewise. Their first, 0.3 and 0.5, blur
# nothing by themselves, so ours go in even steps.
DEFOCUS_RADIUS = _by_severity(0.75, 1.125, 1.5, 1.875, 2.25)
# libjpeg's quality, 1 to 100: from Tiny ImageNet-C's first to ImageNet-C's fourth. Gray suffers less than colour, whose
# detail JPEG halves besides.
JPEG_QUALITY = _by_severity(65, 50, 35, 20, 10)
# Stops, each half or twice the light. Five down, white becomes 49 of 255; two up, all from 137 on becomes white: little
# more than eyes, nostrils and mouth is left of pale faces.
LOW_LIGHT_STOPS = _by_severity(1, 2, 3, 4, 5)
OVER_EXPOSURE_STOPS = _by_severity(0.4, 0.8, 1.2, 1.6, 2)
# What is left of the distance from the image's mean; halfway likewise.
CONTRAST = _by_severity(0.575, 0.4, 0.3, 0.2, 0.1)
# Centres in units of the crop, x and y (medians of FER2013's faces, made symmetric), and patches in pixels, wide and
# high: from the pupils to sunglasses with the brows, from the lips to a mask from nose to chin.
EYES, MOUTH = ((0.32, 0.385), (0.68, 0.385)), ((0.5, 0.76),)
EYE_PATCH = _by_severity((6, 4), (9, 6), (12, 8), (15, 10), (18, 12))
MOUTH_PATCH = _by_severity((8, 4), (12, 7), (16, 10), (20, 13), (24, 16))
# Degrees, clockwise or counter-clockwise. A neck bends sideways by some 45.
ROTATION_DEGREES = _by_severity(6, 12, 18, 24, 30)
# Times larger or smaller: the detector's box is too tight or too wide. At 1.5 eyes and mouth are still inside.
SCALE_FACTOR = _by_severity(1.1, 1.2, 1.3, 1.4, 1.5)
# Pixels to the left, right, top or bottom. At 10 downwards the edge cuts the mouth.
SHIFT_PIXELS = _by_severity(2, 4, 6, 8, 10)
# Side of the face in pixels before it is enlarged to 48. At 12 the eyes are 4 pixels apart.
SMALL_SIDE = _by_severity(32, 24, 18, 15, 12)


def corrupt(images: torch.Tensor, name: str, severity: int, seed: int = 0) -> torch.Tensor:
    """Corrupts a split; the same for the same arguments, and independent of what else is corrupted before it.

    Args:
        images: uint8 (N, 48, 48), on the CPU; left as they are.
        name: a key of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: of the random numbers, with name and severity.

    Returns:
        uint8 (N, 48, 48).

    Raises:
        KeyError: another name or severity.
    """
    digest = hashlib.sha256(f"{seed} {name} {severity}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:4]))  # PyTorch's generator takes 32 bits of a seed
    return torch.cat([CORRUPTIONS[name](part, severity, generator) for part in images.split(CHUNK)])


def shift(images: torch.Tensor, right: torch.Tensor | int, down: torch.Tensor | int) -> torch.Tensor:
    """Moves images by whole pixels; what comes in is the edge, repeated.

    Args:
        images: (N, 48, 48), any type.
        right: pixels to the right, negative to the left: int, or int64 (N,), one for each image.
        down: likewise, to the bottom.
    """
    here = torch.arange(SIZE)
    rows = (here - torch.as_tensor(down).reshape(-1, 1)).clamp(0, SIZE - 1)
    columns = (here - torch.as_tensor(right).reshape(-1, 1)).clamp(0, SIZE - 1)
    return images[torch.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


# --- noise ---


def gaussian_noise(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Noise of the sensor's electronics: the same everywhere."""
    noise = torch.randn(images.shape, generator=generator)
    return _to_bytes(images / 255 + noise * GAUSSIAN_SIGMA[severity])


def shot_noise(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Noise of the light itself, Poisson-distributed: strongest where it is bright."""
    photons = SHOT_PHOTONS[severity]
    return _to_bytes(torch.poisson(images * (photons / 255), generator=generator) / photons)


# --- blur ---


def motion_blur(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Camera or face moved: smeared along a line, in a random direction for each image."""
    angles = torch.rand(len(images), generator=generator) * math.pi
    return _blur(images, _lines(MOTION_PIXELS[severity], angles))


def defocus_blur(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Out of focus: every point is a disk."""
    return _blur(images, _disk(DEFOCUS_RADIUS[severity]).expand(len(images), -1, -1))


def _lines(length: float, angles: torch.Tensor) -> torch.Tensor:
    """Kernels (N, K, K) that smear over `length` pixels; each point of the path is shared by the four pixels around."""
    reach = math.ceil(length / 2)
    cells = torch.arange(-reach, reach + 1)
    path = ((torch.arange(64) + 0.5) / 64 - 0.5) * length
    across, down = angles.cos()[:, None] * path, angles.sin()[:, None] * path
    across, down = ((1 - (at[..., None] - cells).abs()).clamp(min=0) for at in (across, down))
    return torch.einsum("npy,npx->nyx", down, across) / len(path)


def _disk(radius: float) -> torch.Tensor:
    """A kernel (K, K): the share of each pixel that a disk covers, from 16x16 points within it; the sum is 1."""
    points = 16
    size = 2 * math.ceil(radius - 0.5) + 1
    at = (torch.arange(size * points) + 0.5) / points - size / 2
    inside = (at[:, None] ** 2 + at**2 <= radius**2).float()
    covered = F.avg_pool2d(inside[None], points)[0]
    return covered / covered.sum()


def _blur(images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Each image with its own kernel (N, K, K); the edge goes on outside."""
    reach = kernels.shape[-1] // 2
    padded = F.pad(images[None] / 255, (reach,) * 4, mode="replicate")
    return _to_bytes(F.conv2d(padded, kernels[:, None], groups=len(images))[0])


# --- compression ---


def jpeg(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Compressed and decompressed."""
    decoded = np.empty(images.shape, np.uint8)
    for row, image in enumerate(images.numpy()):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "jpeg", quality=JPEG_QUALITY[severity])
        decoded[row] = Image.open(buffer)
    return torch.from_numpy(decoded)


# --- light ---


def low_light(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Less light in 8 bit. The noise that a camera adds then is left out: it is measured by itself."""
    return _expose(images, -LOW_LIGHT_STOPS[severity])


def over_exposure(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """More light than the sensor can take: what is beyond white is lost."""
    return _expose(images, OVER_EXPOSURE_STOPS[severity])


def contrast(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Fog, haze, a dirty lens: everything nearer to the image's mean."""
    means = images.float().mean((1, 2), keepdim=True)
    return _to_bytes((means + (images - means) * CONTRAST[severity]) / 255)


def _expose(images: torch.Tensor, stops: float) -> torch.Tensor:
    """Multiplies the light by 2 ** stops; pixels are taken for sRGB (IEC 61966-2-1), whose values are not linear."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    light = torch.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    light = (light * 2**stops).clamp(max=1)
    levels = torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return _to_bytes(levels)[images.long()]


# --- occlusion ---


def occluded_eyes(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Both eyes behind patches of the image's mean gray."""
    return _cover(images, EYES, EYE_PATCH[severity])


def occluded_mouth(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """The mouth behind a patch of the image's mean gray."""
    return _cover(images, MOUTH, MOUTH_PATCH[severity])


def _cover(images: torch.Tensor, centres: tuple, patch: tuple[int, int]) -> torch.Tensor:
    """Where FER2013 has eyes and mouth: a face that stands elsewhere in its crop is missed, as by a real detector."""
    covered = images.clone()
    means = _to_bytes(images.float().mean((1, 2), keepdim=True) / 255)
    width, height = patch
    for x, y in centres:
        left, top = round(x * SIZE - width / 2), round(y * SIZE - height / 2)
        covered[:, top : top + height, left : left + width] = means
    return covered


# --- framing ---


def rotation(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Turned about the centre, each image to a random side."""
    angles = _random_signs(len(images), generator) * math.radians(ROTATION_DEGREES[severity])
    return _warp(images, angles.cos(), angles.sin())


def scale(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """A face too large or too small in its crop, at random for each image."""
    step = SCALE_FACTOR[severity] ** _random_signs(len(images), generator)
    return _warp(images, step, torch.zeros(len(images)))


def shifted(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """A face off the centre: to the left, right, top or bottom, at random for each image."""
    quarter = torch.randint(4, (len(images),), generator=generator)
    ways = torch.tensor([(-1, 0), (1, 0), (0, -1), (0, 1)]) * SHIFT_PIXELS[severity]
    return shift(images, *ways[quarter].T)


def _random_signs(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(2, (count,), generator=generator) * 2.0 - 1


def _warp(images: torch.Tensor, along: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
    """Reads each image (bicubic) at x, y = (along x - across y, across x + along y) about the centre; edge-filled."""
    zero = torch.zeros(len(images))
    theta = torch.stack([along, -across, zero, across, along, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, (len(images), 1, SIZE, SIZE), align_corners=False)
    pictures = images[:, None] / 255
    return _to_bytes(F.grid_sample(pictures, grid, "bicubic", padding_mode="border", align_corners=False)[:, 0])


# --- resolution ---


def down_sampling(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """A face of few pixels, enlarged: bicubic and antialiased both ways, as `images.to_gray_square` resizes."""
    squares = images[:, None]
    for side in (SMALL_SIDE[severity], SIZE):
        squares = F.interpolate(squares, (side, side), mode="bicubic", antialias=True)
    return squares[:, 0]


def _to_bytes(values: torch.Tensor) -> torch.Tensor:
    """0..1, anything beyond cut off -> uint8."""
    return (values * 255).round().clamp(0, 255).to(torch.uint8)


Corruption = Callable[[torch.Tensor, int, torch.Generator], torch.Tensor]
# In the order of reports and charts.
CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "motion_blur": motion_blur,
    "defocus_blur": defocus_blur,
    "jpeg": jpeg,
    "low_light": low_light,
    "over_exposure": over_exposure,
    "contrast": contrast,
    "occluded_eyes": occluded_eyes,
    "occluded_mouth": occluded_mouth,
    "rotation": rotation,
    "scale": scale,
    "shift": shifted,
    "down_sampling": down_sampling,
}

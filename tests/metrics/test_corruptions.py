"""Corruptions: what all of them promise, and each against what can be computed by hand or by another library."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from fer_hub.metrics import corruptions
from fer_hub.metrics.corruptions import CORRUPTIONS, SEVERITIES, corrupt, shift

RANDOM = {"gaussian_noise", "shot_noise", "motion_blur", "rotation", "scale", "shift"}
ON_PLAIN_WALLS = {"gaussian_noise", "shot_noise", "jpeg", "low_light", "over_exposure"}
BITS = torch.randint(2, (16, 48, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8) * 255


@pytest.fixture(scope="module")
def pictures():
    """Smooth, as faces are: 5x5 random values, enlarged."""
    coarse = torch.rand(20, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse * 255, (48, 48), mode="bicubic")[:, 0].round().clamp(0, 255).byte()


def constant(value, count=10):
    return torch.full((count, 48, 48), value, dtype=torch.uint8)


def distance(images, others):
    return float((images.float() - others.float()).abs().mean())


def blob(right, down):
    """A soft white spot on black, so many pixels from the centre."""
    at = torch.arange(48) - 23.5
    spot = torch.exp(-((at[:, None] - down) ** 2 + (at - right) ** 2) / 8)
    return (spot * 255).round().to(torch.uint8)


def centroids(images):
    """Where the white is, in pixels from the centre: right and down, float (N, 2)."""
    weights, at = images.double() / images.double().sum((1, 2), keepdim=True), torch.arange(48) - 23.5
    return torch.stack([(weights.sum(1) * at).sum(1), (weights.sum(2) * at).sum(1)], 1)


# --- all of them ---


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_changes_more_than_the_one_before(name, pictures):
    before = pictures.clone()
    distances = [0.0]
    for severity in SEVERITIES:
        found = corrupt(pictures, name, severity)
        assert found.shape == pictures.shape and found.dtype == torch.uint8
        distances.append(distance(found, pictures))
    assert distances == sorted(set(distances))
    assert torch.equal(pictures, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_seed_decides_and_nothing_else(name, pictures):
    state = torch.get_rng_state()
    first = corrupt(pictures, name, 3, seed=1)
    torch.rand(5)
    torch.set_rng_state(state)
    assert torch.equal(first, corrupt(pictures, name, 3, seed=1))
    assert torch.equal(state, torch.get_rng_state())  # of the program's own random numbers it takes none
    assert torch.equal(first, corrupt(pictures, name, 3, seed=2)) == (name not in RANDOM)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_chunks_make_no_difference(name, pictures, monkeypatch):
    whole = corrupt(pictures, name, 4)
    assert torch.equal(corrupt(pictures[:3], name, 4), whole[:3])
    for chunk in (1, 7):
        monkeypatch.setattr(corruptions, "CHUNK", chunk)
        assert torch.equal(corrupt(pictures, name, 4), whole)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_generator_goes_on_where_it_was(name, pictures):
    def generator():
        return torch.Generator().manual_seed(5)

    shared = generator()
    halves = [CORRUPTIONS[name](part, 2, shared) for part in (pictures[:9], pictures[9:])]
    assert torch.equal(torch.cat(halves), CORRUPTIONS[name](pictures, 2, generator()))


@pytest.mark.parametrize("name", sorted(CORRUPTIONS.keys() - ON_PLAIN_WALLS))
def test_a_plain_wall_looks_the_same(name):
    for severity in SEVERITIES:
        assert torch.equal(corrupt(constant(100), name, severity), constant(100))


@pytest.mark.parametrize("severity", [0, 6])
def test_other_severities_are_an_error(severity, pictures):
    for name in CORRUPTIONS:
        with pytest.raises(KeyError):
            corrupt(pictures, name, severity)


# --- each by itself ---


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_its_standard_deviation(severity):
    gaussian = corrupt(constant(128), "gaussian_noise", severity).double()
    assert gaussian.std() == pytest.approx(255 * corruptions.GAUSSIAN_SIGMA[severity], rel=0.02)
    assert gaussian.mean() == pytest.approx(128, abs=1)
    photons = corruptions.SHOT_PHOTONS[severity]
    for level in (16, 128):
        shot = corrupt(constant(level), "shot_noise", severity).double()
        assert shot.std() == pytest.approx(255 * math.sqrt(level / 255 / photons), rel=0.03)
        assert shot.mean() == pytest.approx(level, rel=0.03)
    assert (corrupt(constant(0), "shot_noise", severity) == 0).all()


def test_motion_smears_along_a_line():
    spots = blob(0, 0).expand(8, 48, 48)
    at = torch.arange(48) - 23.5
    angles = []
    for image in corrupt(spots, "motion_blur", 5).double():
        weights = image / image.sum()
        cross = float((weights * at[:, None] * at).sum())
        across, down = float((weights.sum(0) * at**2).sum()), float((weights.sum(1) * at**2).sum())
        small, large = np.linalg.eigvalsh([[across, cross], [cross, down]])
        # The variance of a uniform distribution over 8 px is 8 * 8 / 12; the spot's own is 4; sharing between
        # neighbouring pixels adds at most 1/4.
        assert large == pytest.approx(4 + 64 / 12, abs=0.4) and small == pytest.approx(4, abs=0.4)
        angles.append(math.atan2(2 * cross, across - down))
    assert len({round(angle, 2) for angle in angles}) == 8
    assert centroids(corrupt(spots, "motion_blur", 5)).abs().max() < 0.1  # it stays where it is


def test_defocus_makes_disks():
    point = constant(0, 1)
    point[0, 24, 24] = 255
    disk = corrupt(point, "defocus_blur", 5)[0]
    assert torch.equal(disk, disk.T)
    assert torch.equal(disk[:, 1:], disk[:, 1:].flip(1))  # 24 is the middle of 1 to 47
    away = torch.hypot(*torch.meshgrid(*[torch.arange(48.0) - 24] * 2, indexing="ij"))
    inside, outside = disk[away < 2.25 - 0.75], disk[away > 2.25 + 0.75]
    assert (inside == round(255 / (math.pi * 2.25**2))).all() and (outside == 0).all()


def test_jpeg_works_on_blocks_of_eight():
    blocks = torch.randint(256, (10, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    blocks = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    # Flat blocks have a mean alone. It is stored in steps of 16 (the first entry of table K.1 of the JPEG standard)
    # times 5000 / quality (below 50) or 200 - 2 * quality percent, over 8: the error is at most half a step.
    for severity, quality in corruptions.JPEG_QUALITY.items():
        step = 16 * (5000 / quality if quality < 50 else 200 - 2 * quality) / 100 / 8
        error = (corrupt(blocks, "jpeg", severity).int() - blocks.int()).abs().max()
        assert 0.3 * step < error <= step / 2 + 0.5
    off = blocks.roll(4, 2)  # blocks of two halves
    assert distance(corrupt(off, "jpeg", 5), off) > 2 * distance(corrupt(blocks, "jpeg", 5), blocks)


@pytest.mark.parametrize(
    ("name", "severity", "level", "expected"),
    [
        ("low_light", 1, 255, 188),  # half the light of white, in sRGB
        ("low_light", 2, 255, 137),
        ("low_light", 1, 10, 5),  # near black sRGB is linear
        ("low_light", 5, 0, 0),
        ("over_exposure", 5, 2, 8),  # two stops are four times the light
        ("over_exposure", 5, 137, 255),
        ("over_exposure", 1, 240, 255),
    ],
)
def test_light_is_counted_in_stops(name, severity, level, expected):
    assert torch.equal(corrupt(constant(level), name, severity), constant(expected))


def test_contrast_shrinks_towards_the_mean():
    halves = constant(100)
    halves[:, 24:] = 200
    found = corrupt(halves, "contrast", 5)
    assert (found[:, :24] == 145).all() and (found[:, 24:] == 155).all()


@pytest.mark.parametrize(
    ("name", "severity", "boxes"),
    [
        ("occluded_eyes", 3, [(14, 22, 9, 21), (14, 22, 27, 39)]),
        ("occluded_eyes", 5, [(12, 24, 6, 42)]),  # the patches meet
        ("occluded_mouth", 1, [(34, 38, 20, 28)]),
        ("occluded_mouth", 5, [(28, 44, 12, 36)]),
    ],
)
def test_occlusion_covers_its_place_and_nothing_else(name, severity, boxes):
    expected = BITS.clone()
    for top, bottom, left, right in boxes:
        expected[:, top:bottom, left:right] = BITS.double().mean((1, 2), keepdim=True).round().byte()
    assert torch.equal(corrupt(BITS, name, severity), expected)


def test_rotation_turns_to_both_sides():
    found = centroids(corrupt(blob(12, 0).expand(16, 48, 48), "rotation", 5))
    right, down = 12 * math.cos(math.radians(30)), 12 * math.sin(math.radians(30))
    assert found[:, 0].sub(right).abs().max() < 0.1 and found[:, 1].abs().sub(down).abs().max() < 0.1
    assert found[:, 1].min() < 0 < found[:, 1].max()


def test_scale_goes_both_ways():
    found = centroids(corrupt(blob(0, 8).expand(16, 48, 48), "scale", 5))
    assert found[:, 0].abs().max() < 0.1
    down = {round(value, 1) for value in found[:, 1].tolist()}
    assert down == {12.0, 5.3}


def test_shift_repeats_the_edge():
    right, up = shift(BITS, 2, 0), shift(BITS, 0, -2)
    assert torch.equal(right[:, :, 2:], BITS[:, :, :-2]) and torch.equal(
        right[:, :, :2], BITS[:, :, :1].expand(-1, -1, 2)
    )
    assert torch.equal(up[:, :-2], BITS[:, 2:]) and torch.equal(up[:, -2:], BITS[:, -1:].expand(-1, 2, -1))
    ways = torch.arange(16) % 5 - 2
    each = shift(BITS, ways, -ways)
    for image, found, way in zip(BITS, each, ways.tolist(), strict=True):
        assert torch.equal(found, shift(image[None], way, -way)[0])


def test_shifts_go_in_four_directions():
    ways = [(-6, 0), (6, 0), (0, -6), (0, 6)]
    found = corrupt(BITS, "shift", 3)
    taken = [
        [way for way in ways if torch.equal(image, shift(original[None], *way)[0])]
        for original, image in zip(BITS, found, strict=True)
    ]
    assert all(len(way) == 1 for way in taken)
    assert {way for (way,) in taken} == set(ways)


def test_down_sampling_is_pillows(pictures):
    for severity, side in corruptions.SMALL_SIDE.items():
        pillow = [
            np.asarray(
                Image.fromarray(image)
                .resize((side, side), Image.Resampling.BICUBIC)
                .resize((48, 48), Image.Resampling.BICUBIC)
            )
            for image in pictures.numpy()
        ]
        assert (corrupt(pictures, "down_sampling", severity).int() - torch.tensor(np.stack(pillow))).abs().max() <= 2

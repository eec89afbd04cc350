"""What augmentation does to images and targets, pixel by pixel where it can be said."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fer_hub.recipes import RECIPES
from fer_hub.training import augment

NONE = RECIPES["paper"]
ALL = replace(NONE, hflip=0.5, rotation=20.0, scale=0.2, translate=0.1, brightness=0.2, contrast=0.3, erasing=0.5)


def some_images(count=64, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 48, 48), dtype=np.uint8))


def changed(images, seed=0, **fields):
    return augment.augment(images, replace(NONE, **fields), np.random.default_rng(seed))


class Extreme:
    """Draws the end of each range: `share` 1 is the upper, 0 the lower."""

    def __init__(self, share):
        self.share = share

    def uniform(self, low, high, size):
        return np.full(size, low + self.share * (high - low))

    def random(self, size):
        return np.zeros(size)


def extreme(images, share=1.0, **fields):
    return augment.augment(images, replace(NONE, **fields), Extreme(share))


def test_the_paper_recipe_changes_nothing():
    images, labels = some_images(), torch.arange(64) % 7
    inputs, targets = augment.change(images, labels, NONE, generator=None)  # which is not asked either
    assert inputs is images and targets is labels


@pytest.mark.parametrize("count", [1, 5])
def test_shape_type_and_reproducibility(count):
    images = some_images(count)
    before = images.clone()
    config = replace(ALL, crop_size=44, mixup=0.2, cutmix=1.0)
    targets = F.one_hot(torch.arange(count) % 7, 7).float()
    first, second, other = (augment.change(images, targets, config, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (first[0].dtype, first[0].shape) == (torch.uint8, (count, 44, 44))
    assert (first[1].dtype, first[1].shape) == (torch.float32, (count, 7))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(images, before)
    assert torch.equal(targets, F.one_hot(torch.arange(count) % 7, 7).float())


def test_a_flip_moves_pixels_and_changes_none():
    images = some_images(400)
    assert torch.equal(changed(images, hflip=1.0), images.flip(-1))
    some = changed(images, hflip=0.3)
    flipped = (some == images.flip(-1)).all((1, 2))
    assert torch.equal(some[~flipped], images[~flipped])
    assert 0.2 < flipped.float().mean() < 0.4


def test_a_shift_by_whole_pixels_is_exact():
    images = some_images()
    out = extreme(images, translate=5 / 48)
    assert torch.equal(out[:, :-5, :-5], images[:, 5:, 5:])
    assert not out[:, -5:].any() and not out[:, :, -5:].any()
    # Half a pixel, either way: the mean of four neighbours, not of others.
    half = extreme(images, translate=0.5 / 48)[:, :-1, :-1].float()
    pixels = images.float()
    means = (pixels[:, 1:, 1:] + pixels[:, 1:, :-1] + pixels[:, :-1, 1:] + pixels[:, :-1, :-1]) / 4
    torch.testing.assert_close(half, means, rtol=0, atol=0.51)


def test_turns_are_around_the_centre_and_keep_the_size():
    images = some_images()
    quarter = extreme(images, rotation=90.0)
    assert torch.equal(quarter, images.rot90(1, (1, 2))) or torch.equal(quarter, images.rot90(-1, (1, 2)))
    mirrored = extreme(images, rotation=90.0, hflip=1.0)
    assert torch.equal(mirrored, images.transpose(1, 2)) or torch.equal(
        mirrored, images.rot90(2, (1, 2)).transpose(1, 2)
    )
    angles = [changed(images[:1], seed, rotation=10.0) for seed in range(5)]
    assert len({tuple(angle.flatten().tolist()) for angle in angles}) == 5


@pytest.mark.parametrize(("share", "factor"), [(1.0, 1.25), (0.0, 0.75)])
def test_scale_is_a_change_of_size_about_the_centre(share, factor):
    square = torch.zeros(1, 48, 48, dtype=torch.uint8)
    square[:, 16:32, 16:32] = 200
    out = extreme(square, share, scale=0.25).double()
    assert out.sum() / square.sum() == pytest.approx(factor**2, rel=0.03)
    assert torch.equal(out, out.flip(1)) and torch.equal(out, out.flip(2))


def test_crops_are_pieces_from_everywhere_inside():
    images = some_images()
    assert torch.equal(changed(images, crop_size=48), images)
    assert torch.equal(extreme(images, 0.0, crop_size=40), images[:, :40, :40])
    assert torch.equal(extreme(images, 0.5, crop_size=40), images[:, 4:44, 4:44])
    assert torch.equal(extreme(images, 1.0, crop_size=40), images[:, 8:, 8:])
    white = torch.full((2000, 48, 48), 255, dtype=torch.uint8)
    assert (changed(white, crop_size=40) == 255).all()  # black would come from outside
    # Where the pieces of a slope begin, read from their upper left pixel: from all of 0 to 8, evenly.
    slope = (torch.arange(48, dtype=torch.uint8) * 5).expand(2000, 48, 48)
    across = changed(slope, crop_size=40)[:, 0, 0].double() / 5
    down = changed(slope.transpose(1, 2), crop_size=40)[:, 0, 0].double() / 5
    for starts in (across, down):
        assert starts.min() < 0.2 and starts.max() > 7.8 and abs(starts.mean() - 4) < 0.2
    assert abs(np.corrcoef(across, down)[0, 1]) < 0.1


def test_brightness_and_contrast_stay_in_their_ranges():
    flat = torch.full((2000, 48, 48), 100, dtype=torch.uint8)
    values = changed(flat, brightness=0.1)[:, 0, 0].double()
    assert 74 <= values.min() < 77 and 123 < values.max() <= 126 and abs(values.mean() - 100) < 1.5
    halves = torch.cat([torch.full((2000, 48, 24), 80), torch.full((2000, 48, 24), 120)], 2).to(torch.uint8)
    out = changed(halves, contrast=0.5).double()
    assert (out.mean((1, 2)) - 100).abs().max() <= 0.5
    differences = out[:, 0, -1] - out[:, 0, 0]
    assert 20 <= differences.min() < 21 and 59 < differences.max() <= 60 and abs(differences.mean() - 40) < 1
    assert (extreme(torch.full((1, 48, 48), 250, dtype=torch.uint8), brightness=0.5) == 255).all()
    assert (extreme(torch.full((1, 48, 48), 5, dtype=torch.uint8), 0.0, brightness=0.5) == 0).all()


def test_erased_are_rectangles_of_the_papers_sizes_in_the_asked_share_of_images():
    images = some_images(3000)
    out = changed(images, erasing=0.4)
    differs = out != images
    erased = differs.any(2).any(1)
    assert 0.36 < erased.double().mean() < 0.44
    areas, places = [], torch.zeros(48, 48)
    for image, mask in zip(out[erased], differs[erased], strict=True):
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        piece = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (piece == piece[0, 0]).all()  # one gray
        areas.append(piece.numel() / 48**2)
        places[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += 1
    areas = np.array(areas)
    assert 0.015 < areas.min() < 0.025 and 0.24 < areas.max() < 0.26 and abs(areas.mean() - 0.135) < 0.01
    assert places.sum(0).min() > 0 and places.sum(1).min() > 0  # up to each border
    assert (changed(images, erasing=1.0) != images).any(2).any(1).all()


def each_its_own(count):
    """Images of one gray each, and targets of one class each: who is in a mixture can be read from it."""
    grays = torch.arange(count, dtype=torch.uint8) * (255 // count)
    return grays.view(-1, 1, 1).expand(count, 48, 48), torch.eye(count)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixup_blends_images_as_it_blends_targets(alpha):
    images, targets = each_its_own(50)
    mixed, shares = augment.mix(images, targets, replace(NONE, mixup=alpha), np.random.default_rng(0))
    torch.testing.assert_close(shares.sum(1), torch.ones(50))
    assert (shares.diag() >= 0.5).all() and (shares > 0).sum(1).max() == 2
    wanted = shares @ images[:, 0, 0].float()
    torch.testing.assert_close(mixed.float(), wanted.view(-1, 1, 1).expand(50, 48, 48), rtol=0, atol=0.51)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_cutmix_counts_the_pixels_that_it_pastes(alpha):
    images, targets = each_its_own(50)
    for seed in range(4):
        mixed, shares = augment.mix(images, targets, replace(NONE, cutmix=alpha), np.random.default_rng(seed))
        torch.testing.assert_close(shares.sum(1), torch.ones(50))
        own = (mixed == images).double().mean((1, 2))
        partners = (shares - shares.diag().diag()).argmax(1)
        alone = shares.diag() == 1
        torch.testing.assert_close(shares.diag().double()[~alone], own[~alone])
        assert (own > 0.5).all()
        for image, own_gray, partner in zip(mixed, images[:, 0, 0], partners, strict=True):
            mask = image != own_gray
            if mask.any():
                assert (image[mask] == images[partner, 0, 0]).all()
                rows, columns = mask.any(1).sum(), mask.any(0).sum()
                assert rows == columns and rows * columns == mask.sum()  # a whole square


def test_where_both_mix_a_coin_decides():
    images, targets = each_its_own(50)
    config = replace(NONE, mixup=1.0, cutmix=1.0)
    pasted = []
    for seed in range(200):
        mixed, _ = augment.mix(images, targets, config, np.random.default_rng(seed))
        pasted.append(bool((mixed != mixed[:, :1, :1]).any()))
    assert 0.4 < np.mean(pasted) < 0.6


def test_shares_come_from_the_beta_distribution():
    images, targets = each_its_own(250)
    _, uniform = augment.mix(images, targets, replace(NONE, mixup=1.0), np.random.default_rng(0))
    _, steep = augment.mix(images, targets, replace(NONE, mixup=0.1), np.random.default_rng(0))
    assert uniform.diag().mean() == pytest.approx(0.75, abs=0.03)
    assert steep.diag().mean() == pytest.approx(0.94, abs=0.02)  # 1/2 + E|b - 1/2| of Beta(.1, .1)


def test_soft_targets_stay_distributions():
    targets = torch.rand(64, 8, generator=torch.Generator().manual_seed(0)).softmax(1)
    for fields in ({"mixup": 0.4}, {"cutmix": 1.0}):
        _, mixed = augment.mix(some_images(), targets, replace(NONE, **fields), np.random.default_rng(1))
        assert (mixed >= 0).all()
        torch.testing.assert_close(mixed.sum(1), torch.ones(64))

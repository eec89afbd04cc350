"""Which images are pixel-exact copies of each other, within a split and across splits."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

import torch

from fer_hub.data.pixels import Pixels


def _keys(pixels: Pixels) -> list[bytes]:
    # Digests stand for the images: 16 bytes each instead of 2,304.
    return [hashlib.blake2b(image, digest_size=16).digest() for image in pixels.images.numpy()]


def find_groups(splits: Mapping[str, Pixels]) -> list[list[tuple[str, int]]]:
    """Groups of identical images.

    Args:
        splits: the splits by name; images uint8 (N, 48, 48).

    Returns:
        A list of groups of at least two `(split, row)`, in order of first appearance.
    """
    places = defaultdict(list)
    for name, pixels in splits.items():
        for row, key in enumerate(_keys(pixels)):
            places[key].append((name, row))
    return [group for group in places.values() if len(group) > 1]


def also_in(pixels: Pixels, others: Iterable[Pixels]) -> torch.Tensor:
    """Marks the images that also stand in one of the other splits.

    Returns:
        bool (N,), True where the image has a pixel-exact copy in `others`.
    """
    known = set()
    for other in others:
        known.update(_keys(other))
    return torch.tensor([key in known for key in _keys(pixels)], dtype=torch.bool)


def report(splits: Mapping[str, Pixels]) -> dict[str, int]:
    """Counts what a reader of results must know about copies and empty pictures.

    Returns:
        `extra_copies`: images beyond the first of each group; `groups_across_splits`;
        `groups_with_contradictory_labels`; `blank`: images whose pixels are all equal; and where there is a train
        split, `SPLIT_also_in_train` for each other.
    """
    groups = find_groups(splits)
    labels = [{int(splits[name].labels[row]) for name, row in group} for group in groups]
    counts = {
        "extra_copies": sum(len(group) - 1 for group in groups),
        "groups_across_splits": sum(len({name for name, _ in group}) > 1 for group in groups),
        "groups_with_contradictory_labels": sum(len(found) > 1 for found in labels),
        "blank": sum(int(pixels.blank().sum()) for pixels in splits.values()),
    }
    for name, pixels in splits.items():
        if name != "train" and "train" in splits:
            counts[f"{name}_also_in_train"] = int(also_in(pixels, [splits["train"]]).sum())
    return counts

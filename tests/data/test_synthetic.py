"""The drawn faces: what they are, that they repeat, and that only the features give the label away."""

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from fer_hub.data import synthetic

CHANCE = 1 / 7


@pytest.fixture(scope="module")
def splits():
    return {split: synthetic.draw_split(split) for split in synthetic.SPLIT_SIZES}


def distinct(images):
    return {image.tobytes() for image in images}


def test_shapes_types_and_sizes(splits):
    assert synthetic.SPLIT_SIZES == {"train": 5600, "validation": 1050, "test": 1050}
    for split, size in synthetic.SPLIT_SIZES.items():
        images, labels = splits[split]
        assert images.shape == (size, 48, 48) and images.dtype == np.uint8
        assert labels.shape == (size,) and labels.dtype == np.int64


def test_every_image_has_contrast(splits):
    for images, _ in splits.values():
        assert images.std(axis=(1, 2)).min() > 5


def test_labels_are_balanced_and_shuffled(splits):
    for split, size in synthetic.SPLIT_SIZES.items():
        labels = splits[split][1]
        assert np.bincount(labels).tolist() == [size // 7] * 7
        # Neither sorted (neighbours equal) nor dealt in turn (seventh neighbours equal).
        for step in (1, 7):
            assert np.mean(labels[step:] == labels[:-step]) < 2 * CHANCE


def test_unknown_split_is_refused():
    with pytest.raises(KeyError):
        synthetic.draw_split("training")


def test_same_seed_repeats_and_another_does_not(splits):
    images, labels = splits["validation"]
    again_images, again_labels = synthetic.draw_split("validation", seed=0)
    assert np.array_equal(again_images, images) and np.array_equal(again_labels, labels)
    other_images, other_labels = synthetic.draw_split("validation", seed=1)
    assert not distinct(other_images) & distinct(images)
    assert not np.array_equal(other_labels, labels)


def test_no_face_twice(splits):
    assert len(distinct(np.concatenate([images for images, _ in splits.values()]))) == 7700


def test_expression_leaves_head_and_surroundings_alone():
    # The same person and pose with each of the expressions: nothing differs at the sides (temples, ears,
    # background) and the top (hair). Below, a dropped jaw may reach almost to the edge.
    margin = 6 * synthetic.SUPERSAMPLING
    for seed in range(30):
        faces = np.stack([synthetic._draw_face(label, np.random.default_rng(seed)) for label in range(7)])
        varies = (faces != faces[0]).any(axis=0)
        assert varies[margin:, margin:-margin].any()
        assert not varies[:margin].any()
        assert not varies[:, :margin].any() and not varies[:, -margin:].any()


def test_brightness_does_not_give_the_label_away(splits):
    images, labels = splits["train"]
    brightness = images.mean(axis=(1, 2))
    class_means = np.array([brightness[labels == label].mean() for label in range(7)])
    images, labels = splits["test"]
    predicted = np.abs(images.mean(axis=(1, 2))[:, None] - class_means).argmin(axis=1)
    assert np.mean(predicted == labels) < 0.25


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # few iterations are enough here
def test_coarse_pixels_tell_something_but_not_all(splits):
    def coarse(images):
        reduced = np.stack([Image.fromarray(image).reduce(4) for image in images])
        return reduced.reshape(len(images), -1) / 255

    (train_images, train_labels), (test_images, test_labels) = splits["train"], splits["test"]
    model = LogisticRegression(C=10, max_iter=60).fit(coarse(train_images), train_labels)
    accuracy = model.score(coarse(test_images), test_labels)
    assert 1.5 * CHANCE < accuracy < 0.9

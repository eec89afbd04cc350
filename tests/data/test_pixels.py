"""Decoding encoded pictures to tensors, its cache, fingerprints and samples."""

import io

import datasets
import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

from fer_hub.data import dataset
from fer_hub.data import pixels as module
from fer_hub.data.pixels import Pixels, decode, decode_splits, stratified_sample
from fer_hub.data.sources import features, png
from fer_hub.errors import UserError
from fer_hub.images import to_gray_square

RNG = np.random.default_rng(0)
COLOUR = Image.fromarray(RNG.integers(0, 256, (60, 90, 3), dtype=np.uint8))
GRAY = RNG.integers(0, 256, (5, 48, 48), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of decoded pixels, where `decode` puts it."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache" / "fer_hub_pixels"


def split(encoded, labels=None):
    rows = [{"bytes": data, "path": None} if isinstance(data, bytes) else data for data in encoded]
    labels = [row % 7 for row in range(len(rows))] if labels is None else labels
    return Dataset.from_dict({"image": rows, "label": labels}, features=features())


def gray_split(images, labels=None):
    return split([png(image) for image in images], labels)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_gray_images_come_back_bit_for_bit_in_order():
    decoded = decode(gray_split(GRAY, [6, 0, 3, 3, 1]), "here")
    assert decoded.images.dtype == torch.uint8 and decoded.labels.dtype == torch.int64
    assert np.array_equal(decoded.images.numpy(), GRAY)
    assert decoded.labels.tolist() == [6, 0, 3, 3, 1]


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (COLOUR, "PNG"),
        (COLOUR.convert("RGBA"), "PNG"),
        (COLOUR.convert("L"), "BMP"),
        (COLOUR.convert("LA"), "PNG"),
        (COLOUR.quantize(100), "PNG"),
        (COLOUR.quantize(100), "GIF"),
        (COLOUR.convert("1"), "PNG"),
        (Image.fromarray(RNG.integers(0, 65536, (60, 90), dtype=np.uint16)), "PNG"),
        (Image.fromarray(RNG.integers(0, 65536, (60, 90), dtype=np.uint16)), "TIFF"),
        (COLOUR.convert("CMYK"), "TIFF"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.mode,
)
def test_any_picture_is_decoded_as_the_gray_square_documents(image, kind):
    decoded = decode(split([encode(image, kind)]), "here")
    assert np.array_equal(decoded.images[0].numpy(), to_gray_square(image))


def test_rotated_photograph_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter clockwise
    upright = Image.fromarray(np.linspace(0, 255, 48).astype(np.uint8)[:, None].repeat(48, 1))  # dark above
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    decoded = decode(split([encode(stored, "JPEG", quality=95, exif=exif)]), "here").images[0].int()
    assert (decoded - torch.from_numpy(np.asarray(upright).astype(np.int32))).abs().max() <= 8


def test_cmyk_jpeg():
    image = Image.new("CMYK", (30, 30), (0, 0, 0, 155))  # black ink alone: gray 100
    decoded = decode(split([encode(image, "JPEG", quality=95)]), "here")
    assert (decoded.images.int() - 100).abs().max() <= 2


def test_second_decode_reads_the_cache(cache, monkeypatch):
    first = decode(gray_split(GRAY), "here")
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(module, "to_gray_square", lambda image: pytest.fail("decoded again"))
    again = decode(gray_split(GRAY), "there")
    assert torch.equal(again.images, first.images) and torch.equal(again.labels, first.labels)


def test_labels_are_not_cached():
    decode(gray_split(GRAY, [0] * 5), "here")
    assert decode(gray_split(GRAY, [1, 2, 3, 4, 5]), "here").labels.tolist() == [1, 2, 3, 4, 5]


def test_changed_content_is_decoded_anew(cache):
    decode(gray_split(GRAY), "here")
    changed = GRAY.copy()
    changed[4, 47, 47] ^= 1
    assert np.array_equal(decode(gray_split(changed), "here").images.numpy(), changed)
    assert np.array_equal(decode(gray_split(GRAY[::-1]), "here").images.numpy(), GRAY[::-1])
    assert len(list(cache.iterdir())) == 3


def test_new_decoder_version_does_not_read_old_pixels(cache, monkeypatch):
    decode(gray_split(GRAY), "here")
    monkeypatch.setattr(module, "DECODER_VERSION", "other")
    monkeypatch.setattr(module, "to_gray_square", lambda image: np.zeros((48, 48), np.uint8))
    assert not decode(gray_split(GRAY), "here").images.any()
    assert len(list(cache.iterdir())) == 2


def test_folder_that_cannot_be_made_only_warns(cache, caplog):
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")  # refused to root, too, whom permissions do not stop
    decoded = decode(gray_split(GRAY), "here")
    assert np.array_equal(decoded.images.numpy(), GRAY)
    assert "not cached" in caplog.text


def test_failed_write_only_warns(cache, caplog, monkeypatch):
    decode(gray_split(GRAY), "here")
    (entry,) = cache.iterdir()
    entry.unlink()
    monkeypatch.setattr(module, "temporary_beside", lambda path: path.parent)  # a folder is no file to write to
    decoded = decode(gray_split(GRAY), "here")
    assert np.array_equal(decoded.images.numpy(), GRAY)
    assert "not cached" in caplog.text
    assert not entry.exists()


def test_damaged_cache_is_replaced(cache, caplog):
    decode(gray_split(GRAY), "here")
    (entry,) = cache.iterdir()
    intact = entry.read_bytes()
    entry.write_bytes(intact[:100])
    assert np.array_equal(decode(gray_split(GRAY), "here").images.numpy(), GRAY)
    assert str(entry) in caplog.text
    assert entry.read_bytes() == intact


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"bytes": b"not a picture", "path": "shot.jpg"}, "not a readable image: its format is unknown"),
        ({"bytes": png(GRAY[0])[:1000], "path": "shot.jpg"}, "not a readable image"),
        ({"bytes": b"", "path": "shot.jpg"}, "not a readable image"),
        ({"bytes": None, "path": "no/such/shot.jpg"}, "No such file"),
        ({"bytes": encode(Image.new("F", (48, 48)), "TIFF"), "path": "shot.jpg"}, "32-bit pixels"),
    ],
    ids=["text", "truncated", "empty", "missing file", "float"],
)
def test_broken_image_is_named(row, reason, cache):
    broken = split([png(GRAY[0]), png(GRAY[1]), row])
    with pytest.raises(UserError) as caught:
        decode(broken, "data/faces, split train")
    message = str(caught.value)
    assert message.startswith("data/faces, split train, row 2")
    assert ("shot.jpg" in message or row["bytes"] is None) and reason in message and "0x" not in message
    assert not cache.exists()  # nothing half decoded is kept


def test_missing_image_is_named():
    with pytest.raises(UserError, match="here, row 1: the image is missing"):
        decode(split([png(GRAY[0]), None]), "here")


def test_fingerprint_tells_data_apart():
    images, labels = torch.from_numpy(GRAY), torch.arange(5)
    original = Pixels(images, labels).fingerprint
    assert len(original) == 16 and Pixels(images.clone(), labels.clone()).fingerprint == original
    other_pixel = images.clone()
    other_pixel[3, 20, 20] ^= 1
    other_label = labels.clone()
    other_label[3] = 6
    others = [
        Pixels(other_pixel, labels),
        Pixels(images, other_label),
        Pixels(images.flip(0), labels.flip(0)),
        Pixels(images[:4], labels[:4]),
    ]
    assert len({original, *(pixels.fingerprint for pixels in others)}) == 5


def test_fingerprint_ignores_the_encoding():
    as_png = decode(gray_split(GRAY), "here")
    as_bmp = decode(split([encode(Image.fromarray(image), "BMP") for image in GRAY]), "here")
    assert as_png.fingerprint == as_bmp.fingerprint == Pixels(torch.from_numpy(GRAY), torch.arange(5)).fingerprint


def test_blank_means_all_pixels_equal():
    images = torch.zeros(4, 48, 48, dtype=torch.uint8)
    images[1] = 255
    images[2] = 77
    images[2, 47, 47] = 78
    images[3] = torch.from_numpy(GRAY[0])
    assert Pixels(images, torch.zeros(4)).blank().tolist() == [True, True, False, False]


@pytest.fixture(scope="module")
def uneven():
    """210 images of uneven classes; the first pixel of each is its row."""
    images = torch.zeros(210, 48, 48, dtype=torch.uint8)
    images[:, 0, 0] = torch.arange(210)
    labels = np.repeat(np.arange(7), [70, 7, 14, 21, 28, 35, 35])
    return Pixels(images, torch.from_numpy(RNG.permutation(labels)))


@pytest.mark.parametrize(("count", "classes"), [(30, [10, 1, 2, 3, 4, 5, 5]), (120, [40, 4, 8, 12, 16, 20, 20])])
def test_sample_keeps_the_proportions_and_the_order(uneven, count, classes):
    sample = stratified_sample(uneven, count, seed=0)
    rows = sample.images[:, 0, 0].long()
    assert torch.bincount(sample.labels, minlength=7).tolist() == classes
    assert (rows.diff() > 0).all()
    assert torch.equal(sample.labels, uneven.labels[rows])  # each image keeps its own label


def test_targets_stay_with_their_images(uneven):
    targets = torch.rand(210, 7)
    soft = Pixels(uneven.images, uneven.labels, targets)
    rows = torch.tensor([200, 3, 17])
    assert torch.equal(soft[rows].targets, targets[rows]) and uneven[rows].targets is None
    sample = stratified_sample(soft, 30, seed=0)
    assert torch.equal(sample.targets, targets[sample.images[:, 0, 0].long()])
    assert len({pixels.fingerprint for pixels in (uneven, soft, Pixels(soft.images, soft.labels, 1 - targets))}) == 3


def test_sample_follows_its_seed(uneven):
    first, again, other = (stratified_sample(uneven, 30, seed) for seed in (3, 3, 4))
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)


@pytest.mark.parametrize("count", [210, 211, 10**6])
def test_sample_of_all_is_all(uneven, count):
    assert torch.equal(stratified_sample(uneven, count, seed=0).images, uneven.images)


def test_sample_smaller_than_the_number_of_classes_is_refused(uneven):
    with pytest.raises(UserError, match="stratified sample of 6 images"):
        stratified_sample(uneven, 6, seed=0)


# --- pictures that cannot be read ---


def broken_splits(rows, count=30, files=()):
    """A train split whose rows are broken in turn: no picture, cut off, text, and a file that is not there."""
    good = [{"bytes": png(np.full((4, 4), row, np.uint8)), "path": None} for row in range(count)]
    kinds = [b"", good[0]["bytes"][:30], b"<html>", None]
    for number, row in enumerate(rows):
        data = kinds[number % 4]
        good[row] = {"bytes": data, "path": "nowhere/x.png" if data is None else None}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    table = datasets.Dataset.from_dict({"image": good, "label": [row % 2 for row in range(count)]}, features=features)
    splits = dataset.LabelledSplits(train=table)
    splits.left_out = {"train": {"contempt": 2}}
    return splits


def test_all_unreadable_pictures_are_listed():
    with pytest.raises(UserError) as caught:
        decode_splits(broken_splits([2, 5, 7, 11]), ["train"], "faces")
    told = str(caught.value).splitlines()
    assert told[0].startswith("faces, split train: 4 of 30 images cannot be read.") and "--skip_unreadable" in told[0]
    assert [line.split(":")[0].strip() for line in told[1:]] == ["row 2", "row 5", "row 7", "row 11"]
    assert "nowhere/x.png: No such file" in told[-1]


def test_of_many_unreadable_pictures_twenty_are_listed():
    with pytest.raises(UserError) as caught:
        decode(broken_splits(range(4, 70, 2), count=80)["train"], "faces")
    told = str(caught.value).splitlines()
    assert "33 of 80 images" in told[0] and len(told) == 22 and told[-1] == "  ... and 13 more"
    assert len(str(caught.value)) < 4000


def test_unreadable_pictures_are_skipped_said_and_recorded(caplog):
    splits = broken_splits([2, 5, 7, 11])
    found = decode_splits(splits, ["train"], "faces", skip_unreadable=True)["train"]
    rows = [row for row in range(30) if row not in (2, 5, 7, 11)]
    assert found.images[:, 0, 0].tolist() == rows and found.labels.tolist() == [row % 2 for row in rows]
    assert len(splits["train"]) == 26 and splits.left_out["train"] == {"contempt": 2, "not a readable image": 4}
    assert "4 of 30 images cannot be read. Left out." in caplog.text and "row 11" in caplog.text
    caplog.clear()
    again = decode_splits(splits, ["train"], "faces", skip_unreadable=True)["train"]
    assert again.fingerprint == found.fingerprint and not caplog.messages
    with pytest.raises(UserError, match="faces, split train: no image can be read"):
        decode_splits(broken_splits(range(3), count=3), ["train"], "faces", skip_unreadable=True)

"""Every kind of source gives the same splits, and every broken one is refused with what is wrong and where."""

import io
import os
import shutil

import datasets
import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import ClassLabel, Dataset, Value
from PIL import Image

from fer_hub.data import dataset, synthetic
from fer_hub.data.pixels import Pixels, decode
from fer_hub.data.sources import png
from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS

WORDS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # of EMOTIONS, in their order


LABELS = {
    "numbers": (Value("int64"), lambda label: label),
    "floats": (Value("float32"), float),
    "digits": (Value("string"), str),
    "strings": (Value("string"), lambda label: EMOTIONS[label]),
    "other strings": (Value("string"), lambda label: f" {WORDS[label].title()}"),
    "official classes": (ClassLabel(names=list(EMOTIONS)), lambda label: label),
    "alphabetical classes": (ClassLabel(names=sorted(EMOTIONS)), lambda label: sorted(EMOTIONS).index(EMOTIONS[label])),
    "other words": (ClassLabel(names=sorted(WORDS)), lambda label: sorted(WORDS).index(WORDS[label])),
    "digit classes": (ClassLabel(names=list("6543210")), lambda label: 6 - label),
    "more classes": (ClassLabel(names=["contempt", *EMOTIONS]), lambda label: label + 1),
}
NUMBERS = LABELS["numbers"]


def table(pixels, column="label", labels=NUMBERS):
    kind, value = labels
    return Dataset.from_dict(
        {
            "image": [{"bytes": png(image.numpy()), "path": None} for image in pixels.images],
            column: [value(label) for label in pixels.labels.tolist()],
        },
        features=datasets.Features({"image": datasets.Image(), column: kind}),
    )


@pytest.fixture
def write_parquet(tmp_path):
    """Writes tables or splits as a folder of parquet files with the given names."""

    def write(files):
        folder = tmp_path / "parquet"
        for name, content in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            (table(content) if isinstance(content, Pixels) else content).to_parquet(file)
        return folder

    return write


@pytest.fixture
def write_folders(tmp_path):
    """Writes pictures as `folder/EMOTION/PREFIX_ROW.SUFFIX`."""

    def write(pixels, folder, prefix, suffix="png", emotions=EMOTIONS, **options):
        for row, (image, label) in enumerate(zip(pixels.images, pixels.labels, strict=True)):
            file = tmp_path / "images" / folder / emotions[label] / f"{prefix}_{row}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.numpy()).save(file, **options)
        return tmp_path / "images"

    return write


def load_decoded(source):
    return {name: decode(split, name) for name, split in dataset.load(str(source)).items()}


def assert_same(source, expected):
    """The source gives exactly these pixels and labels, in this order and the one form."""
    loaded = dataset.load(str(source))
    assert list(loaded) == [name for name in ("train", "validation", "test") if name in expected]
    for name, split in loaded.items():
        assert split.column_names == ["image", "label"]
        assert split.features["label"].names == list(EMOTIONS)
        decoded = decode(split, name)
        assert torch.equal(decoded.images, expected[name].images)
        assert torch.equal(decoded.labels, expected[name].labels)
        assert decoded.fingerprint == expected[name].fingerprint


def by_content(pixels):
    """Pairs of pixels and label without their order: image folders are read by file name."""
    images = (image.tobytes() for image in pixels.images.numpy())
    return sorted(zip(images, pixels.labels.tolist(), strict=True))


def assert_same_content(source, expected):
    decoded = load_decoded(source)
    assert list(decoded) == list(expected)
    for name, pixels in decoded.items():
        assert by_content(pixels) == by_content(expected[name])


def test_caches_are_those_of_the_session():
    cache = os.environ["HF_HOME"]
    assert str(datasets.config.HF_DATASETS_CACHE).startswith(cache)
    assert huggingface_hub.constants.HF_HUB_CACHE.startswith(cache)
    assert huggingface_hub.constants.HF_HUB_OFFLINE


# Tables


@pytest.mark.parametrize(
    "columns",
    [
        ("emotion", "pixels", "Usage"),  # fer2013.csv
        ("emotion", " Usage", " pixels"),  # icml_face_data.csv
    ],
)
def test_csv(faces, write_csv, columns):
    assert_same(write_csv(faces, columns), faces)


def test_csv_rows_may_be_in_any_order_of_usage(faces, write_csv):
    path = write_csv({name: faces[name] for name in ("test", "train", "validation")})
    assert_same(path, faces)


def test_csv_may_name_emotions(faces, write_csv):
    path = write_csv(faces)
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *(WORDS[int(line[0])] + line[1:] for line in lines)]))
    assert_same(path, faces)


def test_changed_csv_is_read_again(faces, write_csv):
    dataset.load(str(write_csv(faces)))
    swapped = {**faces, "test": faces["test"][torch.arange(20, -1, -1)]}
    assert_same(write_csv(swapped), swapped)


@pytest.mark.parametrize("folder", ["with [brackets]", "with * and ?", "{a,b}"])
def test_folder_name_is_no_pattern(faces, write_csv, write_parquet, folder, tmp_path):
    (tmp_path / folder).mkdir()
    assert_same(write_csv(faces, name=f"{folder}/fer2013.csv"), faces)
    shutil.move(write_parquet({f"{name}.parquet": pixels for name, pixels in faces.items()}), tmp_path / folder / "p")
    assert_same(tmp_path / folder / "p", faces)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train-00000-of-00001", "validation-00000-of-00001", "test-00000-of-00001"),
        ("train", "valid", "test"),
        ("data/train-0", "data/val-0", "data/test-0"),
        ("Training", "PublicTest", "PrivateTest"),
        ("train", "publicTest", "privateTest"),
        ("train/0000", "validation/0000", "test/0000"),
    ],
)
def test_parquet_file_names(faces, write_parquet, train, validation, test):
    names = {"train": train, "validation": validation, "test": test}
    assert_same(write_parquet({f"{names[split]}.parquet": pixels for split, pixels in faces.items()}), faces)


def test_parquet_shards_are_joined_in_order(faces, write_parquet):
    first, second = faces["train"][torch.arange(30)], faces["train"][torch.arange(30, 56)]
    files = {"train-00000-of-00002": first, "train-00001-of-00002": second, "val": faces["validation"]}
    folder = write_parquet({f"{name}.parquet": pixels for name, pixels in files.items()})
    assert_same(folder, {name: faces[name] for name in ("train", "validation")})


@pytest.mark.parametrize("column", ["label", "labels", "emotion"])
@pytest.mark.parametrize("labels", LABELS)
def test_parquet_labels(faces, write_parquet, column, labels):
    files = {f"{name}.parquet": table(pixels, column, LABELS[labels]) for name, pixels in faces.items()}
    assert_same(write_parquet(files), faces)


def test_parquet_images_may_be_plain_bytes_under_another_name(faces, write_parquet):
    def plain(pixels):
        return Dataset.from_dict(
            {
                "image": [png(image.numpy()) for image in pixels.images],
                "label": pixels.labels.tolist(),
                "id": ["x"] * len(pixels),
            }
        )

    assert_same(write_parquet({f"{name}.parquet": plain(pixels) for name, pixels in faces.items()}), faces)


def test_parquet_image_column_is_found_by_its_type(faces, write_parquet):
    files = {f"{name}.parquet": table(pixels).rename_column("image", "face") for name, pixels in faces.items()}
    assert_same(write_parquet(files), faces)


# Folders of images


def test_kaggle_folders(faces, write_folders):
    write_folders(faces["train"], "train", "Training")
    write_folders(faces["validation"], "test", "PublicTest")
    assert_same_content(write_folders(faces["test"], "test", "PrivateTest"), faces)


def test_jpeg_files_are_decoded_as_they_are(faces, write_folders):
    write_folders(faces["train"], "train", "Training", "jpg")
    write_folders(faces["validation"], "test", "PublicTest", "JPG", format="jpeg")
    folder = write_folders(faces["test"], "test", "PrivateTest", "jpg")
    decoded = load_decoded(folder)
    for split, pattern in (("train", "train/*/*"), ("validation", "test/*/Public*"), ("test", "test/*/Private*")):
        files = sorted(folder.glob(pattern))
        stored = [(np.asarray(Image.open(file)).tobytes(), EMOTIONS.index(file.parent.name)) for file in files]
        assert len(stored) == len(faces[split])
        assert by_content(decoded[split]) == sorted(stored)


@pytest.mark.parametrize("names", [("train", "validation", "test"), ("Training", "PublicTest", "PrivateTest")])
@pytest.mark.parametrize("emotions", [EMOTIONS, [word.title() for word in WORDS]], ids=["emotions", "other words"])
def test_plain_folders(faces, write_folders, names, emotions):
    for name, pixels in zip(names, faces.values(), strict=True):
        folder = write_folders(pixels, name, "face", emotions=emotions)
    (folder / names[0] / emotions[0] / "Thumbs.db").write_bytes(b"not an image, and not meant as one")
    (folder / ".hidden").mkdir()
    assert_same_content(folder, faces)


@pytest.mark.parametrize("prefix", ["PrivateTest", "PublicTest"])
def test_test_folder_of_one_contest_set_stays_test(faces, write_folders, prefix):
    write_folders(faces["train"], "train", "Training")
    write_folders(faces["validation"], "validation", "face")
    assert_same_content(write_folders(faces["test"], "test", prefix), faces)


@pytest.mark.parametrize("prefix", ["PrivateTest", "PublicTest"])
def test_one_contest_set_without_validation_is_all_test(plenty, faces, write_folders, prefix):
    write_folders(plenty["train"], "train", "Training")
    decoded = load_decoded(write_folders(faces["test"], "test", prefix))
    assert {name: len(pixels) for name, pixels in decoded.items()} == {"train": 126, "validation": 14, "test": 21}
    assert by_content(decoded["test"]) == by_content(faces["test"])


# Splits that are not there


@pytest.fixture(scope="module")
def plenty():
    """Enough to cut a validation split from: 20 of each class, but 10 of disgust and 30 of happy."""
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.repeat(np.arange(7), [20, 10, 20, 30, 20, 20, 20]))
    images = rng.integers(0, 256, (140, 48, 48), dtype=np.uint8)
    return {"train": Pixels(torch.from_numpy(images), torch.from_numpy(labels))}


def test_missing_validation_is_cut_from_train(plenty, write_csv, caplog):
    path = write_csv(plenty)
    splits = load_decoded(path)
    assert {name: len(pixels) for name, pixels in splits.items()} == {"train": 126, "validation": 14}
    assert torch.bincount(splits["validation"].labels).tolist() == [2, 1, 2, 3, 2, 2, 2]
    assert sorted(by_content(splits["train"]) + by_content(splits["validation"])) == by_content(plenty["train"])
    (message,) = caplog.messages
    assert str(path) in message and "no validation split" in message and "14 of its 140" in message
    assert "stratified, seed 0" in message


def test_cut_follows_its_seed(plenty, write_csv):
    path = str(write_csv(plenty))
    first, again, other = (decode(dataset.load(path, seed=seed)["validation"], "v") for seed in (5, 5, 6))
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    assert by_content(first) != by_content(other)


def test_folders_of_emotions_alone_are_train(plenty, write_folders, caplog):
    splits = load_decoded(write_folders(plenty["train"], ".", "face"))
    assert {name: len(pixels) for name, pixels in splits.items()} == {"train": 126, "validation": 14}
    assert sorted(by_content(splits["train"]) + by_content(splits["validation"])) == by_content(plenty["train"])
    assert "no validation split" in caplog.text


def test_too_few_images_to_cut_from(faces, write_csv):
    path = write_csv({"train": faces["train"][torch.arange(20)]})
    refused(path, str(path), "no validation split, and none can be cut")


def test_missing_test_stays_missing(faces, write_csv, caplog):
    expected = {name: faces[name] for name in ("train", "validation")}
    assert_same(write_csv(expected), expected)
    assert not caplog.messages


# Sources without files


def test_synthetic(monkeypatch):
    for name, size in (("train", 35), ("validation", 14), ("test", 7)):  # its real size takes seconds
        monkeypatch.setitem(synthetic.SPLIT_SIZES, name, size)
    loaded = dataset.load("synthetic")
    assert list(loaded) == ["train", "validation", "test"]
    for name in loaded:
        images, labels = synthetic.draw_split(name)
        decoded = decode(loaded[name], name)
        assert np.array_equal(decoded.images.numpy(), images)
        assert np.array_equal(decoded.labels.numpy(), labels)
        assert loaded[name].features["label"].names == list(EMOTIONS)


@pytest.mark.parametrize("source", ["nobody/no-such-data-set", "data/fer2013"])
@pytest.mark.parametrize("revision", [None, "v1"])
def test_unreachable_hub_id_names_two_ways_on(source, revision, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a checkout may hold data/fer2013
    refused(
        source,
        f"cannot load {source} from the Hub",
        f"{source} is no file or folder",  # a mistyped path looks like a Hub id
        "with a local copy:  --dataset_name PATH/TO/fer2013",
        "with nothing:       --dataset_name synthetic",
        revision=revision,
    )


def test_revision_of_something_local_is_refused(faces, write_csv, tmp_path):
    for source in (write_csv(faces), tmp_path, "synthetic"):
        refused(source, "--dataset_revision", str(source), revision="main")


# Class counts


def test_real_counts_are_the_official_ones(fer2013_path, caplog):
    loaded = dataset.load(fer2013_path)
    assert {name: len(split) for name, split in loaded.items()} == {"train": 28709, "validation": 3589, "test": 3589}
    for name, counts in dataset.OFFICIAL_COUNTS.items():
        assert tuple(dataset.class_counts(loaded[name])) == counts
    assert dataset.deviation_from_official(loaded) is None
    assert dataset.deviation_from_official(datasets.DatasetDict(train=loaded["train"])) is None
    assert not caplog.messages


def test_other_counts_are_shown_beside_the_official_ones(faces, write_csv):
    text = dataset.deviation_from_official(dataset.load(str(write_csv(faces))))
    head, *lines = [line.split() for line in text.splitlines()]
    assert head == [*EMOTIONS, "all"]
    assert lines == [
        ["train", *["8"] * 7, "56"],
        ["official", "3995", "436", "4097", "7215", "4830", "3171", "4965", "28709"],
        ["validation", *["3"] * 7, "21"],
        ["official", "467", "56", "496", "895", "653", "415", "607", "3589"],
        ["test", *["3"] * 7, "21"],
        ["official", "491", "55", "528", "879", "594", "416", "626", "3589"],
    ]


def test_class_counts_has_a_place_for_absent_classes(faces, write_csv):
    few = {**faces, "test": faces["test"][faces["test"].labels < 3]}
    loaded = dataset.load(str(write_csv(few)))
    assert dataset.class_counts(loaded["test"]).tolist() == [3, 3, 3, 0, 0, 0, 0]


# Broken sources


def refused(source, *fragments, revision=None):
    """The source is refused with a message that holds the fragments and can be read: no traceback, no flood."""
    with pytest.raises(UserError) as caught:
        dataset.load(str(source), revision)
    message = str(caught.value)
    for fragment in fragments:
        assert fragment in message
    assert "Traceback" not in message and ".py" not in message and len(message) < 1000
    assert "_row" not in message  # a column of our own


def cell(column, value, row=60):
    """Replaces one cell of fer2013.csv; the row is one of validation by default."""

    def change(lines):
        lines[row][column] = value(lines[row][column]) if callable(value) else value

    return change


EMOTION, PIXELS, USAGE = range(3)


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        (cell(EMOTION, "7"), ["row 60", "label is 7", "0..6"]),
        (cell(EMOTION, "-1"), ["row 60", "label is -1", "0..6"]),
        (cell(EMOTION, "2.5"), ["row 60", "label is 2.5", "0..6"]),
        (cell(EMOTION, "inf"), ["row 60", "label is inf", "0..6"]),
        (cell(EMOTION, ""), ["row 60", "label is None", "0..6"]),
        (cell(EMOTION, "contempt"), ["row 60", "unknown emotion 'contempt'", ", ".join(EMOTIONS)]),
        (cell(EMOTION, "²"), ["row 60", "unknown emotion '²'"]),  # a digit to Python, and no number
        (cell(PIXELS, lambda text: text.rsplit(" ", 1)[0]), ["row 60", "2303 pixels", "2304"]),
        (cell(PIXELS, lambda text: text + " 1"), ["row 60", "2305 pixels", "2304"]),
        (cell(PIXELS, ""), ["row 60", "0 pixels", "2304"]),
        (cell(PIXELS, lambda text: text.replace(" ", " x", 1)), ["row 60", "not whole numbers"]),
        (cell(PIXELS, lambda text: text + " x"), ["row 60", "not whole numbers"]),
        (cell(PIXELS, lambda text: text + ".5"), ["row 60", "not whole numbers"]),
        (cell(PIXELS, lambda text: "256" + text[text.index(" ") :]), ["row 60", "outside 0..255"]),
        (cell(PIXELS, lambda text: "-1" + text[text.index(" ") :]), ["row 60", "outside 0..255"]),
        (cell(PIXELS, lambda text: "9" * 30 + text[text.index(" ") :]), ["row 60", "outside 0..255"]),
        (cell(USAGE, "Holdout"), ["row 60", "unknown split 'Holdout'", "training", "publictest", "privatetest"]),
        (cell(USAGE, lambda text: "1 2 3 " * 1000), ["row 60", "unknown split '1 2 3"]),
        (cell(USAGE, ""), ["row 60", "Usage is empty"]),
        (lambda lines: lines[60].append("1"), ["cannot be read as csv", "line 62"]),  # with the head, counted from 1
        (lambda lines: lines[-1].__setitem__(slice(1, 3), ["1 2 3"]), ["row 97", "Usage is empty", "complete"]),
        (lambda lines: lines.__delitem__(slice(0, 56)), ["no training split", "found validation, test"]),
    ],
)
def test_broken_csv(faces, write_csv, change, fragments):
    path = write_csv(faces)
    head, *lines = (line.split(",") for line in path.read_text().splitlines())
    change(lines)
    path.write_text("\n".join(map(",".join, [head, *lines])) + "\n")
    refused(path, str(path), *fragments)


@pytest.mark.parametrize(
    ("head", "fragments"),
    [
        ("emotion,values,Usage", ["no column of images (image) or pixels", "found emotion, values, Usage"]),
        ("mood,pixels,Usage", ["no column of labels (label, labels, emotion)", "found mood, Usage, image"]),
        ("emotion,pixels, emotion", ["two columns have the same name", "emotion, pixels, emotion"]),
    ],
)
def test_csv_with_other_columns(faces, write_csv, head, fragments):
    path = write_csv(faces)
    path.write_text(path.read_text().replace("emotion,pixels,Usage", head, 1))
    refused(path, str(path), *fragments)


def test_csv_without_usage_is_all_train(plenty, write_csv):
    splits = load_decoded(write_csv(plenty, columns=("emotion", "pixels")))
    assert {name: len(pixels) for name, pixels in splits.items()} == {"train": 126, "validation": 14}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read as csv"),
        (b"emotion,pixels,Usage\n", "cannot be read as csv"),
        (b"PK\x03\x04" + bytes(range(256)) * 4, "cannot be read as csv"),  # the archive under the table's name
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "cannot be read as csv"),
        (b"<html>\n<body>Please sign in</body>\n</html>\n", "no column of images"),
    ],
    ids=["empty", "head only", "zip", "binary", "html"],
)
def test_file_that_is_no_csv(tmp_path, content, reason):
    path = tmp_path / "fer2013.csv"
    path.write_bytes(content)
    refused(path, str(path), reason)


@pytest.mark.parametrize("name", ["fer2013.tar.gz", "train-00000-of-00001.parquet", "README"])
def test_file_of_another_kind(tmp_path, name):
    (tmp_path / name).write_bytes(b"something")
    refused(tmp_path / name, str(tmp_path / name), "fer2013.csv", "folder that holds the parquet files")


@pytest.mark.parametrize("name", ["nothing", "fer2013.csv", "deep/er/train.parquet"])
def test_missing_path(tmp_path, name):
    refused(tmp_path / name, f"no data set at {tmp_path / name}", "synthetic")


def test_missing_relative_csv_is_not_sought_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused("data/fer2013.csv", "no data set at data/fer2013.csv")


def test_folder_with_neither_tables_nor_images(tmp_path):
    (tmp_path / "README").write_text("moved")
    refused(tmp_path, str(tmp_path), "neither parquet files nor folders of images")


def test_folder_with_a_csv_names_it(tmp_path):
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n")
    refused(tmp_path, "neither parquet files nor folders of images", f"give its own path: {tmp_path / 'fer2013.csv'}")


def test_truncated_parquet(faces, write_parquet):
    folder = write_parquet({f"{name}.parquet": pixels for name, pixels in faces.items()})
    whole = (folder / "test.parquet").read_bytes()
    for content in (b"version https://git-lfs.github.com/spec/v1\n", whole[: len(whole) // 2], b""):
        (folder / "test.parquet").write_bytes(content)
        refused(folder, f"{folder}, split test: cannot be read as parquet", "Is the download complete")


@pytest.mark.parametrize(
    ("names", "fragments"),
    [
        (["train", "holdout"], ["holdout.parquet", "unknown split 'holdout'", "Known: train"]),
        (["train", "0000"], ["0000.parquet", "unknown split 'parquet'"]),
        (["validation", "test"], ["no training split", "found test, validation"]),
        (["test"], ["no training split", "found test"]),
    ],
)
def test_parquet_with_other_splits(faces, write_parquet, names, fragments):
    folder = write_parquet({f"{name}.parquet": faces["test"] for name in names})
    refused(folder, str(folder), *fragments)


@pytest.mark.parametrize("empty", ["train", "test"])
def test_parquet_with_an_empty_split(faces, write_parquet, empty):
    folder = write_parquet({f"{name}.parquet": pixels for name, pixels in faces.items()})
    columns = pq.read_table(folder / f"{empty}.parquet")
    pq.write_table(columns.slice(0, 0), folder / f"{empty}.parquet")
    refused(folder, f"{folder}, split {empty}: ", "not empty?")


def replace_column(name, values):
    """Puts raw Arrow values into a parquet file and keeps the feature types it declares."""

    def change(columns):
        place = columns.column_names.index(name)
        return columns.set_column(place, name, values).replace_schema_metadata(columns.schema.metadata)

    return change


OFFICIAL = LABELS["official classes"]


@pytest.mark.parametrize(
    ("labels", "change", "fragments"),
    [
        (NUMBERS, lambda t: t.rename_columns(["image", "mood"]), ["no column of labels", "found image, mood"]),
        (NUMBERS, lambda t: t.drop_columns("image"), ["no column of images", "found label"]),
        (NUMBERS, replace_column("label", pa.array([*[1] * 20, 9])), ["row 20", "label is 9"]),
        (NUMBERS, replace_column("label", pa.array([*[1] * 20, None])), ["row 20", "label is None"]),
        (OFFICIAL, replace_column("label", pa.array([*[1] * 20, 7])), ["row 20", "class 7"]),
        (OFFICIAL, replace_column("label", pa.array([*[1] * 20, -1])), ["row 20", "label is None"]),
        (OFFICIAL, replace_column("label", pa.array([*[1] * 20, None])), ["row 20", "label is None"]),
    ],
    ids=["no labels", "no images", "number 9", "null", "class 7", "class -1", "class null"],
)
def test_broken_parquet(faces, write_parquet, labels, change, fragments):
    folder = write_parquet({f"{name}.parquet": table(faces[name], labels=labels) for name in ("train", "test")})
    file = folder / "test.parquet"
    pq.write_table(change(pq.read_table(file)), file)
    refused(folder, f"{folder}, split test", *fragments)


def test_shards_with_different_columns(faces, write_parquet):
    other = table(faces["test"]).rename_column("label", "mood")
    folder = write_parquet({"train-0.parquet": faces["train"], "train-1.parquet": other})
    refused(folder, str(folder), "column names don't match")


def test_splits_may_have_different_columns(faces, write_parquet):
    extra = table(faces["train"]).add_column("id", [0] * len(faces["train"]))
    expected = {name: faces[name] for name in ("train", "validation")}
    assert_same(write_parquet({"train.parquet": extra, "val.parquet": faces["validation"]}), expected)


@pytest.mark.parametrize(
    ("values", "kind", "fragments"),
    [
        ([[1]] * 21, datasets.Sequence(Value("int64")), ["column 'label' does not hold labels"]),
        ([b"happy"] * 21, Value("binary"), ["row 0", "label is b'happy'"]),
        (["contempt"] * 21, Value("string"), ["row 0", "unknown emotion 'contempt'"]),
        ([0] * 21, ClassLabel(names=["contempt", *EMOTIONS]), ["row 0", "unknown emotion 'contempt'"]),
    ],
    ids=["lists", "bytes", "unknown name", "unknown class"],
)
def test_parquet_labels_of_another_kind(faces, write_parquet, values, kind, fragments):
    labels = iter(values)
    folder = write_parquet({"train.parquet": table(faces["test"], "label", (kind, lambda label: next(labels)))})
    refused(folder, str(folder), *fragments)


def test_parquet_images_of_another_kind(write_parquet):
    folder = write_parquet({"train.parquet": Dataset.from_dict({"image": [1, 2, 3], "label": [1, 2, 3]})})
    refused(folder, str(folder), "column 'image' does not hold images")


def test_two_parts_for_one_split(faces, write_parquet, write_folders, write_csv):
    write_folders(faces["train"], "train", "face")
    folder = write_folders(faces["test"], "training", "face")
    refused(folder, str(folder), "two folders are the train split")
    path = write_csv(faces)
    path.write_text(path.read_text().replace("PrivateTest", "valid"))
    refused(path, str(path), "more than one part is called validation")


@pytest.mark.parametrize("folder", ["train", "."])
def test_unknown_emotion_folder(faces, write_folders, folder):
    root = write_folders(faces["train"], folder, "face")
    (root / folder / "contempt").mkdir()
    refused(root, str(root / folder / "contempt"), "unknown emotion 'contempt'", ", ".join(EMOTIONS))


def test_unknown_split_folder(faces, write_folders):
    root = write_folders(faces["train"], "train", "face")
    (root / "holdout").mkdir()
    refused(root, str(root / "holdout"), "unknown split 'holdout'")


@pytest.mark.parametrize("kind", ["no emotions", "no files", "no images"])
def test_split_folder_without_images(faces, write_folders, kind):
    root = write_folders(faces["train"], "train", "face")
    (root / "test").mkdir()
    if kind != "no emotions":
        (root / "test" / "happy").mkdir()
    if kind == "no images":
        (root / "test" / "happy" / "face.txt").write_text("a face")
    refused(root, str(root), "test split is empty")


def test_files_of_other_formats_and_empty_folders_are_told(faces, write_folders, caplog):
    root = write_folders(faces["train"], "train", "face")
    write_folders(faces["validation"], "validation", "face")
    for name in ("a.heic", "b.avif"):
        (root / "train" / "sad" / name).write_bytes(b"pixels in another format")
    (root / "validation" / "happiness").mkdir()
    loaded = dataset.load(str(root))
    assert len(loaded["train"]) == len(faces["train"])
    assert f"{root / 'train' / 'sad'}: a.heic, the first of 2 that are not images (.bmp " in caplog.text
    assert f"{root / 'validation' / 'happiness'} holds no images" in caplog.text and len(caplog.messages) == 2


def test_undecodable_image_in_a_folder_is_named(faces, write_folders):
    root = write_folders(faces["train"], "train", "face")
    root = write_folders(faces["validation"], "validation", "face")
    broken = sorted((root / "validation" / "angry").iterdir())[1]
    buffer = io.BytesIO()
    Image.fromarray(faces["train"].images[0].numpy()).save(buffer, "png")
    broken.write_bytes(buffer.getvalue()[:500])
    split = dataset.load(str(root))["validation"]
    with pytest.raises(UserError) as caught:
        decode(split, f"{root}, split validation")
    assert str(caught.value).startswith(f"{root}, split validation, row 1 ({broken}): not a readable image")


def test_undecodable_image_in_a_table_is_named(faces, write_parquet):
    rows = [{"bytes": png(image.numpy()), "path": None} for image in faces["train"].images]
    rows[33]["bytes"] = rows[33]["bytes"][:500]
    broken = Dataset.from_dict(
        {"image": rows, "label": faces["train"].labels.tolist()}, features=table(faces["train"]).features
    )
    folder = write_parquet({"train.parquet": broken, "val.parquet": faces["validation"]})
    with pytest.raises(UserError, match="split train, row 33: not a readable image"):
        decode(dataset.load(str(folder))["train"], f"{folder}, split train")

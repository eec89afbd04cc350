"""Any source of data -> a private data set repository of the Hub: parquet files, and a card of what is there."""

import io
import re
import shlex

import datasets
import numpy as np
import yaml
from datasets import Dataset, DatasetDict

from fer_hub import __version__, images
from fer_hub.data import dataset, duplicates, sources
from fer_hub.data.pixels import decode
from fer_hub.hub import push
from fer_hub.labels import EMOTIONS

FILE = "data/{split}-00000-of-00001.parquet"
SIZES = (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000), ("100K<n<1M", 1_000_000))

DRAWN = """\
Drawn faces: a program drew them (`fer_hub/data/synthetic.py`), no person is shown. They are for trying out programs;
results on them say nothing about real faces. They are under the licence of that program, Apache-2.0.
"""
OFFICIAL = """\
FER2013: faces that P.-L. Carrier and A. Courville collected from the web with an image search for a contest in 2013,
with the labels as published (I. Goodfellow et al., *Challenges in Representation Learning: A Report on Three Machine
Learning Contests*, 2013). `validation` is the contest's PublicTest, `test` its PrivateTest. The counts of images by
split and class are the official ones. The labels are noisy, and an expression is not an emotion: they tell what faces
show to people who looked at them, not what the persons felt.

**Licence: unclear.** The pictures came without one, from pages of which nothing is recorded, and the persons shown were
not asked. Therefore this repository is private, for the use of its owner: keep it so.
"""
OTHER = """\
Where the images come from is not recorded. The counts of images by split and class are not those of the official
FER2013. An expression is not an emotion: labels tell what faces show, not what the persons felt.

**Licence: unclear.** Under which terms the images stand is not recorded either. Therefore this repository is private,
for the use of its owner: keep it so unless you know that you may pass the images on.
"""
CARD = """\
---
{metadata}---

# {name}

{origin}
## Splits and classes

{counts}

A row has `image`, stored as PNG ({shape}), and `label`, in the order of this table: angry is 0. The pixels are those of
the source; metadata of its picture files was left behind.

## Exact copies

{copies}

## Use

```python
import datasets

data = datasets.load_dataset("{repo_id}")  # with a login that may read it
```

```bash
accelerate launch --quiet train.py --dataset_name {repo_id}
```

Written by `fer-hub push-dataset`, FER Hub {version}.
"""


def push_dataset(source: str, repo_id: str, dry_run: bool = False) -> push.Push:
    """Copies a data set to the Hub, in one commit; the repository is private.

    Args:
        source: anything that `dataset.load` opens.
        repo_id: `user/name`; created where it does not exist, and refused where it is public.
        dry_run: say what would be done and write nothing.

    Raises:
        UserError: the source is no data set, or the Hub refuses this user or name.
        HubError: the Hub could not take it now; the message says what is there.
    """
    push.require_login(repo_id)  # before the minute that a large source takes
    return push.push_files(
        files(dataset.load(source), source, repo_id),
        repo_id,
        message=f"Data set, FER Hub {__version__}",
        owned=lambda path: (
            path == "README.md" or bool(re.fullmatch(FILE.format(split="(train|validation|test)"), path))
        ),
        retry=shlex.join(["fer-hub", "push-dataset", source, "--repo_id", repo_id]),
        repo_type="dataset",
        private=True,
        dry_run=dry_run,
    )


def files(splits: DatasetDict, source: str, repo_id: str) -> dict[str, bytes]:
    """The files of a data set repository; equal data gives equal bytes.

    Args:
        splits: as `dataset.load` gives them.
        source: what they were loaded from; not published, it may be a path.
        repo_id: `user/name`, for the card's lines.

    Returns:
        The files' bytes by path.

    Raises:
        UserError: an image cannot be decoded.
    """
    # First as tensors: this names the row of a damaged picture, and copies are told by what networks see.
    counts = duplicates.report({name: decode(split, f"{source}, split {name}") for name, split in splits.items()})
    content, shapes = {}, set()
    for name, split in splits.items():
        encoded = []
        for item in split.cast_column("image", datasets.Image(decode=False))["image"]:
            picture = images.read(item["path"] if item["bytes"] is None else item["bytes"])
            shapes.add((*picture.size, picture.mode))
            encoded.append({"bytes": sources.png(np.asarray(picture)), "path": None})
        table = Dataset.from_dict({"image": encoded, "label": split["label"][:]}, features=sources.features())
        buffer = io.BytesIO()
        table.to_parquet(buffer)
        content[FILE.format(split=name)] = buffer.getvalue()
    return {"README.md": _card(splits, source, repo_id, counts, shapes).encode(), **content}


def _card(splits: DatasetDict, source: str, repo_id: str, counts: dict[str, int], shapes: set[tuple]) -> str:
    name, origin, licence = "Facial expressions", OTHER, {"license": "other", "license_name": "unclear"}
    if source == "synthetic":
        name, origin, licence = "Drawn faces of FER Hub", DRAWN, {"license": "apache-2.0"}
    elif dataset.deviation_from_official(splits) is None:
        name, origin = "FER2013", OFFICIAL
    total = sum(map(len, splits.values()))
    classes = {str(label): emotion for label, emotion in enumerate(EMOTIONS)}
    metadata = {
        "pretty_name": name,
        **licence,
        "task_categories": ["image-classification"],
        "size_categories": [next((size for size, limit in SIZES if total < limit), "n>1M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": FILE.format(split=split)} for split in splits],
            }
        ],
        "dataset_info": {
            "features": [
                {"name": "image", "dtype": "image"},
                {"name": "label", "dtype": {"class_label": {"names": classes}}},
            ],
            "splits": [{"name": split, "num_examples": len(rows)} for split, rows in splits.items()],
        },
    }
    return CARD.format(
        metadata=yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True),
        name=name,
        origin=origin,
        counts=_table_of_classes(splits),
        shape=_words_for(shapes),
        copies=_list_of_copies(counts),
        repo_id=repo_id,
        version=__version__,
    )


def _table_of_classes(splits: DatasetDict) -> str:
    rows = [["split", *EMOTIONS, "all"], ["---", *["---:"] * (len(EMOTIONS) + 1)]]
    for name, split in splits.items():
        rows.append([name, *(f"{count:,}" for count in dataset.class_counts(split)), f"{len(split):,}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _words_for(shapes: set[tuple]) -> str:
    sizes = {f"{width}x{height}" for width, height, _ in shapes}
    colours = sorted({"gray" if mode == "L" else "colour" for *_, mode in shapes}, reverse=True)
    return f"{sizes.pop() if len(sizes) == 1 else 'of different sizes'}, {' and '.join(colours)}"


def _list_of_copies(counts: dict[str, int]) -> str:
    also = [f"{name.removesuffix('_also_in_train')}: {count:,}" for name, count in counts.items() if "also_in" in name]
    lines = [
        f"{counts['extra_copies']:,} images are copies of an earlier one, pixel by pixel, at 48x48 gray.",
        f"{counts['groups_across_splits']:,} groups of copies stand in more than one split. Images that are also in "
        f"train: {', '.join(also)}.",
        f"{counts['groups_with_contradictory_labels']:,} groups of copies have different labels.",
        f"{counts['blank']:,} images are blank.",
    ]
    return "\n".join(f"- {line}" for line in lines)

"""Shared fixtures. All Hugging Face caches are a folder of this session, and nothing reaches the network."""

import os
import shutil
import tempfile

import numpy as np
import pytest

# Here and not in a fixture: test modules import `datasets`, which reads these once, while pytest collects them.
CACHE = tempfile.mkdtemp(prefix="fer-hub-cache-")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HOME"] = CACHE
os.environ["HF_HUB_CACHE"] = os.path.join(CACHE, "hub")
os.environ["HF_DATASETS_CACHE"] = os.path.join(CACHE, "datasets")

USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


def pytest_unconfigure():
    shutil.rmtree(CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def fer2013_path():
    """The folder of the real FER2013 parquet files."""
    path = os.environ.get("FER2013_PATH")
    if not path:
        pytest.skip("FER2013_PATH is unset: it names the folder of the real FER2013 parquet files")
    return path


@pytest.fixture(scope="session")
def faces():
    """Random pictures, as `Pixels` by split: 8 of each class in train, 3 in the others; the labels are shuffled."""
    import torch

    from fer_hub.pixels import Pixels

    rng = np.random.default_rng(0)
    splits = {}
    for name, per_class in (("train", 8), ("validation", 3), ("test", 3)):
        labels = rng.permutation(np.repeat(np.arange(7), per_class))
        images = rng.integers(0, 256, (len(labels), 48, 48), dtype=np.uint8)
        splits[name] = Pixels(torch.from_numpy(images), torch.from_numpy(labels))
    return splits


@pytest.fixture
def write_csv(tmp_path):
    """Writes splits in the form of fer2013.csv; `columns` may rename and reorder emotion, pixels and Usage."""

    def write(splits, columns=("emotion", "pixels", "Usage"), name="fer2013.csv"):
        lines = [",".join(columns)]
        for split, pixels in splits.items():
            for image, label in zip(pixels.images, pixels.labels, strict=True):
                values = {
                    "emotion": str(int(label)),
                    "pixels": " ".join(map(str, image.flatten().tolist())),
                    "Usage": USAGES[split],
                }
                lines.append(",".join(values[column.strip()] for column in columns))
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write

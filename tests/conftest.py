"""Shared fixtures. All Hugging Face caches are one folder of this session, and nothing reaches the network."""

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

# Here and not in a fixture: test modules import `datasets`, which reads these once, while pytest collects them.
# The workers of pytest-xdist share the folder of the process that started them: what one decoded, the other reads.
WORKER = "PYTEST_XDIST_WORKER" in os.environ
CACHE = os.environ["HF_HOME"] if WORKER else tempfile.mkdtemp(prefix="fer-hub-cache-")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HOME"] = CACHE
os.environ["HF_HUB_CACHE"] = os.path.join(CACHE, "hub")
os.environ["HF_DATASETS_CACHE"] = os.path.join(CACHE, "datasets")

USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


def pytest_unconfigure():
    if not WORKER:
        shutil.rmtree(CACHE, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Of this process, beside which another worker runs; the programs that tests start choose for themselves."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def fer2013_path():
    """The folder of the real FER2013 parquet files."""
    path = os.environ.get("FER2013_PATH")
    if not path:
        pytest.skip("FER2013_PATH is unset: it names the folder of the real FER2013 parquet files")
    return path


@pytest.fixture(scope="session")
def ferplus_path(fer2013_path):
    """The votes of FER+, fer2013new.csv: FERPLUS_PATH, or in the folder ferplus beside FER2013's."""
    path = Path(os.environ.get("FERPLUS_PATH", Path(fer2013_path).parent / "ferplus" / "fer2013new.csv"))
    if not path.is_file():
        pytest.skip(f"no votes of FER+ at {path}: FERPLUS_PATH names the file fer2013new.csv")
    return path


@pytest.fixture(scope="session")
def faces():
    """Random pictures, as `Pixels` by split: 8 of each class in train, 3 in the others; the labels are shuffled."""
    import torch

    from fer_hub.data.pixels import Pixels

    rng = np.random.default_rng(0)
    splits = {}
    for name, per_class in (("train", 8), ("validation", 3), ("test", 3)):
        labels = rng.permutation(np.repeat(np.arange(7), per_class))
        images = rng.integers(0, 256, (len(labels), 48, 48), dtype=np.uint8)
        splits[name] = Pixels(torch.from_numpy(images), torch.from_numpy(labels))
    return splits


@pytest.fixture(scope="session")
def drawn_faces():
    """The drawn faces of the validation split, and their labels."""
    from fer_hub.data import synthetic

    return synthetic.draw_split("validation")


@pytest.fixture
def hub():
    """A small Hugging Face Hub."""
    import hub_server

    with hub_server.run(tokens={"hf_write": "write", "hf_read": "read"}) as hub:
        yield hub


@pytest.fixture
def online(hub, monkeypatch):
    """This process may reach the server, logged in. Nothing is waited for; our own waits are noted."""
    from huggingface_hub import constants

    waits = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    files = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + files)
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    monkeypatch.setattr("fer_hub.hub.push.time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client's own
    return waits


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

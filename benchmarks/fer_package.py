"""Predictions of the PyPI package `fer` (mini-XCEPTION, TensorFlow) on FER2013, as a CSV for fer-hub compare.

It runs in an environment of its own, and needs FER2013 as parquet files:

python3 -m venv peers && peers/bin/pip install tensorflow h5py pillow pyarrow && peers/bin/pip install --no-deps fer
peers/bin/python benchmarks/fer_package.py --parquet data/fer2013/test-*.parquet --output fer.csv
fer-hub compare paper-cnn fer.csv --dataset_name data/fer2013
"""

import argparse
import csv
import importlib.util
import io
from pathlib import Path

import keras
import numpy as np
import pyarrow.parquet
from PIL import Image

# The order of the network's outputs, as the package's own detector names them.
NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIDE = 64  # pixels of its input

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--parquet", required=True)
parser.add_argument("--output", required=True)
given = parser.parse_args()

table = pyarrow.parquet.read_table(given.parquet)
faces = [Image.open(io.BytesIO(image["bytes"])).convert("L") for image in table["image"].to_pylist()]
pixels = np.stack([np.asarray(face.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32) for face in faces])
weights = Path(importlib.util.find_spec("fer").origin).parent / "data" / "emotion_model.hdf5"  # its code needs more
network = keras.models.load_model(weights, compile=False)
probabilities = network.predict((pixels / 127.5 - 1)[..., None], batch_size=64, verbose=0)

with open(given.output, "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(["row", "label", *NAMES])
    for row, (label, values) in enumerate(zip(table["label"].to_pylist(), probabilities.tolist(), strict=True)):
        writer.writerow([row, NAMES[label], *values])
print(f"accuracy {np.mean(probabilities.argmax(1) == np.array(table['label'].to_pylist())):.4f}, n {len(table):,}")

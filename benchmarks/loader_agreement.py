"""How far timm and the pipeline of transformers are from `FERModel.predict`, on gray faces and on pictures in colour.

python benchmarks/loader_agreement.py --dataset_name data/fer2013
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from transformers import pipeline

sys.path.insert(0, str(Path(__file__).parent.parent))  # the checkout need not be installed

from fer_hub import FERModel, images
from fer_hub.data import dataset


def coloured(face):
    """Enlarged to 150x130 and tinted, so that the luma is none of the channels."""
    large = np.asarray(face.resize((150, 130), Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray((large[:, :, None] * [1.0, 0.8, 0.65]).round().astype(np.uint8))


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset_name", required=True)
parser.add_argument("--model", default="paper-cnn")
parser.add_argument("--faces", type=int, default=400)
given = parser.parse_args()

model = FERModel.from_pretrained(given.model)
stored = dataset.load(given.dataset_name)["test"][: given.faces]["image"]
faces = [images.read(image["bytes"] or image["path"]) for image in stored]
network = timm.create_model(f"local-dir:{model.folder}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
mode = "L" if model.in_chans == 1 else "RGB"
classify = pipeline("image-classification", str(model.folder))

for name, pictures in (("48x48 gray", faces), ("150x130 colour", [coloured(face) for face in faces])):
    ours = np.array([list(one.values()) for one in model.predict(pictures)])
    with torch.inference_mode():
        by_timm = network(torch.stack([transform(picture.convert(mode)) for picture in pictures])).softmax(1).numpy()
    scores = [{one["label"]: one["score"] for one in found} for found in classify(pictures, top_k=ours.shape[1])]
    by_pipeline = np.array([[found[label] for label in model.label_names] for found in scores])
    for loader, theirs in (("timm", by_timm), ("pipeline", by_pipeline)):
        differ = int((ours.argmax(1) != theirs.argmax(1)).sum())
        print(f"{name:15} {loader:9} largest difference {np.abs(ours - theirs).max():.1e}, "
              f"{differ} of {len(ours)} first choices differ")  # fmt: skip

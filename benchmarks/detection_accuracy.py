"""What finding and cutting out a face costs: each face of a split is pasted into a picture, found again and classified.

    python benchmarks/detection_accuracy.py --dataset_name data/fer2013

The accuracy of the crops that the detector leads to is compared with that of the given crops, face by face. Each face
is enlarged (bicubic) to a random side of 60 to 219 pixels, at a random place of a gray 640x480 picture with a smooth
random background. Such pictures are harder to search than photos: what FER2013 frames is all there is of the head, and
blurred noise looks like large faces here and there. They depend on the split's order alone.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))  # the checkout need not be installed

from fer_hub import FERModel, images
from fer_hub.data import dataset
from fer_hub.hub.locate import DEFAULT_MODEL
from fer_hub.recognition.detector import Detection, RetinaFace, crop

WIDTH, HEIGHT = 640, 480


def paste(face: Image.Image, random: np.random.Generator) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """The face somewhere in a picture, mode L; and where: left, top, right, bottom."""
    side, seed = int(random.integers(60, 220)), int(random.integers(1 << 30))
    left, top = int(random.integers(0, WIDTH - side)), int(random.integers(0, HEIGHT - side))
    noise = np.random.default_rng(seed).integers(60, 190, (12, 16), dtype=np.uint8)
    scene = Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    scene.paste(face.resize((side, side), Image.Resampling.BICUBIC), (left, top))
    return scene, (left, top, left + side, top + side)


def on_the_face(found: Detection, place: tuple[int, int, int, int]) -> bool:
    left, top, right, bottom = found.box
    return place[0] <= (left + right) / 2 < place[2] and place[1] <= (top + bottom) / 2 < place[3]


def first_choices(model: FERModel, crops: list) -> np.ndarray:
    return np.array([max(one, key=one.get) for one in model.predict(crops)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_name", required=True)
    parser.add_argument("--split", default="validation", help="default: validation; look at test once, at the end")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()

    model, detector = FERModel.from_pretrained(arguments.model), RetinaFace()
    split = dataset.load(arguments.dataset_name)[arguments.split]
    names = split.features["label"].names
    labels = np.array([names[label] for label in split["label"]])
    random = np.random.default_rng(0)
    given, crops, elsewhere = [], {}, 0
    for row, stored in enumerate(tqdm(split["image"], unit="face")):
        face = images.read(stored["bytes"] or stored["path"]).convert("L")
        given.append(face)
        scene, place = paste(face, random)
        detections = detector(scene.convert("RGB"))
        hits = [found for found in detections if on_the_face(found, place)]
        elsewhere += len(detections) - len(hits)
        if hits:
            crops[row] = crop(scene, hits[0])

    found = np.array(list(crops))
    if not len(found):
        sys.exit("no face was found.")
    of_given, of_found = first_choices(model, given), first_choices(model, list(crops.values()))
    right = of_given == labels
    difference = 100 * ((of_found == labels[found]).astype(float) - right[found])  # points
    margin = 1.96 * difference.std(ddof=1) / math.sqrt(len(found)) if len(found) > 1 else math.nan
    print(f"{arguments.model}, {arguments.dataset_name}, {arguments.split}")
    print(f"faces                                   {len(labels):,}")
    print(f"found                                   {len(found) / len(labels):.1%}")
    print(f"detections that are on no face          {elsewhere:,}")
    print(f"accuracy, given crops, all faces        {right.mean():.1%}")
    print(f"accuracy, given crops, faces found      {right[found].mean():.1%}")
    print(f"accuracy, detect and crop, faces found  {(of_found == labels[found]).mean():.1%}")
    print(f"difference, 95 % interval (paired)      {difference.mean():+.2f} ± {margin:.2f} points")
    print(f"equal first choices, faces found        {(of_found == of_given[found]).mean():.1%}")


if __name__ == "__main__":
    main()

"""How faithful heat maps are: what covering their hottest and their coldest place takes from the class's logit.

python benchmarks/heat_maps.py --dataset_name data/fer2013
"""

import argparse
import sys
from pathlib import Path

import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from torch.nn import functional as F
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))  # the checkout need not be installed

from fer_hub import FERModel
from fer_hub.data import dataset, pixels
from fer_hub.hub.locate import DEFAULT_MODEL
from fer_hub.recognition import explain

SIDE, STEP = 12, 4  # pixels of the square that covers, and between its places


def covered(images, place):
    """The images with the squares numbered `place` filled with each image's mean gray."""
    across = (48 - SIDE) // STEP + 1
    top, left = place // across * STEP, place % across * STEP
    at = torch.arange(48)
    rows, columns = ((at >= start[:, None]) & (at < start[:, None] + SIDE) for start in (top, left))
    gray = images.float().mean((1, 2)).to(torch.uint8)
    return torch.where(rows[:, :, None] & columns[:, None, :], gray[:, None, None], images)


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--dataset_name", required=True)
parser.add_argument("--split", default="validation")
parser.add_argument("--model", default=DEFAULT_MODEL)
given = parser.parse_args()

model = FERModel.from_pretrained(given.model)
images = pixels.decode(dataset.load(given.dataset_name)[given.split], given.split).images
layer = explain._last_map(model, torch.zeros(1, model.in_chans, 48, 48))
grad_cam, hires_cam = LayerGradCam(model, layer), LayerGradientXActivation(model, layer)
chance = torch.Generator().manual_seed(0)
drops = {"HiResCAM": [], "Grad-CAM": [], "chance": []}
for batch in tqdm(images.split(64), unit="batch", leave=False, disable=None):
    with torch.no_grad():
        logits = model(batch)
    target = logits.argmax(1)
    maps = {
        "HiResCAM": hires_cam.attribute(batch, target=target).detach().sum(1, keepdim=True).relu(),
        "Grad-CAM": grad_cam.attribute(batch, target=target, relu_attributions=True).detach(),
        "chance": torch.rand(len(batch), 1, 48, 48, generator=chance),
    }
    for name, cells in maps.items():
        heat = torch.stack([explain._over_crop(one[None], model.network) for one in cells])
        heat = heat if name != "chance" else cells[:, 0]
        heat = F.avg_pool2d(heat[:, None], SIDE, STEP).flatten(1)
        cold = heat + (heat == heat.amin(1, keepdim=True)) * -torch.rand(heat.shape, generator=chance)  # ties by chance
        with torch.no_grad():
            row = torch.arange(len(batch))
            after = [model(covered(batch, place))[row, target] for place in (heat.argmax(1), cold.argmin(1))]
        drops[name].append(torch.stack([logits[row, target] - value for value in after], 1))

print(f"n {len(images):,}, a square of {SIDE} pixels covered; drop of the logit of the first choice")
for name, parts in drops.items():
    hot, cold = torch.cat(parts).double().T
    print(
        f"{name:9} hottest place {hot.mean():5.2f}  coldest {cold.mean():5.2f}  hottest takes more for "
        f"{100 * (hot > cold).double().mean():.0f} % of the faces"
    )

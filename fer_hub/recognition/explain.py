"""Where a network looks: a heat map over the crop, as a picture and in words.

HiResCAM (Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
networks") multiplies a late feature map, cell by cell, with the gradient of the class's logit, adds the channels up and
keeps what is positive: what speaks for the class. It says nothing about what speaks against it.

Where a network averages its last map, this is Grad-CAM (Selvaraju et al. 2017). The paper's CNN has a dense layer
there, which weights each cell by itself, while Grad-CAM has one weight for all cells of a channel: on PublicTest,
covering the hottest place takes more from the logit than covering the coldest for 86 % of the faces with HiResCAM, for
62 % with Grad-CAM and for 50 % by chance (`python benchmarks/heat_maps.py --dataset_name data/fer2013`).
"""

import copy

import matplotlib
import numpy as np
import torch
from captum.attr import LayerGradientXActivation
from PIL import Image
from torch import nn
from torch.nn import functional as F

from fer_hub.errors import UserError
from fer_hub.images import FILTER, SIZE
from fer_hub.models.model import FERModel
from fer_hub.models.paper_cnn import PaperCNN
from fer_hub.models.vgg import VGG

COLORMAP = "inferno"  # lightness rises from end to end: it also reads without colour
ROWS = {"upper": "forehead and brows", "middle": "eyes, nose and cheeks", "lower": "mouth and chin"}
COLUMNS = ("left", "centre", "right")


def heat_map(model: FERModel, square: np.ndarray, label: str | None = None) -> np.ndarray:
    """What in a crop speaks for a class, seen from the network's last feature map (`_last_map`).

    The map is coarse: 8x8 cells for the paper's CNN, 2x2 or 3x3 for networks that halve 48x48 four or five times.

    The model is left as it is, and several threads may explain the same model at once.

    Args:
        model: of a convolutional network, in any mode; it is explained in eval mode.
        square: uint8 (48, 48), 0-255, gray, as from `images.to_gray_square`.
        label: the class to explain; default: the most probable one.

    Returns:
        float32 (48, 48), 0..1; the hottest pixel is 1. All zero where no cell of the map speaks for the class.

    Raises:
        UserError: a picture of another shape or type, an unknown label, or a network without a feature map.
    """
    if square.shape != (SIZE, SIZE) or square.dtype != np.uint8:
        raise UserError(
            f"a crop to explain is uint8 ({SIZE}, {SIZE}), this one is {square.dtype} {square.shape}: "
            "fer_hub.images.to_gray_square(picture) makes one."
        )
    if label is not None and label not in model.label_names:
        raise UserError(f"label {label!r} is none of the model's: {', '.join(model.label_names)}.")
    own = _with_shared_weights(model).eval()
    weights = next(own.parameters())
    device = weights.device
    with torch.inference_mode(False), torch.enable_grad():
        images = torch.tensor(square, device=device)[None]
        target = model.label_names.index(label) if label is not None else int(own(images).argmax())
        layer = _last_map(own, torch.zeros(1, own.in_chans, SIZE, SIZE, device=device, dtype=weights.dtype))
        cells = LayerGradientXActivation(own, layer).attribute(images, target=target).sum(1, keepdim=True).relu()
        heat = _over_crop(cells.detach().float(), own.network)
    return (heat / heat.max() if heat.any() else heat).cpu().numpy()


def overlay(square: np.ndarray, heat: np.ndarray, size: int = 192) -> Image.Image:
    """The crop under its heat, half and half.

    Cold is dark and hot is light, in the colour map inferno: the difference also shows without colour vision.

    Args:
        square: uint8 (48, 48), 0-255.
        heat: float (48, 48), 0..1, as from `heat_map`.
        size: side of the picture in pixels.

    Returns:
        RGB, (size, size).
    """
    gray = np.asarray(Image.fromarray(square).resize((size, size), FILTER), np.float32)[..., None]
    large = np.asarray(Image.fromarray(heat.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR))
    colors = matplotlib.colormaps[COLORMAP](large)[..., :3] * 255
    return Image.fromarray(np.rint((gray + colors) / 2).astype(np.uint8))


def describe(heat: np.ndarray) -> str:
    """A heat map in words, for people who do not see the picture.

    The names of parts of the face hold for an upright, closely cut face, as in FER2013's mean face.

    Args:
        heat: float (48, 48), 0 or more, as from `heat_map`.

    Returns:
        The thirds of the crop with more than half of the heat, and the shares of all of them, rounded. Left and right
        are those of the picture.
    """
    total = heat.sum(dtype=np.float64)
    if total == 0:
        return "No heat: nothing that the map can show speaks for this class."
    third = SIZE // 3
    blocks = heat.reshape(3, third, 3, third).sum(axis=(1, 3), dtype=np.float64) / total
    rows = dict(zip(ROWS, blocks.sum(1), strict=True))
    columns = dict(zip(COLUMNS, blocks.sum(0), strict=True))
    places = [f"the {name} third ({ROWS[name]})" for name, share in rows.items() if share > 0.5]
    places += [f"the {name} third" for name, share in columns.items() if share > 0.5]
    lead = f"Mostly {' and '.join(places)}" if places else "Spread over the crop"
    numbers = "; ".join(", ".join(f"{name} {share:.0%}" for name, share in part.items()) for part in (rows, columns))
    return f"{lead}. Heat by thirds: {numbers}."


def _with_shared_weights(model: FERModel) -> FERModel:
    """A copy with modules of its own over the same tensors.

    captum hooks the layer that it explains: on one network the hooks of two threads would meet. The copy takes about a
    millisecond and no memory to speak of, where a lock would make visitors wait for each other.
    """
    kept = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}  # deepcopy leaves these as is
    return copy.deepcopy(model, kept)


def _last_map(model: FERModel, blank: torch.Tensor) -> nn.Module:
    """The layer that is explained: the last one with the network's smallest map of more than one cell.

    Maps shrink towards the head, so this is the last feature map of use, found in one forward pass. "Smallest" keeps
    attention matrices out, which are square too and larger. Of nested modules that end together it is the outermost.

    Raises:
        UserError: the network hands on tokens or channels-last maps (transformers, mixers), or only one cell.
    """
    outputs = {}

    def note(module: nn.Module, _, output: object) -> None:
        outputs.pop(module, None)  # a module that runs again moves to the end: captum explains its last run
        outputs[module] = output.shape if isinstance(output, torch.Tensor) else ()

    hooks = [module.register_forward_hook(note) for module in model.network.modules()]
    with torch.no_grad():
        features = model.network.forward_features(blank)
    for hook in hooks:
        hook.remove()
    maps = [module for module, shape in outputs.items() if len(shape) == 4 and shape[2] == shape[3] > 1]
    if not maps or features.ndim != 4 or features.shape[2] != features.shape[3]:
        raise UserError(
            f"{model.architecture} has no feature map (channels, height, width) that a heat map could show. "
            "Explain a convolutional network, such as fer_paper_cnn or resnet18."
        )
    smallest = min(outputs[module][2] for module in maps)
    return [module for module in maps if outputs[module][2] == smallest][-1]


def _over_crop(cells: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """A map, float (1, 1, h, h) -> float (48, 48), bilinear, each cell where it looks."""
    if isinstance(network, VGG) and network.center:  # the rest of the crop is not looked at
        before = (SIZE - network.center) // 2
        after = SIZE - network.center - before
        middle = F.interpolate(cells, (network.center, network.center), mode="bilinear")
        return F.pad(middle, (before, after, before, after))[0, 0]
    if not isinstance(network, PaperCNN):
        return F.interpolate(cells, (SIZE, SIZE), mode="bilinear")[0, 0]
    # Convolutions without padding leave out the border: the middles of conv3's 8 cells are at the pixels 8.5, 12.5,
    # ..., 36.5. Stretched over all 48, as is usual, the outer ones would be drawn up to 8 pixels off.
    with_border = F.pad(cells, (2, 3, 2, 3))
    return F.interpolate(with_border, (52, 52), mode="bilinear")[0, 0, 1:49, 1:49]

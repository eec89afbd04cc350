"""A picture -> its faces, each with the probabilities of its expressions."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fer_hub import images
from fer_hub.errors import UserError
from fer_hub.hub.locate import DEFAULT_MODEL
from fer_hub.models.model import FERModel
from fer_hub.recognition import drawing
from fer_hub.recognition.detector import Detection, Detector, RetinaFace
from fer_hub.recognition.detector import crop as cut_out
from fer_hub.recognition.face import Face

if TYPE_CHECKING:
    from fer_hub.recognition.video import Clip


class EmotionRecognizer:
    """Finds faces and tells their expressions.

    Args:
        model: classifies the crops.
        detector: finds the faces; default: `RetinaFace()`.
    """

    def __init__(self, model: FERModel, detector: Detector | None = None):
        self.model = model
        self.detector = detector or RetinaFace()

    @classmethod
    def from_pretrained(
        cls, name: str | Path = DEFAULT_MODEL, detector: Detector | None = None, **options
    ) -> "EmotionRecognizer":
        """Opens a model and joins it with a detector.

        Args:
            name: a shipped name, an existing folder or a Hub id (`user/name`); default: fer-small.
            detector: as for the class.
            **options: revision, token, cache_dir and local_files_only, as `FERModel.from_pretrained` takes them.

        Raises:
            UserError: nothing is there, or it is not a complete model.
        """
        return cls(FERModel.from_pretrained(name, **options), detector)

    def __call__(
        self,
        pictures: object,
        *,
        boxes: Sequence | None = None,
        crop: bool = False,
        channel_order: str = "rgb",
    ) -> list[Face] | list[list[Face]]:
        """The faces of one picture or of several.

        Args:
            pictures: one picture as `images.read` takes it, or several as `images.each` does. Several are read one by
                one, and all their faces are classified together.
            boxes: faces that are known already, (left, top, right, bottom) in pixels of the upright picture; the
                detector is not asked. For several pictures a list of boxes each. They should be a face detector's: the
                model sees the square with the longer side and the centre of each.
            crop: each picture is one face already, cut closely; it becomes one result, as by `FERModel.predict`.
            channel_order: of arrays and tensors in colour: "rgb", or "bgr" as OpenCV has them.

        Returns:
            The faces, best detection first or in the order of `boxes`; an empty list where there is none. For several
            pictures a list of them for each picture.

        Raises:
            UserError: something is not a picture, or a box is not one of it; the message says which.
        """
        if crop and boxes is not None:
            raise UserError(
                "crop=True says that the picture is one face, boxes= where the faces are: give one of them."
            )
        many = images.are_many(pictures)
        looked = []  # a picture's faces with their crops; the picture itself is not kept
        for number, picture in enumerate(images.each(pictures)):
            try:
                known = _of_picture(number, boxes) if many and boxes is not None else boxes
                looked.append(self._look(images.read(picture, channel_order), known, crop))
            except UserError as error:
                raise UserError(f"picture {number} (from 0): {error}" if many else str(error)) from error
        if many and boxes is not None and len(boxes) != len(looked):
            raise UserError(f"boxes= has {len(boxes)} lists for {len(looked)} pictures.")
        results = self._classified(looked)
        return results if many else results[0]

    def draw(self, picture: object, faces: Sequence[Face], channel_order: str = "rgb") -> Image.Image:
        """The picture with each face's box, expression and probability.

        Args:
            picture: one picture as `images.read` takes it.
            faces: what was found in it.
            channel_order: of an array or tensor in colour.

        Returns:
            A new picture, mode RGB, upright.
        """
        return drawing.draw(images.read(picture, channel_order), faces, self.model.label_names)

    def video(self, path: str | Path, **options) -> "Clip":
        """The faces of a video over time, tracked and smoothed: `for frame in recognizer.video("talk.mp4")`.

        Args:
            path: a video file.
            **options: every, half_life, progress and annotated, as `video.Clip` takes them.

        Returns:
            An iterable of `video.Frame`; its `problem` tells what could not be read.

        Raises:
            UserError: as `video.Clip`.
        """
        from fer_hub.recognition.video import Clip  # brings PyAV, which photos do not need

        return Clip(self, path, **options)

    def _look(self, picture: Image.Image, boxes: Sequence | None, is_crop: bool) -> list[tuple[Detection, np.ndarray]]:
        if is_crop:
            return [(Detection((0, 0, *picture.size)), images.to_gray_square(picture))]
        if boxes is None:
            faces = self.detector(picture.convert("RGB"))
        elif isinstance(boxes, Iterable):
            faces = [_given(box, picture.size) for box in boxes]
        else:
            raise UserError(f"boxes={boxes!r} is not a list of (left, top, right, bottom).")
        return [(_within(face, picture.size), cut_out(picture, face)) for face in faces]

    def _classified(self, looked: list[list[tuple[Detection, np.ndarray]]]) -> list[list[Face]]:
        crops = [crop for faces in looked for _, crop in faces]
        probabilities = iter(self.model.predict(crops))
        threshold = self.model.abstention_threshold or 0.0
        results = []
        for faces in looked:
            results.append([])
            for detection, crop in faces:
                shown = next(probabilities)
                uncertain = max(shown.values()) < threshold
                results[-1].append(Face(shown, detection.box, detection.score, uncertain, crop))
        return results


def _of_picture(number: int, boxes: Sequence) -> Sequence:
    """The user's boxes of one picture of several."""
    try:
        return boxes[number]
    except (IndexError, TypeError) as error:
        raise UserError("boxes= needs a list for each picture: [] where one has no face.") from error


def _given(box: Sequence[float], size: tuple[int, int]) -> Detection:
    """A box of the user's as a detection, within the picture."""
    try:
        left, top, right, bottom = (float(side) for side in box)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"box {box!r} is not (left, top, right, bottom) in pixels; boxes= takes a list of such."
        ) from error
    width, height = size
    finite = all(map(math.isfinite, (left, top, right, bottom)))
    if not (finite and left < right and top < bottom and left < width and top < height and right > 0 and bottom > 0):
        raise UserError(
            f"box {tuple(box)} is not in the picture of {width} x {height}: (left, top, right, bottom) in pixels, "
            "not (left, top, width, height)."
        )
    return _within(Detection((left, top, right, bottom)), size)


def _within(face: Detection, size: tuple[int, int]) -> Detection:
    """The face with its box in whole pixels, at least one each way, cut off at the picture's edges."""
    (left, top, right, bottom), (width, height) = face.box, size
    left, top = min(max(0, round(left)), width - 1), min(max(0, round(top)), height - 1)
    right, bottom = max(left + 1, min(width, round(right))), max(top + 1, min(height, round(bottom)))
    score = None if face.score is None else float(face.score)  # a detector's own may be NumPy's, which JSON refuses
    return replace(face, box=(left, top, right, bottom), score=score)

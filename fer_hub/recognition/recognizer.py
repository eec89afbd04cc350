"""A picture -> its faces, each with the probabilities of its expressions."""

import logging
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
    from fer_hub.recognition.stream import Stream
    from fer_hub.recognition.video import Clip

logger = logging.getLogger(__name__)


class EmotionRecognizer:
    """Finds faces and tells their expressions. It can be copied and pickled, with its model.

    Args:
        model: classifies the crops.
        detector: finds the faces; default: `RetinaFace()`.
        max_faces: keeps the largest faces of each picture; default: all.
        min_face_size: leaves out faces whose box is narrower or lower than so many pixels; default: none.

    Raises:
        UserError: a limit is not a number, or not a positive one.
    """

    def __init__(
        self,
        model: FERModel,
        detector: Detector | None = None,
        max_faces: int | None = None,
        min_face_size: float = 0,
    ):
        if max_faces is not None and not (isinstance(max_faces, int) and max_faces >= 1):
            raise UserError(f"max_faces={max_faces!r} is not a whole number from 1 on.")
        if not (isinstance(min_face_size, int | float) and min_face_size >= 0):  # NaN fails too
            raise UserError(f"min_face_size={min_face_size!r} is not a number of pixels from 0 on.")
        self.model = model
        self.detector = detector or RetinaFace()
        self.max_faces, self.min_face_size = max_faces, min_face_size

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = DEFAULT_MODEL,
        detector: Detector | None = None,
        max_faces: int | None = None,
        min_face_size: float = 0,
        **options,
    ) -> "EmotionRecognizer":
        """Open a model and join it with a detector.

        Args:
            name: a shipped name, an existing folder or a Hub id (`user/name`); default: fer-small.
            detector: as for the class.
            max_faces: as for the class.
            min_face_size: as for the class.
            **options: revision, token, cache_dir and local_files_only, as `FERModel.from_pretrained` takes them.

        Raises:
            UserError: nothing is there, it is not a complete model, or a limit is not a positive number.
        """
        return cls(FERModel.from_pretrained(name, **options), detector, max_faces, min_face_size)

    def __call__(
        self,
        pictures: object,
        *,
        boxes: Sequence | None = None,
        crop: bool = False,
        channel_order: str = "rgb",
        on_error: str = "raise",
    ) -> list[Face] | list[list[Face]]:
        """Return the faces of one picture or of several; `[face.to_dict() for face in faces]` is what JSON takes.

        Args:
            pictures: one picture as `images.read` takes it, or several as `images.each` does. Several are read one by
                one, and all their faces are classified together.
            boxes: faces that are known already, (left, top, right, bottom) in pixels of the upright picture; the
                detector is not asked, and no face is left out for its size. For several pictures a list of boxes each.
                They should be a face detector's: the model sees the square with the longer side and the centre of each.
            crop: each picture is one face already, cut closely; it becomes one result, as by `FERModel.predict`.
            channel_order: of arrays and tensors in colour: "rgb", or "bgr" as OpenCV has them.
            on_error: "raise" stops at the first picture that cannot be read; "skip" gives no faces for it, with a
                warning in the log, and goes on. Wrong boxes always raise.

        Returns:
            The faces, best detection first or in the order of `boxes`; an empty list where there is none. For several
            pictures a list of them for each picture.

        Raises:
            UserError: something is not a picture, or a box is not one of it; the message says which.
            TypeError: an upload that has to be awaited first.
        """
        images.require_on_error(on_error)
        if crop and boxes is not None:
            raise UserError(
                "crop=True says that the picture is one face, boxes= where the faces are: give one of them."
            )
        many = images.are_many(pictures)
        looked = []  # a picture's faces with their crops; the picture itself is not kept
        for number, picture in enumerate(images.each(pictures)):
            where = f"picture {number} (from 0)" if many else "the picture"
            try:
                picture = images.read(picture, channel_order)
            except UserError as error:
                if on_error == "raise":
                    raise UserError(f"{where}: {error}" if many else str(error)) from error
                logger.warning("%s is skipped: %s", where, error)
                looked.append([])
                continue
            try:
                known = _of_picture(number, boxes) if many and boxes is not None else boxes
                looked.append(self._look(picture, known, crop))
            except UserError as error:
                raise UserError(f"{where}: {error}" if many else str(error)) from error
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
            path: a video, an animated GIF, PNG, WebP or AVIF, or a folder of numbered pictures. Cameras, addresses and
                pictures one by one are for `stream`.
            **options: every, start, end, fps, half_life, progress and annotated, as `video.Clip` takes them.

        Returns:
            An iterable of `video.Frame`; its `problem` tells what could not be read.

        Raises:
            UserError: as `video.Clip`.
        """
        from fer_hub.recognition.video import Clip  # brings PyAV, which photos do not need

        return Clip(self, path, **options)

    def stream(self, source: object, **options) -> "Stream":
        """Recognize what a camera, an address or an iterator gives, tracked and smoothed, while it comes.

        `for frame in recognizer.stream(0)` looks at the first camera.

        Args:
            source: a camera, an address, a `cv2.VideoCapture`, pictures one by one or a video file, as `stream.Stream`
                takes them.
            **options: fps, channel_order and half_life, as `stream.Stream` takes them.

        Returns:
            An iterator of `video.Frame`, and a context manager that closes the source.

        Raises:
            UserError: as `stream.Stream`.
        """
        from fer_hub.recognition.stream import Stream

        return Stream(self, source, **options)

    def _look(self, picture: Image.Image, boxes: Sequence | None, is_crop: bool) -> list[tuple[Detection, np.ndarray]]:
        if is_crop:
            return [(Detection((0, 0, *picture.size)), images.to_gray_square(picture))]
        if boxes is None:
            faces = self._limited(
                [(face, _within(face, picture.size)) for face in self.detector(picture.convert("RGB"))]
            )
        elif isinstance(boxes, Iterable):
            faces = [(face, face) for face in _given(boxes, picture.size)]
        else:
            raise UserError(f"boxes={boxes!r} is not a list of (left, top, right, bottom).")
        return [(shown, cut_out(picture, face)) for face, shown in faces]

    def _limited(self, faces: list[tuple[Detection, Detection]]) -> list[tuple[Detection, Detection]]:
        """The faces that are large enough, and of these the largest; each with its box within the picture."""
        sizes = [(right - left, bottom - top) for left, top, right, bottom in (shown.box for _, shown in faces)]
        kept = [place for place, size in enumerate(sizes) if min(size) >= self.min_face_size]
        largest = sorted(kept, key=lambda place: -math.prod(sizes[place]))[: self.max_faces]
        return [faces[place] for place in sorted(largest)]

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


def _given(boxes: Iterable, size: tuple[int, int]) -> list[Detection]:
    """The user's boxes of one picture as detections, within it."""
    numbers = []
    for box in boxes:
        try:
            left, top, right, bottom = (float(side) for side in box)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"box {box!r} is not (left, top, right, bottom) in pixels; boxes= takes a list of such."
            ) from error
        numbers.append((left, top, right, bottom))
    width, height = size
    # MediaPipe and YOLO's text files count in pictures; slightly more than 1 where a face reaches beyond the edge.
    if numbers and np.abs(numbers).max() <= 1.5 < min(size):
        raise UserError(
            f"boxes= are in pixels, these are in 0..1: [(left * {width}, top * {height}, right * {width}, "
            f"bottom * {height}) for left, top, right, bottom in boxes]."
        )
    for box in numbers:
        left, top, right, bottom = box
        finite = all(map(math.isfinite, box))
        if not (
            finite and left < right and top < bottom and left < width and top < height and right > 0 and bottom > 0
        ):
            raise UserError(
                f"box {box} is not in the picture of {width} x {height}: (left, top, right, bottom) in pixels, "
                "not (left, top, width, height)."
            )
    return [_within(Detection(box), size) for box in numbers]


def _within(face: Detection, size: tuple[int, int]) -> Detection:
    """The face with its box in whole pixels, at least one each way, cut off at the picture's edges."""
    (left, top, right, bottom), (width, height) = face.box, size
    left, top = min(max(0, round(left)), width - 1), min(max(0, round(top)), height - 1)
    right, bottom = max(left + 1, min(width, round(right))), max(top + 1, min(height, round(bottom)))
    score = None if face.score is None else float(face.score)  # a detector's own may be NumPy's, which JSON refuses
    return replace(face, box=(left, top, right, bottom), score=score)

"""A video -> its faces over time, tracked and smoothed; as a table, as JSON, and as a video with the boxes drawn in."""

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image
from tqdm import tqdm

from fer_hub.atomic_files import write_atomically
from fer_hub.errors import UserError
from fer_hub.recognition.face import Face
from fer_hub.recognition.face_tracks import HALF_LIFE, TrackedFace, Tracker
from fer_hub.recognition.picture_clips import open_clip
from fer_hub.recognition.video_writer import require_writable, writing

Progress = Callable[[float, float | None], object]


class Recognizer(Protocol):
    """What a clip needs of an `EmotionRecognizer`."""

    model: object  # its `abstention_threshold`: below it, the best probability is uncertain

    def __call__(self, pictures: object) -> list[Face]:
        """The faces of one picture."""

    def draw(self, picture: object, faces: Sequence[Face]) -> Image.Image:
        """The picture with its faces drawn in."""


@dataclass(frozen=True)
class Frame:
    """What one recognized picture of a video or stream shows.

    Attributes:
        index: of the picture in the video, from 0; of a live stream, counting the pictures that were dropped.
        time: seconds from the beginning of the file, as a player shows it, or since the first picture of a stream.
        faces: those found in it; none where there is none.
    """

    index: int
    time: float
    faces: list[TrackedFace]

    def to_dict(self) -> dict:
        """As JSON takes it: frame, time, faces."""
        return {"frame": self.index, "time": round(self.time, 6), "faces": [face.to_dict() for face in self.faces]}


class Frames(list[Frame]):
    """The frames of a clip that has been read, with its `problem`, for whoever makes several files of them."""

    problem: str | None = None


class Clip:
    """A video whose faces are recognized while it is iterated: `for frame in Clip(recognizer, "talk.mp4")`.

    Pictures are decoded and recognized one by one, and none is kept: memory does not grow with the length of the
    video. Iterating again starts again. What cannot be read is left out, and `problem` says so.

    Attributes:
        frame_count: pictures of the video, recognized or not, as the file states it; None where it does not.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        path: str | Path,
        *,
        every: int = 1,
        start: float = 0.0,
        end: float | None = None,
        fps: float | None = None,
        half_life: float = HALF_LIFE,
        progress: bool | Progress | None = None,
        annotated: str | Path | None = None,
    ):
        """Looks at the file's header; nothing is decoded before the iteration.

        Args:
            recognizer: finds and names the faces.
            path: a video (MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG-PS, FLV, WMV, Ogg, MXF, or raw H.264, HEVC, MPEG-2
                or MJPEG), an animated GIF, PNG, WebP or AVIF, or a folder of numbered pictures. Addresses and playlists
                are refused.
            every: 1 recognizes each picture, 10 each tenth. All are decoded.
            start: seconds from which pictures are recognized. Their times stay those of the whole video, their numbers
                begin here.
            end: seconds before which they are shown; None for all.
            fps: pictures per second of a folder; default: 25.
            half_life: seconds of smoothing, as `Tracker` explains it; 0 for none.
            progress: True shows a bar on standard error. A function is called after each recognized picture with the
                seconds that are done and those from `start` to the end, None where they are not known; when all is
                done both are equal.
            annotated: .mp4 (H.264) or .webm (VP9); the video with boxes, names and probabilities drawn in, without
                sound. Pictures between recognized ones carry the last boxes. It is there when the iteration has come
                to the end of what can be read; an iteration that is given up leaves nothing.

        Raises:
            UserError: it is no path, the file is not there, no video, or its pictures have over 64 million pixels;
                `every` is not a number from 1 on; nothing lies between `start` and `end`; `annotated` cannot be
                written.
        """
        if not isinstance(every, int) or every < 1:
            raise UserError(f"every={every!r} is not a whole number from 1 on.")
        self.recognizer, self.every, self.progress = recognizer, every, progress
        self._new_tracker = lambda: Tracker(half_life, recognizer.model.abstention_threshold)
        self._new_tracker()  # refuses a wrong half-life before anything is decoded
        _require_file(path)
        self._file = open_clip(path, start=start, end=end, fps=fps)
        self.frame_count = self._file.picture_count
        self.annotated = None if annotated is None else Path(os.path.expanduser(annotated))
        if self.annotated is not None:
            require_writable(self.annotated)
            if self.annotated.exists() and self.annotated.samefile(self._file.path):
                raise UserError(f"annotated={annotated} is the video itself: give another name.")

    @property
    def duration(self) -> float | None:
        """Seconds of the whole video, as the file states it; None where it does not. An animation has it when read."""
        return self._file.duration

    @property
    def seconds(self) -> float | None:
        """From `start` to `end`; None where the end is not known."""
        ends = [end for end in (self._file.end, self.duration) if end is not None]
        return min(ends) - self._file.start if ends else None

    @property
    def problem(self) -> str | None:
        """What of the video could not be read so far, for people; None if nothing is known to be wrong."""
        return self._file.problem

    def __iter__(self) -> Iterator[Frame]:
        """The recognized pictures, in the order of their times.

        Raises:
            UserError: not one picture can be read, or `annotated` cannot be written.
        """
        tracker, faces, due = self._new_tracker(), [], 0
        output = nullcontext() if self.annotated is None else writing(self.annotated, self._file.rate)
        with output as add, _reporting(self.progress, self.seconds) as report:
            for picture in self._file:
                is_due, done = picture.index >= due, picture.time - self._file.start
                if is_due or add:
                    image = picture.rgb()
                if is_due:
                    due = picture.index - picture.index % self.every + self.every
                    faces = tracker.update(self.recognizer(image), picture.time)
                if add:
                    add(np.asarray(self.recognizer.draw(image, faces)), done)
                if is_due:
                    report(done)
                    yield Frame(picture.index, picture.time, faces)
            if self.seconds and not self.problem:
                report(max(self.seconds, done))


def _require_file(path: object) -> None:
    if "://" in str(path)[:80] and isinstance(path, str):
        raise UserError(
            f"{path[:80]} is an address, not a file: download it first. Live ones: recognizer.stream(address), or "
            "fer-hub live ADDRESS."
        )
    if isinstance(path, str | os.PathLike):
        return
    kind = type(path).__name__
    if isinstance(path, bytes | bytearray | memoryview) or (hasattr(path, "read") and not hasattr(path, "isOpened")):
        raise UserError(
            f"a video is read from a file, not from a {kind}: write its bytes to one and give its path, "
            'Path("clip.mp4").write_bytes(...).'
        )
    raise UserError(
        f"a {kind} is not the path of a video: recognizer.stream(...) takes cameras, cv2.VideoCapture and iterators of "
        "pictures."
    )


@contextmanager
def _reporting(progress: bool | Progress | None, duration: float | None) -> Iterator[Callable[[float], object]]:
    if callable(progress):
        yield lambda time: progress(time, duration and max(duration, time))
        return
    with tqdm(total=duration, unit="s", unit_scale=True, disable=not progress) as bar:
        yield lambda time: bar.update(time - bar.n)


def to_json(frames: Iterable[Frame], path: str | Path) -> None:
    """Writes what was found as one JSON object, in bounded memory.

    Its `frames` has `Frame.to_dict()` of each, those without faces too; its `problem` is that of the clip, or null.

    Args:
        frames: a `Clip`, or any frames.
        path: the file.

    Raises:
        UserError: as iterating the clip does, or the file cannot be written; what was there is untouched.
    """

    def lines():
        yield '{\n"frames": [\n'
        for number, frame in enumerate(frames):
            yield (",\n" if number else "") + json.dumps(frame.to_dict(), allow_nan=False)
        yield '\n],\n"problem": ' + json.dumps(getattr(frames, "problem", None)) + "\n}\n"

    _write(lines(), Path(path))


def to_csv(frames: Iterable[Frame], path: str | Path) -> None:
    """Writes a row for each face of each frame, in bounded memory; frames without faces have none.

    Columns: frame, time (seconds), track, emotion, uncertain (0 or 1), left, top, right, bottom (pixels),
    detection_score, and the probability of each expression under its name. Without any face only the first ten are
    there. A damaged video is not told in the table: look at the clip's `problem`.

    Args:
        frames: a `Clip`, or any frames.
        path: the file.

    Raises:
        UserError: as iterating the clip does, or the file cannot be written; what was there is untouched.
    """
    _write(csv_lines(frames), Path(path))


def csv_lines(frames: Iterable[Frame], label_names: Sequence[str] = ()) -> Iterator[str]:
    """Give the lines of `to_csv` one by one, while the frames come.

    Args:
        frames: any.
        label_names: the model's; with them the first line comes at once, without them before the first face.

    Yields:
        Lines with their ends.
    """
    columns = ["frame", "time", "track", "emotion", "uncertain", "left", "top", "right", "bottom", "detection_score"]
    header = bool(label_names)
    if header:
        yield _csv_line([*columns, *label_names])
    for frame in frames:
        for face in frame.faces:
            if not header:
                header = True
                yield _csv_line([*columns, *face.probabilities])
            found = face.track, face.emotion, int(face.uncertain), *face.box, face.detection_score
            yield _csv_line([frame.index, round(frame.time, 6), *found, *face.probabilities.values()])
    if not header:
        yield _csv_line(columns)


def _csv_line(row: Iterable) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue()


def _write(lines: Iterable[str], path: Path) -> None:
    if not path.absolute().parent.is_dir():  # before hours of video are recognized
        raise UserError(f"cannot write {path}: there is no folder {path.parent}.")
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as spool:
        spool.writelines(lines)  # apart from writing the file: an error of the recognition is not one of the disk
        spool.seek(0)

        def copy(temporary: Path) -> None:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                shutil.copyfileobj(spool, file)

        write_atomically(path, copy)

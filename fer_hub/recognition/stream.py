"""Pictures that come one after another -> their faces, tracked and smoothed: cameras, network streams, iterators."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from numbers import Real
from time import monotonic

import numpy as np
from PIL import Image

from fer_hub import images
from fer_hub.errors import UserError
from fer_hub.recognition.capture import of_capture, opened
from fer_hub.recognition.face_tracks import HALF_LIFE, Tracker
from fer_hub.recognition.picture_clips import Animation, FrameFolder, open_clip
from fer_hub.recognition.video import Frame, Recognizer
from fer_hub.recognition.video_reader import VideoFile

ADDRESSES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtp", "udp", "tcp", "srt")


@dataclass
class _State:
    """What a stream tells beside its frames."""

    picture: Image.Image | None = None
    problem: str | None = None


class Stream:
    """Faces of a source while it is iterated: `for frame in Stream(recognizer, 0)`.

    A live source is read by a thread that keeps the newest picture only: what comes while a picture is recognized is
    dropped, and `Frame.index`, which counts dropped pictures too, shows how many. Of files and iterators no picture is
    dropped. A stream can be iterated once. Nothing is opened before the iteration; a camera or address is closed at
    its end, by `close()`, at the end of a `with` block, and when the stream is no longer used. That takes until the
    picture that is being read has come, at most ten seconds where a network stream stalls.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        source: object,
        *,
        fps: float | None = None,
        channel_order: str = "rgb",
        half_life: float = HALF_LIFE,
    ):
        """Look at what the source is, without opening it.

        Args:
            recognizer: finds and names the faces.
            source: one of
                a camera: its number, 0 for the first one, or a device such as "/dev/video0";
                an address that you trust: http, https, rtsp, rtsps, rtmp, rtp, udp, tcp or srt;
                a `cv2.VideoCapture`, which stays open for you to release;
                an iterable of pictures as `images.read` takes them, or of pairs (seconds, picture);
                a video file.
                Cameras, addresses and captures that state no number of pictures are live, and their `Frame.time` is in
                seconds since the first picture came. Others have the times of the recording.
            fps: pictures per second of an iterable without seconds, or of a folder (default there: 25). An iterator
                without either is taken for live: its pictures are timed as they come. A list or an array, whose
                pictures are there already, needs one.
            channel_order: of an iterable's arrays and tensors in colour: "rgb", or "bgr" as OpenCV has them. A
                `cv2.VideoCapture` gives "bgr", which is known.
            half_life: seconds of smoothing, as `Tracker` explains it; 0 for none.

        Raises:
            UserError: the source is none of these, a file is not there, or a wrong option.
            TypeError: an asynchronous iterator.
        """
        images.require_channel_order(channel_order)
        self._state = _State()
        tracker = Tracker(half_life, recognizer.model.abstention_threshold)
        pictures = _pictures(source, fps, channel_order, self._state)
        self._frames = _frames(recognizer, tracker, pictures, self._state)

    @property
    def picture(self) -> Image.Image | None:
        """The picture of the newest frame, upright, mode L or RGB: `recognizer.draw(stream.picture, frame.faces)`."""
        return self._state.picture

    @property
    def problem(self) -> str | None:
        """What of the source could not be read so far, for people; None if nothing is known to be wrong."""
        return self._state.problem

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Frame:
        """Return the next frame.

        Raises:
            UserError: the source cannot be opened or gives no picture, a picture cannot be read, or times run
                backwards.
        """
        return next(self._frames)

    def close(self) -> None:
        """Close the source; the iteration ends."""
        self._frames.close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *error) -> None:
        self.close()


def named(source: object) -> str:
    """Return what a source is called in messages: addresses without the password in them."""
    if isinstance(source, int):
        return f"camera {source}"
    return re.sub(r"(?<=://)[^/@]*@", "", str(source))[:120]


# No reference to the stream is held here: without a cycle a stream that is no longer used is closed at once.
def _frames(recognizer: Recognizer, tracker: Tracker, pictures: Iterator, state: _State) -> Iterator[Frame]:
    with closing(pictures):
        for index, time, picture in pictures:
            faces = tracker.update(recognizer(picture), time)
            state.picture = picture
            yield Frame(index, time, faces)


def _pictures(source: object, fps: float | None, channel_order: str, state: _State) -> Iterator:
    """The pictures of a source, upright: (index, seconds, picture)."""
    if hasattr(source, "isOpened") and hasattr(source, "read"):
        found = of_capture(source, "the capture", state)
    elif isinstance(source, str | os.PathLike | int | np.integer):
        camera_or_address = _camera_or_address(source)
        if camera_or_address is None:
            path = os.fspath(source)
            if os.path.isdir(path):
                return _of_file(open_clip(path, fps=fps), state)
            found = _of_file(open_clip(path), state)
        else:
            found = _of_own_capture(camera_or_address, state)
    else:
        _require_pictures(source)
        if fps is not None and not (isinstance(fps, Real) and 0 < fps < float("inf")):
            raise UserError(f"fps={fps!r} is not a positive number of pictures per second.")
        return _of_iterable(source, fps, channel_order)
    if fps is not None:
        raise UserError(f"fps= is for pictures one by one: {named(source)} has times of its own. Leave it out.")
    return found


def _camera_or_address(source: object) -> int | str | None:
    """The number of a camera or an address; None for a file."""
    if isinstance(source, int | np.integer):
        return int(source)
    text = os.fspath(source)
    scheme, is_address, _ = text.partition("://")
    if is_address:
        if scheme.lower() not in ADDRESSES:
            raise UserError(f"{named(text)} is no address that is read here: {', '.join(ADDRESSES)}.")
        return text
    if text.isdecimal() and not os.path.exists(text):
        return int(text)
    device = re.fullmatch(r"/dev/video(\d+)", os.path.realpath(text))  # also of a link such as /dev/v4l/by-id/...
    return int(device[1]) if device else None


def _require_pictures(source: object) -> None:
    kind = type(source).__name__
    if hasattr(source, "__aiter__"):
        raise TypeError(
            f"a {kind} is asynchronous: collect its pictures with `async for` and pass an iterator of them."
        )
    if isinstance(source, bytes | bytearray | memoryview) or hasattr(source, "read"):
        raise UserError(
            'a stream is not read from bytes: write them to a file first, Path("clip.mp4").write_bytes(...).'
        )
    if not isinstance(source, Iterable | Image.Image):
        raise UserError(
            f"a {kind} is not a stream: give a camera (0), an address, a cv2.VideoCapture or an iterator of pictures."
        )
    if not images.are_many(source):
        raise UserError("one picture is not a stream: recognizer(picture), or a list of pictures.")


def _of_file(file: VideoFile | Animation | FrameFolder, state: _State) -> Iterator:
    for picture in file:
        state.problem = file.problem
        yield picture.index, picture.time, Image.fromarray(picture.rgb())
    state.problem = file.problem


def _of_own_capture(source: int | str, state: _State) -> Iterator:
    name = named(source)
    capture = opened(source, name)
    try:
        yield from of_capture(capture, name, state)
    finally:
        capture.release()


def _of_iterable(source: Iterable, fps: float | None, channel_order: str) -> Iterator:
    start, last = monotonic(), 0.0
    for index, item in enumerate(source):
        if fps is None and _is_timed(item):
            time, item = float(item[0]), item[1]
        elif fps is not None:
            time = index / fps
        elif hasattr(source, "__len__"):
            raise UserError("these pictures have no times: give fps=25, or pairs (seconds, picture).")
        else:
            start = start if index else monotonic()
            time = monotonic() - start
        if index and not time >= last:  # NaN fails too
            raise UserError(f"picture {index} (from 0) has the time {time} s, and the one before {last} s.")
        last = time
        try:
            picture = images.read(item, channel_order)
        except UserError as error:
            raise UserError(f"picture {index} (from 0): {error}") from error
        yield index, time, picture


def _is_timed(item: object) -> bool:
    is_pair = isinstance(item, tuple | list) and len(item) == 2
    return is_pair and isinstance(item[0], Real) and not isinstance(item[0], bool)

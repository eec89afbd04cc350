"""A video file -> its upright pictures with their times. Faces are not known here."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from fer_hub.errors import UserError
from fer_hub.images import MAX_PIXELS

# FFmpeg also reads playlists (HLS, DASH, concat), and these open whatever file or address they name, even where the
# playlist itself came as an open file. A visitor's upload must not do that: only containers that hold their own data
# are read, and no protocol is left to open anything else with.
_CONTAINERS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,flv,asf,ogg",
    "protocol_whitelist": "none",
}
_READABLE = "MP4, MOV, MKV, WebM, AVI, MPEG-TS, FLV, WMV and Ogg"
_LIMITS = {"max_pixels": str(MAX_PIXELS)}  # of decoders: also for a picture whose size the container does not tell
_SLACK = 0.5  # seconds by which a whole video may end before its stated duration: last pictures have unstated lengths


@dataclass(frozen=True)
class Picture:
    """One picture of a video, decoded, not yet converted.

    Attributes:
        index: among the pictures of the file that were decoded, from 0.
        time: seconds from the beginning of the file, as a player shows it; never before that of the picture before.
    """

    index: int
    time: float
    _frame: av.VideoFrame
    _aspect: Fraction  # width of a pixel / its height
    _matrix: np.ndarray | None  # of display, 9 numbers

    def rgb(self) -> np.ndarray:
        """The picture as a player shows it: turned and mirrored as the file says, with square pixels.

        Returns:
            uint8 (H, W, 3), 0-255.

        Raises:
            UserError: over 64 million pixels, or colours that FFmpeg does not convert.
        """
        width, height = round(self._frame.width * self._aspect) or 1, self._frame.height
        _require_size(width, height, "a picture of the video")
        try:  # in one thread: starting more takes longer than the conversion
            image = self._frame.to_ndarray(format="rgb24", width=width, height=height, threads=1)
        except av.FFmpegError as error:
            raise UserError(f"the video's colours cannot be converted to RGB: {error}. Convert it to H.264.") from error
        return image if self._matrix is None else _shown(image, self._matrix)


def _display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    # Not for every frame: one whose side data were looked at refers to itself, and stays until Python looks for such.
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return None if matrix is None else np.frombuffer(matrix, np.int32).astype(np.int64)


def _shown(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    # ISO/IEC 14496-12: a point (x, y) of the file is shown at (a x + c y, b x + d y); frame.rotation has no mirroring.
    a, b, _, c, d = matrix[:5]
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


class VideoFile:
    """A video on disk; iterating decodes it picture by picture, in constant memory.

    Damage is left out and told: after a picture that cannot be decoded nothing is given until the next key frame,
    because pictures in between are drawn on top of the damaged one. That needs a decoder that notices: H.264 and
    MPEG-4 do, HEVC does in part and VP9 hardly ever, so that their damaged pictures may pass. It also needs decoding
    in one thread. And a file that was cut off is told by the duration it states, so that an MPEG-TS, which states
    none, just ends early.

    Attributes:
        duration: seconds, as the file states it; None where it does not.
        picture_count: as the file states it; None where it does not.
        rate: pictures per second, on average, as the file states it; 25 where it does not.
    """

    def __init__(self, path: str | Path):
        """Opens the file, looks at its header and closes it.

        Raises:
            UserError: no such file, an address, no video, or pictures of over 64 million pixels.
        """
        self.path = _existing(path)
        self._forget()
        with _opened(self.path) as (container, stream):
            self.duration = _duration(container, stream)
            self.picture_count = stream.frames or None
            rate = stream.average_rate
            self.rate = rate if rate and 1 <= rate <= 240 else Fraction(25)

    def _forget(self) -> None:
        self._end, self._count = 0.0, 0  # of the last good picture: seconds; pictures up to it, whether good or lost
        self._places, self._from, self._to = 0, 0.0, 0.0  # of damage with good pictures after it
        self._stopped: str | None = None

    @property
    def problem(self) -> str | None:
        """What of the file could not be read so far, for people; None if nothing is known to be wrong."""
        told = []
        if self._places:
            span = f"between {self._from:.2f} s and {self._to:.2f} s"
            where = span if self._places == 1 else f"in {self._places} places {span}"
            told.append(f"the video is damaged {where}: pictures up to the next key frame are left out")
        if self._stopped:
            told.append(self._stopped + ("" if self._places else "; what came before is complete"))
        return "; ".join(told) or None

    def __iter__(self) -> Iterator[Picture]:
        """The pictures that can be read, in the order of their times; `problem` grows meanwhile.

        Raises:
            UserError: not one picture can be read, or the file is gone.
        """
        self._forget()
        count = missing = 0  # missing: since the last good picture
        rotation = matrix = None
        with _opened(self.path) as (container, stream):
            aspect = stream.sample_aspect_ratio or Fraction(1)
            for time, frame in self._timed(self._decoded(container, stream), container.start_time):
                count += 1
                if frame is None or frame.is_corrupt or (missing and not frame.key_frame):
                    missing += 1
                    continue
                if missing:
                    self._from, self._to = self._from if self._places else self._end, time
                    self._places, missing = self._places + 1, 0
                self._end, self._count = time + self._length(frame), count
                if frame.rotation != rotation:
                    rotation, matrix = frame.rotation, _display_matrix(frame)
                yield Picture(count - 1, time, frame, aspect, matrix)
        self._conclude(missing)

    def _decoded(self, container, stream) -> Iterator[av.VideoFrame | None]:
        """The pictures of the stream; None for what cannot be decoded."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self._stop(f"cannot be read: {error.strerror}")
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                frames = [None]
            yield from frames

    def _timed(self, frames: Iterator, start: int | None) -> Iterator[tuple[float, av.VideoFrame | None]]:
        """Each picture with its time; where clocks start anew, as in joined recordings, time goes on."""
        time = following = 0.0
        shift = -(start or 0) / av.time_base
        for frame in frames:
            if frame is not None:
                now = following if frame.time is None else frame.time + shift
                if now < time:
                    now, shift = following, shift + following - now
                time, following = now, now + float(1 / self.rate)
            yield time, frame

    def _length(self, frame) -> float:
        stated = frame.duration * frame.time_base if frame.duration and frame.time_base else 0
        return float(max(stated, 1 / self.rate))

    def _stop(self, why: str) -> None:
        self._stopped = f"after {self._end:.2f} s (picture {self._count}) the video {why}"

    def _conclude(self, missing: int) -> None:
        if not self._count:
            raise UserError(
                f"{self.path}: not one picture of the video can be read. It is damaged, or has over {MAX_PIXELS:,} "
                "pixels a picture: copy or download it again, or shrink it."
            )
        if missing and not self._stopped:
            self._stop("cannot be read: its data are damaged")
        elif not self._stopped and self.duration and self._end < self.duration - _SLACK:
            self._stop(f"is missing, or its header is wrong: it states {self.duration:.2f} s")


def _existing(path: str | Path) -> Path:
    if "://" in str(path):
        raise UserError(f"{str(path)[:80]} is an address, not a file: download it first.")
    file = Path(os.path.expanduser(path))
    if not file.is_file():
        raise UserError(f"cannot open {path}: {'it is not a file' if file.exists() else 'there is no such file'}.")
    return file


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The container and its first video stream, ready to be decoded."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"cannot open {path}: {error.strerror}.") from error
    with file:
        try:
            container = av.open(file, "r", options=_LIMITS, container_options=_CONTAINERS, metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise UserError(
                f"{path} is not a video in a container that is read here ({_READABLE}), or its beginning or its index "
                "is missing: an MP4 whose recording broke off has none. Copy or download it again."
            ) from error
        with container:
            yield container, _video_stream(container, path)


def _video_stream(container, path: Path) -> av.VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise UserError(f"{path} has no video: it holds sound or text alone.")
    stream = streams[0]
    if stream.codec_context is None:
        raise UserError(f"{path}: its video is in a format that is not read here. Convert it to H.264.")
    _require_size(stream.width, stream.height, str(path))
    stream.codec_context.options = _LIMITS
    stream.thread_type = "NONE"
    return stream


def _require_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise UserError(f"{name} has pictures of {width:,} x {height:,} pixels, over {MAX_PIXELS:,}: shrink it first.")


def _duration(container, stream) -> float | None:
    tag = stream.metadata.get("DURATION", "")  # of Matroska: its header has one duration for all streams together
    if match := re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", tag):
        hours, minutes, seconds = map(float, match.groups())
        return hours * 3600 + minutes * 60 + seconds
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None

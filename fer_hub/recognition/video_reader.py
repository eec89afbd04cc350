"""A video file -> its upright pictures with their times. Faces are not known here."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from pathlib import Path

import av
import numpy as np

from fer_hub.errors import UserError
from fer_hub.images import MAX_PIXELS
from fer_hub.recognition.containers import INDEXED, RAW, existing, opened, require_size, stated_duration

_SLACK = 0.5  # seconds by which a whole video may end before its stated duration: last pictures have unstated lengths


@dataclass(frozen=True)
class Picture:
    """One picture of a video, decoded, not yet converted.

    Attributes:
        index: among the pictures that were decoded from `start` on, from 0.
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
        require_size(width, height, "a picture of the video")
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

    def __init__(self, path: str | Path, start: float = 0.0, end: float | None = None):
        """Opens the file, looks at its header and closes it.

        Args:
            path: the file.
            start: seconds from which pictures are given. MP4, MOV, MKV and WebM are entered at a key frame before it,
                all others are decoded from their beginning.
            end: seconds before which they are shown; None for all.

        Raises:
            UserError: no such file, an address, no video, or pictures of over 64 million pixels; nothing lies between
                start and end.
        """
        self.path, self.start, self.end = existing(path), start, end
        self._forget()
        with opened(self.path) as (container, stream):
            self.duration = stated_duration(container, stream)
            self.picture_count = stream.frames or None
            rate = stream.average_rate
            self.rate = rate if rate and 1 <= rate <= 240 else Fraction(25)
        require_part(start, end, self.duration)

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
            UserError: not one picture can be read, or none from `start` on, or the file is gone.
        """
        self._forget()
        count = missing = 0  # missing: since the last good picture
        rotation = matrix = None
        with opened(self.path) as (container, stream):
            aspect = stream.sample_aspect_ratio or Fraction(1)
            self._enter(container, stream)
            for time, frame in self._timed(self._decoded(container, stream), container):
                if self.end is not None and time >= self.end:
                    if missing and self._count:
                        self._add_damage(self.end)
                    break
                is_due = time >= self.start
                count += is_due
                if frame is None or frame.is_corrupt or (missing and not frame.key_frame):
                    missing += 1
                    continue
                if missing and is_due:
                    self._add_damage(time)
                self._end, self._count, missing = time + self._length(frame), count, 0
                if frame.rotation != rotation:
                    rotation, matrix = frame.rotation, _display_matrix(frame)
                if is_due:
                    yield Picture(count - 1, time, frame, aspect, matrix)
            else:
                self._notice_what_is_missing(missing)
        if not self._count:
            self._refuse()

    def _add_damage(self, until: float) -> None:
        self._from = self._from if self._places else max(self._end, self.start)
        self._to, self._places = until, self._places + 1

    def _enter(self, container, stream) -> None:
        """Goes to a key frame before `start`; a second before, because files are searched by the times of decoding."""
        before = self.start - 1 + (container.start_time or 0) / av.time_base
        if self.start > 1 and container.format.name in INDEXED:
            with suppress(av.FFmpegError):  # then it is decoded from the beginning
                container.seek(int(before / stream.time_base), stream=stream)

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

    def _timed(self, frames: Iterator, container) -> Iterator[tuple[float, av.VideoFrame | None]]:
        """Each picture with its time; where clocks start anew, as in joined recordings, time goes on."""
        time = following = 0.0
        shift, is_raw = -(container.start_time or 0) / av.time_base, container.format.name in RAW
        for frame in frames:
            if frame is not None:
                now = following if is_raw or frame.time is None else frame.time + shift
                if now < time:
                    now, shift = following, shift + following - now
                time, following = now, now + float(1 / self.rate)
            yield round(time, 6), frame  # so that a picture at 1 s is not one at 0.9999999

    def _length(self, frame) -> float:
        stated = frame.duration * frame.time_base if frame.duration and frame.time_base else 0
        return float(max(stated, 1 / self.rate))

    def _stop(self, why: str) -> None:
        self._stopped = f"after {self._end:.2f} s (picture {self._count}) the video {why}"

    def _notice_what_is_missing(self, missing: int) -> None:
        if missing and self._count and not self._stopped:
            self._stop("cannot be read: its data are damaged")
        elif not self._stopped and self.duration and self._end < self.duration - _SLACK:
            self._stop(f"is missing, or its header is wrong: it states {self.duration:.2f} s")

    def _refuse(self) -> None:
        if self._end:
            raise UserError(
                f"{self.path}: no picture from start={self.start:g} on can be read; the last one before it "
                f"ends at {self._end:.2f} s."
            )
        raise UserError(
            f"{self.path}: not one picture of the video can be read. It is damaged, or has over {MAX_PIXELS:,} "
            "pixels a picture: copy or download it again, or shrink it."
        )


def require_part(start: float, end: float | None, duration: float | None) -> None:
    """Makes sure that there can be something from `start` to `end`, in seconds.

    Raises:
        UserError: there is nothing, or they are no times.
    """
    if not isinstance(start, Real) or not 0 <= start < math.inf:  # NaN fails too
        raise UserError(f"start={start!r} is not a time in seconds, from 0 on.")
    if end is not None and not (isinstance(end, Real) and end > start):
        raise UserError(f"end={end!r} is not after start={start}: both are seconds from the beginning of the video.")
    if duration and start >= duration:
        raise UserError(f"start={start:g} is after the end of the video, which has {duration:.2f} s.")

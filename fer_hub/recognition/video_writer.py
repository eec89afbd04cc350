"""Pictures with times -> a video file that browsers play."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from fer_hub.atomic_files import temporary_beside
from fer_hub.errors import UserError

_TIME_BASE = Fraction(1, 90_000)
_ENCODERS = {
    ".mp4": ("mp4", "libx264", {"preset": "veryfast", "crf": "23"}),
    ".webm": ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "32", "b": "0"}),
}


@contextmanager
def writing(path: Path, rate: Fraction) -> Iterator[Callable[[np.ndarray, float], None]]:
    """Opens a video file for writing: H.264 in MP4, or VP9 in WebM, by the name's ending; without sound.

    It is written beside `path` and takes its place when the block ends well; otherwise nothing is left. Players may
    begin before they have the whole file. Odd sizes get one more row or column, a copy of the last; pictures of
    another size than the first are resized to it. Times are kept to 1/90000 s, colours are BT.709.

    Args:
        path: ends in .mp4 or .webm; its folder exists.
        rate: pictures per second, roughly: it sets how long the last picture is shown.

    Yields:
        A function that adds a picture, uint8 (H, W, 3), 0-255, shown from a time in seconds on; times must grow.

    Raises:
        UserError: another ending, no such folder, a full disk.
    """
    require_writable(path)
    form, codec, options = _ENCODERS[path.suffix.lower()]
    temporary = temporary_beside(path.absolute())
    try:
        faststart = {"movflags": "+faststart"} if form == "mp4" else {}
        with av.open(str(temporary), "w", format=form, options=faststart) as container:
            encoder = _Encoder(container, codec, rate, options)
            yield encoder.add
            encoder.finish()
        os.replace(temporary, path)
    except av.FFmpegError as error:  # those of the video that is being read never come here
        raise UserError(f"cannot write {path}: {error.strerror}. What was there is untouched.") from error
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Makes sure, before anything is computed, that a video can be written to this path.

    Raises:
        UserError: as `writing`.
    """
    if path.suffix.lower() not in _ENCODERS:
        raise UserError(f"cannot write {path}: name it {path.stem}.mp4 (H.264) or {path.stem}.webm (VP9).")
    codec = _ENCODERS[path.suffix.lower()][1]
    if codec not in av.codecs_available:
        raise UserError(f"this PyAV has no encoder {codec}: take the other of {' and '.join(_ENCODERS)}.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}.")
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder.")


class _Encoder:
    def __init__(self, container, codec: str, rate: Fraction, options: dict):
        self._container, self._last = container, -1
        self._stream = container.add_stream(codec, rate=rate, options=options, time_base=_TIME_BASE)
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1  # 16 to 235, as players expect
        self._size: tuple[int, int] | None = None

    def add(self, image: np.ndarray, time: float) -> None:
        height, width = image.shape[:2]
        if self._size is None:
            self._size = width, height
            self._stream.width, self._stream.height = width + width % 2, height + height % 2
        if (width, height) != self._size:
            image = np.asarray(Image.fromarray(image).resize(self._size))
        image = np.pad(image, ((0, self._size[1] % 2), (0, self._size[0] % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1)
        self._last = max(round(time / _TIME_BASE), self._last + 1)
        frame.pts, frame.time_base = self._last, _TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))

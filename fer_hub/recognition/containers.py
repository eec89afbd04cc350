"""A path -> an open video and its largest stream. Which containers are read, and how large their pictures may be."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.stream import Disposition

from fer_hub.errors import UserError
from fer_hub.images import MAX_PIXELS

# FFmpeg also reads playlists (HLS, DASH, concat), and these open whatever file or address they name, even where the
# playlist itself came as an open file. A visitor's upload must not do that: only containers that hold their own data
# are read, and no protocol is left to open anything else with.
_READ = {  # FFmpeg's name of the container, and how files of it end
    "mov,mp4,m4a,3gp,3g2,mj2": ".mp4 .m4v .mov .3gp .3g2 .f4v",
    "matroska,webm": ".mkv .webm",
    "avi": ".avi",
    "mpegts": ".ts .mts .m2ts",
    "mpeg": ".mpg .mpeg .vob",
    "mpegvideo": ".m1v .m2v",
    "flv": ".flv",
    "asf": ".wmv .asf",
    "ogg": ".ogv",
    "mxf": ".mxf",
    "h264": ".h264 .264",
    "hevc": ".h265 .265 .hevc",
    "mjpeg": ".mjpeg .mjpg",
}
SUFFIXES = frozenset(" ".join(_READ.values()).split())
_CONTAINERS = {"format_whitelist": ",".join(_READ), "protocol_whitelist": "none"}
_READABLE = "MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG-PS, FLV, WMV, Ogg, MXF, raw H.264, HEVC, MPEG-2 and MJPEG"
INDEXED = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # these find the key frame before any time, exactly
RAW = {"mpegvideo", "h264", "hevc", "mjpeg"}  # pictures alone: whatever times FFmpeg has for them it has guessed
_LIMITS = {"max_pixels": str(MAX_PIXELS)}  # of decoders: also for a picture whose size the container does not tell


def existing(path: str | Path) -> Path:
    """The path of a file that is there, with ~ resolved; a UserError where there is none, or it is an address."""
    if "://" in str(path):
        raise UserError(f"{str(path)[:80]} is an address, not a file: download it first.")
    file = Path(os.path.expanduser(path))
    if not file.is_file():
        raise UserError(f"cannot open {path}: {'it is not a file' if file.exists() else 'there is no such file'}.")
    return file


@contextmanager
def opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Opens a file: its container and its largest video stream, ready to be decoded.

    Raises:
        UserError: it cannot be read, has no video, or pictures of over 64 million pixels.
    """
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
    stream = max(streams, key=_rank)  # the first of equals
    if stream.codec_context is None:
        raise UserError(f"{path}: its video is in a format that is not read here. Convert it to H.264.")
    require_size(stream.width, stream.height, str(path))
    stream.codec_context.options = _LIMITS
    stream.thread_type = "NONE"
    return stream


def _rank(stream: av.VideoStream) -> tuple:
    """A film comes before a still, a large one before its preview, that which players show before other views."""
    size = stream.width * stream.height if stream.codec_context else 0
    return stream.frames != 1, size, bool(stream.disposition & Disposition.default)


def require_size(width: int, height: int, name: str) -> None:
    """Raises a UserError for pictures of over 64 million pixels."""
    if width * height > MAX_PIXELS:
        raise UserError(f"{name} has pictures of {width:,} x {height:,} pixels, over {MAX_PIXELS:,}: shrink it first.")


def stated_duration(container, stream) -> float | None:
    """Seconds, as the file states or FFmpeg estimates them; None where neither does."""
    tag = stream.metadata.get("DURATION", "")  # of Matroska: its header has one duration for all streams together
    if match := re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", tag):
        hours, minutes, seconds = map(float, match.groups())
        return hours * 3600 + minutes * 60 + seconds
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None

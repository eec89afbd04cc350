"""Video files for tests, written with PyAV."""

import struct
from fractions import Fraction

import av
import numpy as np
from av.stream import Disposition
from PIL import Image

UNIT = 65536  # 1 in a display matrix
TURNS = {  # what a phone writes: a, b, c, d of the matrix, and what a player then shows
    "as it is": ((UNIT, 0, 0, UNIT), lambda picture: picture),
    "90": ((0, UNIT, -UNIT, 0), lambda picture: np.rot90(picture, -1)),
    "180": ((-UNIT, 0, 0, -UNIT), lambda picture: np.rot90(picture, 2)),
    "270": ((0, -UNIT, UNIT, 0), lambda picture: np.rot90(picture)),
    "mirrored": ((-UNIT, 0, 0, UNIT), np.fliplr),
    "mirrored and 90": ((0, UNIT, UNIT, 0), lambda picture: np.swapaxes(picture, 0, 1)),
}


# How a file with each ending is made: the container where the ending does not tell it, and the codec.
MADE = {
    ".3g2": (None, "mpeg4"),
    ".3gp": (None, "mpeg4"),
    ".264": ("h264", "libx264"),
    ".265": ("hevc", "libx265"),
    ".asf": (None, "wmv2"),
    ".avi": (None, "mpeg4"),
    ".f4v": (None, "libx264"),
    ".flv": (None, "flv"),
    ".h264": (None, "libx264"),
    ".h265": (None, "libx265"),
    ".hevc": (None, "libx265"),
    ".m1v": (None, "mpeg1video"),
    ".m2ts": (None, "libx264"),
    ".m2v": (None, "mpeg2video"),
    ".m4v": ("mp4", "libx264"),
    ".mjpeg": (None, "mjpeg"),
    ".mjpg": (None, "mjpeg"),
    ".mkv": (None, "libx264"),
    ".mov": (None, "libx264"),
    ".mp4": (None, "libx264"),
    ".mpeg": ("dvd", "mpeg2video"),
    ".mpg": (None, "mpeg1video"),
    ".mts": ("mpegts", "libx264"),
    ".mxf": (None, "mpeg2video"),
    ".ogv": (None, "libvpx"),
    ".ts": (None, "libx264"),
    ".vob": (None, "mpeg2video"),
    ".webm": (None, "libvpx-vp9"),
    ".wmv": (None, "wmv2"),
}


def write(
    path, pictures, codec="libx264", pix_fmt="yuv420p", times=None, rate=20, aspect=None, title="", form=None, **options
):
    """Pictures, uint8 (H, W, 3), at the times in seconds; options are those of the container."""
    if codec == "libx264":
        quality = {"preset": "ultrafast", "crf": "4"}
    elif codec == "libx265":
        quality = {"preset": "ultrafast", "crf": "4", "x265-params": "log-level=none"}
    else:
        quality = {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"} if "vp9" in codec else {}
    with av.open(str(path), "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=rate, options=quality)
        stream.pix_fmt, stream.codec_context.gop_size = pix_fmt, 10
        container.metadata["title"] = title
        if codec in ("mpeg4", "mpeg1video", "mpeg2video", "flv", "wmv2", "mjpeg"):
            stream.codec_context.qmin = stream.codec_context.qmax = 2
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(pictures):
            if not number:
                stream.height, stream.width = picture.shape[:2]
                if aspect:
                    stream.codec_context.sample_aspect_ratio = aspect
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number if times is None else round(times[number] * 1000)
            frame.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def views(path, *of_pictures):
    """A file with several views: each has its pictures, of one size, 20 a second."""
    with av.open(str(path), "w") as container:
        streams = []
        for pictures in of_pictures:
            stream = container.add_stream("libx264", rate=20, options={"preset": "ultrafast", "crf": "4"})
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            streams.append(stream)
        for stream, pictures in zip(streams, of_pictures, strict=True):
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 20)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def animation(path, pictures, milliseconds):
    """An animated picture, its kind by the name's ending, with a time for each picture or one for all."""
    first, *others = map(Image.fromarray, pictures)
    options = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=others, duration=milliseconds, **options)
    return path


def folder(path, pictures, name="frame_{}.png"):
    """A folder of numbered pictures, from 1."""
    path.mkdir()
    for number, picture in enumerate(pictures, 1):
        Image.fromarray(picture).save(path / name.format(number))
    return path


def sound(path, cover=False):
    """A file without any video, but perhaps with a picture of the record's cover."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        if cover:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
            picture.disposition = Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(corner(), format="rgb24")
            frame.pts = 0
            container.mux(picture.encode(frame) + picture.encode(None))
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48000, 1024 * number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shades(count, size=(64, 48), step=4):
    """Plain gray pictures, each by `step` brighter than the one before."""
    return [np.full((size[1], size[0], 3), 20 + step * number, np.uint8) for number in range(count)]


def shade(picture):
    """Which of `shades` a decoded picture is."""
    return round((float(picture.mean()) - 20) / 4)


def noise(count, size=(64, 48)):
    """Pictures of which every byte of the file matters."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(picture).resize(size)) for picture in small]


def corner(size=(64, 48)):
    """A picture that looks different in every turn: red above left, green above right, blue below left."""
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[: size[1] // 2, : size[0] // 2, 0] = 255
    picture[: size[1] // 2, size[0] // 2 :, 1] = 255
    picture[size[1] // 2 :, : size[0] // 2, 2] = 255
    return picture


def turn(path, matrix):
    """Writes a display matrix into the track header of an MP4 (ISO/IEC 14496-12, tkhd of version 0)."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    a, b, c, d = matrix
    assert struct.unpack(">9i", content[place : place + 36]) == (UNIT, 0, 0, 0, UNIT, 0, 0, 0, 1 << 30)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path

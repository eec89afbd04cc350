"""Pictures that are shown one after another -> a clip: an animation, or a folder of numbered frames."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from pathlib import Path

import numpy as np
from PIL import Image

from fer_hub import images, picture_files
from fer_hub.errors import UserError
from fer_hub.recognition.containers import existing
from fer_hub.recognition.video_reader import VideoFile, require_part

FOLDER_RATE = 25  # pictures per second of a folder
_INSTANT = 0.0101  # seconds; what states less is shown for
_USUAL = 0.1  # seconds, as browsers do it


@dataclass(frozen=True)
class StillPicture:
    """One picture of a clip.

    Attributes:
        index: among the pictures from `start` on, from 0.
        time: seconds from the beginning of the clip.
        image: upright, mode L or RGB.
    """

    index: int
    time: float
    image: Image.Image

    def rgb(self) -> np.ndarray:
        """The picture as uint8 (H, W, 3), 0-255."""
        return np.asarray(self.image.convert("RGB"))


class Animation:
    """An animated GIF, PNG, WebP or AVIF; iterating decodes it picture by picture, in constant memory.

    A picture without a time, or with one of up to 0.01 s, is shown for 0.1 s, as browsers do it. What is damaged ends
    the animation, and `problem` says so.

    Attributes:
        duration: seconds; None until the animation has been read to its end, because no file states it.
        picture_count: how many there are.
        rate: pictures per second of most animations, 10: each picture has a time of its own.
        problem: what of the file could not be read so far, for people; None if nothing is known to be wrong.
    """

    rate = Fraction(10)

    def __init__(self, path: str | Path, start: float = 0.0, end: float | None = None):
        """Opens the file, counts its pictures and closes it.

        Args:
            path: the file.
            start: seconds from which pictures are given.
            end: seconds before which they are shown; None for all.

        Raises:
            UserError: no such file, no animation, or nothing lies between start and end.
        """
        require_part(start, end, None)
        self.path, self.start, self.end = existing(path), start, end
        self.duration = self.problem = None
        if not is_animation(self.path):
            raise UserError(f"{path} is no animated GIF, PNG, WebP or AVIF.")
        with _opened(self.path) as animation:
            self._first = int(getattr(animation, "default_image", False))  # a PNG's still, for those who show no more
            self.picture_count = animation.n_frames - self._first

    def __iter__(self) -> Iterator[StillPicture]:
        """The pictures that can be read; `problem` and `duration` are known in the end.

        Raises:
            UserError: not one picture can be read, or none from `start` on.
        """
        self.problem, time, count = None, 0.0, 0
        with _opened(self.path) as animation:
            for number in range(self.picture_count):
                if self.end is not None and time >= self.end:
                    break
                try:
                    animation.seek(self._first + number)
                    image = images.read(animation)
                except Exception as error:  # Pillow's decoders raise whatever comes
                    self.problem = f"after {time:.2f} s (picture {number}) the animation is damaged: {error}"
                    break
                if time >= self.start:
                    yield StillPicture(count, time, image)
                    count += 1
                time = round(time + _seconds(animation), 6)
            else:
                self.duration = time
        if not count:
            _refuse(self.path, self.start, time, self.problem)


class FrameFolder:
    """A folder whose pictures are the frames of a clip, in the order of the numbers in their names.

    Subfolders, hidden files and what is no picture by its suffix are passed over. Pictures that cannot be read are left
    out, and `problem` says so.

    Attributes:
        duration: seconds.
        picture_count: files.
        rate: pictures per second, as given.
        problem: what could not be read so far, for people; None if nothing is known to be wrong.
    """

    def __init__(self, path: str | Path, rate: float = FOLDER_RATE, start: float = 0.0, end: float | None = None):
        """Lists the folder; nothing is opened.

        Args:
            path: the folder.
            rate: pictures per second.
            start: seconds from which pictures are given.
            end: seconds before which they are shown; None for all.

        Raises:
            UserError: the folder has no pictures or cannot be listed, the rate is not from 1/1000 to 1000, or nothing
                lies between start and end.
        """
        if not isinstance(rate, Real) or not 0.001 <= rate <= 1000:
            raise UserError(f"fps={rate!r} is not a number of pictures per second, from 0.001 to 1000.")
        self.path, self.start, self.end = Path(os.path.expanduser(path)), start, end
        self.rate, self.problem = Fraction(rate).limit_denominator(1001), None
        self._files = frames_in(self.path)
        if not self._files:
            raise UserError(f"{path} has no pictures, going by the suffixes of its files.")
        self.picture_count, self.duration = len(self._files), len(self._files) / float(self.rate)
        require_part(start, end, self.duration)

    def __iter__(self) -> Iterator[StillPicture]:
        """The pictures that can be read; `problem` grows meanwhile.

        Raises:
            UserError: not one picture can be read.
        """
        self.problem, count, unread = None, 0, []
        for number, file in enumerate(self._files):
            time = round(float(number / self.rate), 6)
            if time < self.start:
                continue
            if self.end is not None and time >= self.end:
                break
            count += 1
            try:
                image = images.read(file)
            except UserError as error:
                unread.append(str(error))
                self.problem = f"{len(unread)} of {self.picture_count} pictures cannot be read: {unread[0]}"
                continue
            yield StillPicture(count - 1, time, image)
        if count == len(unread):
            _refuse(self.path, self.start, self.duration, self.problem)


def open_clip(
    path: str | Path, *, start: float = 0.0, end: float | None = None, fps: float | None = None
) -> VideoFile | Animation | FrameFolder:
    """Opens a video, an animation or a folder of frames, going by what it is and not by its name.

    Args:
        path: the file or folder.
        start: seconds from which pictures are given.
        end: seconds before which they are shown; None for all.
        fps: pictures per second of a folder, default 25.

    Raises:
        UserError: as the classes do; `fps` is given for a file.
    """
    place = os.path.expanduser(path)
    if os.path.isdir(place):
        return FrameFolder(path, FOLDER_RATE if fps is None else fps, start, end)
    if fps is not None:
        raise UserError(f"fps={fps} is for a folder of frames: {path} has times of its own.")
    return Animation(path, start, end) if is_animation(place) else VideoFile(path, start, end)


def is_animation(path: str | Path) -> bool:
    """Whether a file is an animated GIF, PNG, WebP or AVIF; only its header is read."""
    try:
        if not os.path.isfile(path):  # opening a named pipe would wait for ever
            return False
        with _opened(path) as opened:
            return picture_files.is_animation(opened)
    except Exception:
        return False  # whoever reads it next says what is wrong


def frames_in(folder: str | Path) -> list[Path]:
    """The pictures of a folder by the numbers in their names: frame_2.png comes before frame_10.png.

    Raises:
        UserError: the folder cannot be listed.
    """
    known = picture_files.suffixes()
    try:
        files = [Path(entry.path) for entry in os.scandir(folder) if entry.is_file()]
    except OSError as error:
        raise UserError(f"cannot open {folder}: {error.strerror}.") from error
    shown = [file for file in files if file.suffix.lower() in known and not file.name.startswith(".")]
    return sorted(shown, key=_natural)


def _natural(file: Path) -> list:
    """Numbers count as numbers; every second part is one, so that they are never compared with words."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.name)]


def _opened(path: str | Path) -> Image.Image:
    Image.init()
    return Image.open(
        path, formats=[form for form in picture_files.ANIMATED if form in Image.OPEN]
    )  # AVIF is Pillow's choice


def _seconds(animation: Image.Image) -> float:
    """How long the picture that was read last is shown."""
    stated = (animation.info.get("duration") or 0) / 1000
    return stated if stated > _INSTANT else _USUAL


def _refuse(path: Path, start: float, end: float, problem: str | None) -> None:
    if start and not problem:
        raise UserError(f"start={start:g} is after the end of {path}, which has {end:.2f} s.")
    raise UserError(f"{path}: not one picture can be read. {problem or 'It has none'}.")

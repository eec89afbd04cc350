"""A camera, an address or a file -> a window with the faces drawn in, and a table or JSON lines while they come."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np

from fer_hub.errors import UserError
from fer_hub.hub.locate import DEFAULT_MODEL
from fer_hub.recognition.recognizer import EmotionRecognizer
from fer_hub.recognition.stream import Stream, named
from fer_hub.recognition.video import Frame, csv_lines

SUFFIXES = (".csv", ".jsonl")
TITLE = "FER Hub (q or Esc ends)"


def live(
    source: str = "0",
    model: str = DEFAULT_MODEL,
    output: str | None = None,
    max_faces: int | None = None,
    min_face_size: float = 0,
) -> dict:
    """Watch a source until it ends, its window is closed or Ctrl-C is pressed.

    Args:
        source: a camera's number or device, an address or a video file, as `stream.Stream` takes them.
        model: a shipped name, an existing folder or a Hub id.
        output: a new .csv (the columns of `video.to_csv`) or .jsonl (a `Frame.to_dict` a line), written line by line;
            "-" is JSON lines on standard output.
        max_faces: as for `EmotionRecognizer`.
        min_face_size: as for `EmotionRecognizer`.

    Returns:
        As JSON takes it: "source", "model", "started" (local time, ISO 8601, None before the first picture), "seconds"
        (time of the last frame), "frames_seen", "tracks" (how many faces were followed), "written", "problem" and
        "failed", 1 where there is a problem, which is shown on standard error too.

    Raises:
        UserError: neither a window nor an output, an output that exists or cannot be written, no such model, or a
            source that cannot be opened.
    """
    _require_output(output)
    has_window = _has_window()
    if not has_window and output is None:
        raise UserError(
            "there is no display to draw in. This writes instead, as .csv, as .jsonl, or to standard output with -:\n"
            f"  fer-hub live {named(source) if '://' in source else source} --output faces.csv"
        )
    recognizer = EmotionRecognizer.from_pretrained(model, max_faces=max_faces, min_face_size=min_face_size)
    found = {"source": named(source), "model": model, "started": None, "seconds": 0.0, "frames_seen": 0, "tracks": 0}
    with recognizer.stream(source) as stream:
        frames = _counted(stream, found)
        if has_window:
            frames = _drawn(frames, stream, recognizer)
        try:
            frames = chain([next(frames)], frames)  # before the output: a source that does not open leaves no file
            with _writing(output) as file:
                for line in _lines(frames, output, recognizer.model.label_names):
                    file.write(line)
                    file.flush()
        except KeyboardInterrupt:  # the usual end of a camera
            pass
    if stream.problem:
        print(f"error: {stream.problem}", file=sys.stderr)
    written = output if found["frames_seen"] else None
    return found | {"written": written, "problem": stream.problem, "failed": int(stream.problem is not None)}


def as_text(found: dict) -> str:
    """What `live` has seen, for people."""
    count = found["tracks"]
    faces = "no face found" if not count else f"{count} face{'' if count == 1 else 's'}"
    frames = f"{found['frames_seen']:,} frame{'' if found['frames_seen'] == 1 else 's'}"
    text = f"{found['source']}: {found['seconds']:.1f} s, {frames} looked at, {faces}"
    return text + (f", written to {found['written']}" if found["written"] not in (None, "-") else "")


def _counted(stream: Stream, found: dict) -> Iterator[Frame]:
    for frame in stream:
        found["started"] = found["started"] or datetime.now().astimezone().isoformat(timespec="seconds")
        found["seconds"], found["frames_seen"] = round(frame.time, 6), found["frames_seen"] + 1
        found["tracks"] = max([found["tracks"], *(face.track for face in frame.faces)])
        yield frame


def _drawn(frames: Iterable[Frame], stream: Stream, recognizer: EmotionRecognizer) -> Iterator[Frame]:
    """The same frames, each shown in the window, until it is closed."""
    import cv2

    try:
        for frame in frames:
            drawn = np.asarray(recognizer.draw(stream.picture, frame.faces))
            cv2.imshow(TITLE, np.ascontiguousarray(drawn[:, :, ::-1]))
            key = cv2.waitKey(1) & 0xFF
            yield frame
            if key in (ord("q"), 27) or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                return
    finally:
        cv2.destroyAllWindows()


def _lines(frames: Iterable[Frame], output: str | None, label_names: tuple[str, ...]) -> Iterator[str]:
    if output is not None and output.lower().endswith(".csv"):
        return csv_lines(frames, label_names)
    return (json.dumps(frame.to_dict(), allow_nan=False) + "\n" for frame in frames)


@contextmanager
def _writing(output: str | None) -> Iterator[IO[str]]:
    if output == "-":
        yield sys.stdout
        return
    if output is None:
        with open(os.devnull, "w", encoding="utf-8") as file:
            yield file
        return
    try:
        with Path(output).expanduser().open("x", encoding="utf-8", newline="") as file:
            print(f"writing {output}; Ctrl-C ends it and keeps what is written", file=sys.stderr)
            yield file
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}. What was written before is kept.") from error


def _require_output(output: str | None) -> None:
    if output in (None, "-"):
        return
    path = Path(output).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--output {output} is neither {' nor '.join(SUFFIXES)}, nor - for standard output.")
    if path.exists():
        raise UserError(f"--output {output} exists, and a recording cannot be repeated: name a new file.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--output {output}: there is no folder {path.parent}.")


def _has_window() -> bool:
    """Whether OpenCV can open a window here."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    # In a process of its own: where a display is named that does not answer, OpenCV's window ends the whole program.
    trial = [sys.executable, "-c", "import cv2; cv2.namedWindow('FER Hub'); cv2.waitKey(1)"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0  # nosec B603  # fixed arguments

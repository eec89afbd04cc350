"""Cameras and addresses through OpenCV -> their pictures: of live ones the newest, of recordings all."""

import threading
from collections.abc import Iterator
from glob import glob
from time import monotonic, sleep

from PIL import Image

from fer_hub import images
from fer_hub.errors import UserError

WAIT = 10_000  # milliseconds for a network stream to open, and for its next picture
PATIENCE = 1.0  # seconds in which a camera may give nothing, as some do while they start
_SLACK = 0.5  # seconds by which a whole recording may end early: its stated number of pictures is an estimate
_POS_MSEC, _FPS, _FRAME_COUNT = 0, 5, 7  # cv2.CAP_PROP_...; cv2 itself is imported only where something is opened


def opened(source: int | str, name: str):
    """Open a camera or an address.

    Args:
        source: the number of a camera, or an address.
        name: of the source in messages.

    Returns:
        A `cv2.VideoCapture`, which the caller releases.

    Raises:
        UserError: it cannot be opened, or OpenCV does not start on this system.
    """
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            f"cameras and addresses are read with OpenCV, which does not start here: {error}. On Debian and Ubuntu: "
            "apt install libgl1 libglib2.0-0"
        ) from error
    if isinstance(source, int):
        capture = cv2.VideoCapture(source)
    else:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, WAIT, cv2.CAP_PROP_READ_TIMEOUT_MSEC, WAIT]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
    if capture.isOpened():
        return capture
    capture.release()
    if isinstance(source, int):
        devices = ", ".join(sorted(glob("/dev/video*"))[:8])
        raise UserError(
            f"cannot open {name}: there is none, another program uses it, or this one may not."
            + (f" Here are {devices}." if devices else "")
        )
    raise UserError(f"cannot open {name}: try the address, with user name and password, in a player such as VLC.")


def of_capture(capture, name: str, state) -> Iterator[tuple[int, float, Image.Image]]:
    """Read an open capture to its end.

    One that states how many pictures it has is a recording, and gives all of them. Any other is live: a thread reads it
    and keeps the newest picture only. The thread has ended when the iteration has.

    Args:
        capture: a `cv2.VideoCapture`, or what has its isOpened(), read() and get(); it gives BGR.
        name: of the source in messages.
        state: its `problem` is set where the source ends too early.

    Yields:
        The picture's number, counting those that were left out; its time in seconds, of a live source since its first
        picture; and the picture.

    Raises:
        UserError: it is not open, or gives not one picture.
    """
    if not capture.isOpened():
        raise UserError(f"{name} is not open: OpenCV could not open it, or it was released.")
    count = capture.get(_FRAME_COUNT)
    is_recording = 0 < count < 1e9  # live ones state 0, -1 or nonsense
    index, time = -1, 0.0
    for index, time, picture in _recorded(capture) if is_recording else _newest(capture):
        yield index, time, images.read(picture, "bgr")
    if index < 0:
        raise UserError(f"{name} gives no picture.")
    if not is_recording or index + 1 < count - _SLACK * _rate(capture):
        state.problem = f"{name} gives no more pictures after {time:.2f} s (picture {index + 1})"


def _rate(capture) -> float:
    rate = capture.get(_FPS)
    return rate if 1 <= rate <= 240 else 25.0


def _recorded(capture) -> Iterator[tuple[int, float, object]]:
    index, time, step = 0, 0.0, 1 / _rate(capture)
    while True:
        is_read, picture = capture.read()
        if not is_read:
            return
        stated = capture.get(_POS_MSEC) / 1000
        time = stated if stated > time or not index else time + step
        yield index, time, picture
        index += 1


def _newest(capture) -> Iterator[tuple[int, float, object]]:
    """The newest picture, whenever one is asked for that was not given yet."""
    changed, closing = threading.Condition(), threading.Event()
    newest, errors, has_ended = None, [], False

    def read() -> None:
        nonlocal newest, has_ended
        index, start, last = 0, None, monotonic()
        try:
            while not closing.is_set():
                is_read, picture = capture.read()
                now = monotonic()
                if is_read:
                    start, last = now if start is None else start, now
                    with changed:
                        newest = index, now - start, picture
                        changed.notify()
                    index += 1
                elif now - last > PATIENCE:
                    return
                else:
                    sleep(0.02)
        except Exception as error:  # goes to the thread that iterates
            errors.append(error)
        finally:
            with changed:
                has_ended = True
                changed.notify()

    thread = threading.Thread(target=read, name="fer-hub-stream", daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                while newest is None and not has_ended:
                    changed.wait(0.5)  # Windows lets no Ctrl-C through a wait without end
                found, newest = newest, None
            if found is None:
                break
            yield found
        if errors:
            raise errors[0]
    finally:
        closing.set()
        thread.join()

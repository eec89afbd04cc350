"""A camera for tests, with the interface of cv2.VideoCapture."""

import threading
import time

import cv2
from clips import shades


class Camera:
    """100 pictures a second; the Nth is the Nth of `pictures`. The first `failures` reads give none."""

    def __init__(self, pictures=None, failures=0):
        self.pictures, self.failures = iter(shades(50) if pictures is None else pictures), failures
        self.reads, self.is_released = 0, False

    def isOpened(self):
        return not self.is_released

    def get(self, name):
        return -1.0 if name == cv2.CAP_PROP_FRAME_COUNT else 0.0

    def read(self):
        assert not self.is_released
        time.sleep(0.01)
        self.reads += 1
        if self.reads <= self.failures:
            return False, None
        picture = next(self.pictures, None)
        return picture is not None, picture

    def release(self):
        self.is_released = True


def readers():
    """The threads that read live sources."""
    return [thread for thread in threading.enumerate() if thread.name == "fer-hub-stream"]

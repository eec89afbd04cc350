"""Faces at one time after another -> the same faces with a number for each person and calmer probabilities.

Nothing here knows where the pictures come from: a file, or a webcam whose visitor has a tracker of their own.
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy.optimize import linear_sum_assignment

from fer_hub.errors import UserError
from fer_hub.recognition.face import Face

HALF_LIFE = 0.25  # seconds; expressions last half a second to four (Ekman 2003, "Emotions Revealed")
MAX_GAP = 1.0  # seconds
MIN_OVERLAP = 0.1  # intersection over union: a head that moved by four fifths of its width; faces hardly overlap others


@dataclass(frozen=True)
class TrackedFace(Face):
    """A face with the number of its track; probabilities, emotion and uncertain are those after smoothing.

    Attributes:
        track: 1 for the first face that was seen, 2 for the next one; never given twice by one tracker.
    """

    track: int = 0

    def to_dict(self) -> dict:
        """As that of `Face`, with track."""
        return {"track": self.track} | super().to_dict()


@dataclass
class _Track:
    number: int
    box: tuple[int, int, int, int]
    probabilities: dict[str, float]
    seen: float


class Tracker:
    """Follows faces by the overlap of their boxes and smooths their probabilities over time.

    Faces are paired with the tracks whose last boxes they overlap so that the sum of the overlaps (intersection over
    union) is greatest; a pair needs at least 0.1. A track that is not seen for more than a second ends, and the next
    face there gets a new number; but a face is always compared with those of the call before, however long ago.
    Nobody is known by looks: who leaves and comes back is new, and people who pass each other may swap numbers.

    Smoothing is exponential in time: p += (1 - 2 ** (-dt / half_life)) * (new - p), with dt the seconds since the face
    was last seen. Its first probabilities stand as they are. So the same motion gives the same curve at every frame
    rate. What it costs is delay: half of a change shows after `half_life`, 94 % after four times that, and an
    expression that is shorter may not come first at all.

    The state is a box and the probabilities of each face seen in the last second; it can be copied and pickled.
    """

    def __init__(self, half_life: float = HALF_LIFE, threshold: float | None = None):
        """Begins with no face.

        Args:
            half_life: seconds, 0 for no smoothing.
            threshold: faces whose best probability, after smoothing, is below it are uncertain, 0..1; None: none is.

        Raises:
            UserError: a negative half-life.
        """
        if not half_life >= 0:  # NaN fails too
            raise UserError(f"half_life {half_life} is not a number of seconds from 0 on.")
        self.half_life, self.threshold = half_life, threshold
        self._tracks: list[_Track] = []
        self._time = float("-inf")
        self._count = 0

    def update(self, faces: list[Face], time: float) -> list[TrackedFace]:
        """Takes the faces of the next picture.

        Args:
            faces: as the recognizer gives them, always of the same model.
            time: seconds, on any clock, not before that of the last call.

        Returns:
            The same faces in the same order.

        Raises:
            UserError: time runs backwards.
        """
        if not time >= self._time:
            raise UserError(f"time {time} s comes after {self._time} s: a new recording needs a new Tracker().")
        self._tracks = [t for t in self._tracks if t.seen == self._time or time - t.seen <= MAX_GAP]
        tracks = self._matched(faces)
        for position, face in enumerate(faces):
            if position in tracks:
                self._follow(tracks[position], face, time)
            else:
                tracks[position] = self._begin(face, time)
        self._time = time
        return [self._tracked(face, tracks[position]) for position, face in enumerate(faces)]

    def _matched(self, faces: list[Face]) -> dict[int, _Track]:
        overlap = _overlaps([face.box for face in faces], [track.box for track in self._tracks])
        overlap[overlap < MIN_OVERLAP] = 0  # before the assignment, so that no good pair is given up for two bad ones
        pairs = zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
        return {int(face): self._tracks[track] for face, track in pairs if overlap[face, track]}

    def _begin(self, face: Face, time: float) -> _Track:
        self._count += 1
        self._tracks.append(_Track(self._count, face.box, face.probabilities, time))
        return self._tracks[-1]

    def _follow(self, track: _Track, face: Face, time: float) -> None:
        weight = 1 - 2 ** (-(time - track.seen) / self.half_life) if self.half_life else 1.0
        old = track.probabilities
        track.probabilities = {name: old[name] + weight * (new - old[name]) for name, new in face.probabilities.items()}
        track.box, track.seen = face.box, time

    def _tracked(self, face: Face, track: _Track) -> TrackedFace:
        known = {field.name: getattr(face, field.name) for field in fields(Face)}
        known["probabilities"] = dict(track.probabilities)
        known["uncertain"] = self.threshold is not None and max(track.probabilities.values()) < self.threshold
        return TrackedFace(**known, track=track.number)


def _overlaps(boxes: list, others: list) -> np.ndarray:
    """Intersection over union of each box with each other one, float64 (N, M), 0..1; 0 for boxes without area."""
    a, b = np.array(boxes, float).reshape(-1, 1, 4), np.array(others, float).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)

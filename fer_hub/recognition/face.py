"""`Face`: one face of a picture and what it shows."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Face:
    """One face of a picture and what it shows; `to_dict()` is what `json.dumps` and web frameworks take.

    Attributes:
        probabilities: of each expression, 0..1, in the order of the model's labels; they sum to 1.
        box: left, top, right, bottom in pixels of the upright picture, within it.
        detection_score: how sure the detector is that this is a face, 0..1; None where it was not asked.
        uncertain: the highest probability is below the model's abstention threshold (False where it has none).
        crop: uint8 (48, 48), 0-255: what the model saw.
    """

    probabilities: dict[str, float]
    box: tuple[int, int, int, int]
    detection_score: float | None = None
    uncertain: bool = False
    crop: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def emotion(self) -> str:
        """The expression with the highest probability."""
        return max(self.probabilities, key=self.probabilities.get)

    def to_dict(self) -> dict:
        """As JSON takes it: emotion, probabilities, box, detection_score, uncertain."""
        return {
            "emotion": self.emotion,
            "probabilities": self.probabilities,
            "box": list(self.box),
            "detection_score": self.detection_score,
            "uncertain": self.uncertain,
        }

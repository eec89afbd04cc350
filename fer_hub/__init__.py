"""FER Hub: facial expression recognition on FER2013 that can be reproduced, trusted and loaded anywhere.

Names resolve on first use, so `import fer_hub` costs milliseconds and loads neither torch nor timm.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

# ONNX Runtime, which finds the faces, reports each session to Microsoft from 1.29 on and keeps a number of the device
# in ~/.cache. It reads this once, when it is imported, so it stands before everything else. An environment that sets it
# to 0 has the last word.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_NAMES = {
    "EMOTIONS": "fer_hub.labels",
    "EmotionRecognizer": "fer_hub.recognition.recognizer",
    "FERModel": "fer_hub.models.model",
    "UserError": "fer_hub.errors",
}
_MODULES = {
    "explain": "fer_hub.recognition.explain",
    "timeline": "fer_hub.recognition.timeline",
    "video": "fer_hub.recognition.video",
}

if TYPE_CHECKING:
    from fer_hub.errors import UserError
    from fer_hub.labels import EMOTIONS
    from fer_hub.models.model import FERModel
    from fer_hub.recognition import explain, timeline, video
    from fer_hub.recognition.recognizer import EmotionRecognizer

__all__ = ["EMOTIONS", "EmotionRecognizer", "FERModel", "UserError", "__version__", "explain", "timeline", "video"]


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'fer_hub' has no attribute {name!r}")


def __dir__():
    return __all__

"""FER Hub: facial expression recognition on FER2013 that can be reproduced, trusted and loaded anywhere.

Names resolve on first use, so `import fer_hub` costs milliseconds and loads neither torch nor timm.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# ONNX Runtime, which finds the faces, reports each session to Microsoft from 1.29 on and keeps a number of the device
# in ~/.cache. It reads this once, when it is imported, so it stands before everything else. An environment that sets it
# to 0 has the last word.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_LAZY = {
    "EMOTIONS": "fer_hub.labels",
    "EmotionRecognizer": "fer_hub.recognizer",
    "FERModel": "fer_hub.model",
    "UserError": "fer_hub.errors",
}

if TYPE_CHECKING:
    from fer_hub.errors import UserError
    from fer_hub.labels import EMOTIONS
    from fer_hub.model import FERModel
    from fer_hub.recognizer import EmotionRecognizer

__all__ = ["EMOTIONS", "EmotionRecognizer", "FERModel", "UserError", "__version__"]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'fer_hub' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__():
    return __all__

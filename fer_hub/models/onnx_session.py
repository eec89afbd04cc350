"""An exported ONNX file -> the probabilities of faces, with ONNX Runtime alone."""

from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from fer_hub.errors import UserError
from fer_hub.images import SIZE
from fer_hub.untrusted import MAX_FILE, parse_json, read_file

BATCH = 64  # images in one run; bounds memory


def probabilities(path: Path, images: torch.Tensor | np.ndarray) -> np.ndarray:
    """What an exported file says of faces: `run` of `open_session`, which opens the file each time."""
    return run(open_session(path), images)


def open_session(path: Path):
    """Opens an exported file for any number of `run`s, on the CPU, with torch's number of threads.

    Args:
        path: a file of `export.export_onnx` or `export.export_int8`.

    Returns:
        An `onnxruntime.InferenceSession`.

    Raises:
        UserError: onnxruntime, the only package that this needs, is missing, or it is no such file.
    """
    try:
        import_module("onnxruntime")
    except ImportError as error:
        raise UserError(f"ONNX files need a package that is missing ({error}): pip install onnxruntime") from error
    try:
        session = session_of(read_file(path, MAX_FILE))
    except UserError:
        raise
    except Exception as error:  # onnxruntime raises a dozen types of its own
        raise UserError(f"cannot read {path} as ONNX: {error}. Export it again: fer-hub export MODEL") from error
    ports = [f"{port.name}, {port.type}" for port in (*session.get_inputs(), *session.get_outputs())]
    if ports != ["images, tensor(uint8)", "probabilities, tensor(float)"] or not label_names(session):
        raise UserError(
            f"{path} is no ONNX file of FER Hub. Those take images, tensor(uint8) (N, {SIZE}, {SIZE}), give "
            "probabilities, tensor(float) (N, C), and name the C classes in the metadata label_names, a JSON list; "
            f"this one has {'; '.join(ports)}, and the classes {', '.join(label_names(session)) or 'unnamed'}. "
            "Others can be run by a Python function of such images: module:function"
        )
    return session


def label_names(session) -> tuple[str, ...]:
    """The classes of a session, in the order of its probabilities; none where the file does not name them."""
    try:
        names = parse_json(session.get_modelmeta().custom_metadata_map["label_names"])
    except (KeyError, ValueError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def run(session, images: torch.Tensor | np.ndarray) -> np.ndarray:
    """The probabilities of faces.

    Args:
        session: as from `open_session`.
        images: uint8 (N, 48, 48), 0-255, N > 0.

    Returns:
        float32 (N, C), in the order of `label_names`.
    """
    images = np.asarray(images)
    batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    return np.concatenate([session.run(["probabilities"], {"images": batch})[0] for batch in batches])


def session_of(model: bytes):
    """A session over the bytes of any ONNX file, on the CPU, with torch's number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

"""A model -> ONNX, in float32 and in 8 bits: one file each, from uint8 faces to probabilities.

Preprocessing and softmax are part of the graph, so whoever runs the file needs no more than the 48x48 gray face.
"""

import copy
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from fer_hub import __version__
from fer_hub.atomic_files import write_atomically
from fer_hub.data.label_sets import FER2013, LabelSet
from fer_hub.data.pixels import stratified_sample
from fer_hub.data.reading import AS_FOUND, Reading
from fer_hub.errors import UserError
from fer_hub.images import SIZE
from fer_hub.metrics.intervals import wilson
from fer_hub.models import trained_on
from fer_hub.models.model import FERModel
from fer_hub.models.onnx_session import BATCH, probabilities, run, session_of

# What torch's exporter writes by itself (any other goes through a converter); ONNX Runtime reads it since 1.14 (2023).
OPSET = 18
TOLERANCE = 1e-4  # of probabilities, against torch; exports differ by about 1e-6
CALIBRATION_IMAGES = 512
PREPROCESSING = (
    f"A face, cut closely: to gray by ITU-R BT.601 luma, resized to {SIZE}x{SIZE} by antialiased bicubic interpolation "
    "without keeping the aspect, as uint8 0-255. Scaling and normalization are in the graph."
)
QUANTIZATION = (
    "int8, static QDQ: weights in 7 bits per channel, activations in uint8 with the range that the calibration images "
    "take; preprocessing, last layer and softmax in float32"
)


def export(
    model: FERModel,
    folder: Path,
    int8: bool = False,
    dataset_name: str | None = None,
    labels: LabelSet = FER2013,
    reading: Reading = AS_FOUND,
) -> dict:
    """Writes `folder/onnx/model.onnx`, and with `int8` `model_int8.onnx`, which is also measured.

    Args:
        model: left as it is.
        folder: gets the folder `onnx`; created where needed.
        int8: also export in 8 bits.
        dataset_name: a source as `dataset.load` takes; for `int8`: its train split calibrates, its validation split
            measures.
        labels: what its labels mean.
        reading: as for `dataset.load`.

    Returns:
        `opset` and `files` (`path`, `bytes`); with `int8` also `dataset_name`, `float32` and `int8` (`n`, `accuracy`,
        `interval`) and `agreement`, the share of validation images with the same first class in both. The int8 file
        has these numbers in its metadata, too.

    Raises:
        UserError: a package is missing, the data do not fit, the folder cannot be written, or the export is not exact.
    """
    _import_packages()
    if int8 and not dataset_name:
        raise UserError("int8 is calibrated and measured on images: add --dataset_name, for example data/fer2013.")
    if int8:  # the data come first: if they do not open, nothing is written
        splits = trained_on.load(model, dataset_name, labels, reading)
        validation, calibration = splits["validation"], stratified_sample(splits["train"], CALIBRATION_IMAGES, seed=0)

    exact_file, coarse_file = (Path(folder) / "onnx" / name for name in ("model.onnx", "model_int8.onnx"))
    before = exact_file.read_bytes() if exact_file.is_file() else None
    export_onnx(model, exact_file)
    if before != exact_file.read_bytes():
        coarse_file.unlink(missing_ok=True)  # of other weights
    files, measured = [exact_file], {}
    if int8:
        files.append(coarse_file)
        export_int8(exact_file, coarse_file, calibration.images)
        truth = validation.labels.numpy()
        exact, coarse = (probabilities(file, validation.images).argmax(1) for file in files)
        measured = {
            "dataset_name": dataset_name,
            "float32": _accuracy(exact, truth),
            "int8": _accuracy(coarse, truth),
            "agreement": float((exact == coarse).mean()),
        }
        # Without the data set's name: it may be a path, and the file is published.
        published = {key: value for key, value in measured.items() if key != "dataset_name"}
        _write(_read(coarse_file), {"validation": json.dumps(published)}, coarse_file)
    return {"opset": OPSET, "files": [{"path": str(f), "bytes": f.stat().st_size} for f in files], **measured}


def export_onnx(model: FERModel, path: Path) -> None:
    """Writes a model in float32, after comparing the export with the model.

    The graph takes `images`, uint8 (N, 48, 48), 0-255, and gives `probabilities`, float32 (N, C) in the order of
    `label_names`, for any N.

    Args:
        model: on any device, in any mode; left as it is.
        path: the file; what stood there is replaced in one step.

    Raises:
        UserError: a package is missing, the architecture cannot be exported, the export differs from the model, or the
            file cannot be written. What stood at `path` then still stands.
    """
    _import_packages()
    # The exporter would write the strides of channels-last weights into the graph, with some onnxscripts as a loop.
    plain = copy.deepcopy(model).cpu().float().to(memory_format=torch.contiguous_format)
    network = torch.nn.Sequential(plain.eval(), torch.nn.Softmax(1))
    images = torch.randint(256, (7, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    proto = _trace(network, images[:2], model.architecture)  # torch would take a batch of one for a constant
    _forget_sources(proto)
    session = session_of(proto.SerializeToString())
    with torch.inference_mode():
        error = np.abs(run(session, images) - network(images).numpy()).max()
    if not error <= TOLERANCE:  # NaN fails, too
        raise UserError(
            f"the ONNX export of {model.architecture} differs from the model by {error:.2g} in its probabilities, "
            f"which is more than {TOLERANCE:g}; nothing was written. Another version of torch or onnxruntime may help: "
            "pip install --upgrade torch onnx onnxscript onnxruntime"
        )
    metadata = {
        "label_names": json.dumps(model.label_names),
        "preprocessing": PREPROCESSING,
        "architecture": model.architecture,
        "fer_hub": __version__,
        "opset": str(OPSET),
    }
    _write(proto, metadata, path)


def export_int8(onnx_path: Path, path: Path, calibration: torch.Tensor) -> None:
    """Writes an export of `export_onnx` in 8 bits: a quarter of the size, input and output as before.

    Args:
        onnx_path: the float32 file.
        path: the int8 file; what stood there is replaced in one step.
        calibration: uint8 (N, 48, 48), 0-255; a few hundred training images, which tell the activations' ranges.

    Raises:
        UserError: a package is missing, or a file cannot be read or written.
    """
    _import_packages()
    from onnxruntime import quantization
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    class Reader(quantization.CalibrationDataReader):
        batches = iter(calibration.split(BATCH))

        def get_next(self) -> dict | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch.numpy()}

    proto = _read(onnx_path)
    metadata = {prop.key: prop.value for prop in proto.metadata_props}
    ranges = {name: [{"rmin": np.float32(0)}] for name in _cut_at_zero(proto.graph)}
    nodes = list(proto.graph.node)
    layers = [row for row, node in enumerate(nodes) if node.op_type in ("Conv", "Gemm", "MatMul")]
    # From the first layer up to the last one, which stays float32: 5 kB that halve the change of the outputs.
    body = [node.name for node in nodes[layers[0] : layers[-1]] if node.op_type != "LayerNormalization"]
    add_pre_process_metadata(proto)  # torch has folded and inferred already; without it onnxruntime asks for that
    with tempfile.TemporaryDirectory() as folder:
        quantized = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            proto,
            quantized,
            Reader(),
            nodes_to_quantize=body,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            # 7 bits: x86 CPUs without VNNI add pairs of products in 16 bits, which 8-bit weights overflow: emulated,
            # the paper's CNN loses 5 points of accuracy there. With 7 bits it loses less than 0.1 point on any CPU.
            reduce_range=True,
            extra_options={"TensorQuantOverrides": ranges},
        )
        proto = _read(quantized)
    _write(proto, {**metadata, "quantization": f"{QUANTIZATION}; {len(calibration)} calibration images"}, path)


def _import_packages():
    """Imports what only exports need, and gives back onnx."""
    try:
        import_module("onnxscript")  # for torch's exporter
        import_module("onnxruntime")
        return import_module("onnx")
    except ImportError as error:
        raise UserError(
            f"exports need packages that are missing ({error}): pip install onnx onnxscript onnxruntime"
        ) from error


def _trace(network: torch.nn.Module, images: torch.Tensor, architecture: str):
    """What torch makes of a network, for any number of images."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    silent = io.StringIO()
    try:
        # Warnings speak of the exporter's own code, and where it fails it shows whole graphs, three times over, before
        # it raises what matters. For these seconds other threads are silent, too.
        with warnings.catch_warnings(action="ignore"), redirect_stdout(silent), redirect_stderr(silent):
            return torch.onnx.export(
                network,
                (images,),
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes=({0: torch.export.Dim("N")},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            ).model_proto
    except ImportError as error:  # each torch asks onnxscript for a module of its own
        raise UserError(
            f"onnxscript does not fit torch {torch.__version__} ({error}): pip install --upgrade onnx onnxscript"
        ) from error
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().split("\n")[0]
        raise UserError(f"{architecture} cannot be exported to ONNX: {reason} Choose another architecture.") from error
    finally:
        logging.disable(disabled)


def _cut_at_zero(graph) -> list[str]:
    """Tensors of which a ReLU, after any max pooling, drops the negative part.

    ReLU and max commute, so these tensors may be cut at zero where they are quantized, and all 256 steps are spent on
    what is left. onnxruntime sees this only where no pooling is between.
    """
    makers = {name: node for node in graph.node for name in node.output}
    readers = [name for node in graph.node for name in node.input]
    found = []
    for node in graph.node:
        name = node.input[0] if node.op_type == "Relu" else None
        while name and readers.count(name) == 1:
            found.append(name)
            name = makers[name].input[0] if makers[name].op_type == "MaxPool" else None
    return found


def _forget_sources(message) -> None:
    """Drops the exporter's notes, also within subgraphs: they quote source code, with the paths of the machine."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type:
            for part in [value] if hasattr(value, "ListFields") else value:  # one message or several
                _forget_sources(part)


def _read(path: Path):
    onnx = _import_packages()
    try:
        return onnx.load_from_string(Path(path).read_bytes())
    except Exception as error:  # protobuf has its own types, which differ by its implementation
        raise UserError(f"cannot read {path} as ONNX: {error}. Export it again: fer-hub export MODEL") from error


def _write(proto, metadata: Mapping[str, str], path: Path) -> None:
    """Checks a graph and writes it as one file; `metadata` is added to what it has, without onnxruntime's notes."""
    onnx = _import_packages()
    kept = {prop.key: prop.value for prop in proto.metadata_props if not prop.key.startswith("onnx.")}
    onnx.helper.set_model_props(proto, {**kept, **metadata})
    # Newer than needed, it would keep older runtimes from reading the file.
    proto.ir_version = onnx.helper.find_min_ir_version_for(proto.opset_import)
    onnx.checker.check_model(proto)
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot create {path.parent}: {error.strerror}. Name another folder: --output_dir exported"
        ) from error
    write_atomically(path, lambda temporary: temporary.write_bytes(proto.SerializeToString()))


def _accuracy(predictions: np.ndarray, labels: np.ndarray) -> dict:
    correct, count = int((predictions == labels).sum()), len(labels)
    return {"n": count, "accuracy": correct / count, "interval": wilson(correct, count)}

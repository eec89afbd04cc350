import json
import sys

import numpy as np
import pytest
import torch

import fer_hub
from fer_hub import EMOTIONS, FERModel, UserError
from fer_hub.data import dataset, pixels
from fer_hub.hub.locate import shipped_names
from fer_hub.models.onnx_export import OPSET, _forget_sources, export, export_int8, export_onnx
from fer_hub.models.onnx_session import probabilities

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def expected(model, images):
    with torch.inference_mode():
        return torch.cat([model.eval()(part).softmax(1) for part in images.split(64)]).numpy()


def metadata(path):
    return {prop.key: prop.value for prop in onnx.load(path).metadata_props}


@pytest.fixture(scope="module")
def images():
    return torch.randint(256, (65, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=["fer_paper_cnn", "test_resnet"])
def exported(request, tmp_path_factory):
    """A model with random weights, as a folder gives it back, and its file."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    FERModel(request.param, mean=0.5, std=0.25).save_pretrained(folder / "model")
    model = FERModel.from_pretrained(folder / "model").train()  # exports are of eval mode, whatever the model is in
    path = folder / "onnx" / "model.onnx"
    export_onnx(model, path)
    assert model.training
    return model, path


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    model, path = FERModel.from_pretrained("paper-cnn"), tmp_path_factory.mktemp("shipped") / "model.onnx"
    export_onnx(model, path)
    return model, path


@pytest.mark.parametrize("count", [1, 7, 65])
def test_equals_torch(exported, images, count):
    model, path = exported
    wanted = expected(model, images[:count])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (whole,) = session.run(None, {"images": images[:count].numpy()})
    assert whole.dtype == np.float32
    assert whole == pytest.approx(wanted, abs=1e-4)
    assert probabilities(path, images[:count]) == pytest.approx(wanted, abs=1e-4)


def test_file(exported):
    model, path = exported
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert {part.domain: part.version for part in proto.opset_import} == {"": OPSET}
    assert proto.ir_version == 8  # that of opset 18: what runs the opset reads the file
    assert [(port.name, port.type.tensor_type.elem_type) for port in (*proto.graph.input, *proto.graph.output)] == [
        ("images", onnx.TensorProto.UINT8),
        ("probabilities", onnx.TensorProto.FLOAT),
    ]
    found = metadata(path)
    assert json.loads(found["label_names"]) == list(EMOTIONS)
    assert all(word in found["preprocessing"] for word in ("BT.601", "48x48", "bicubic", "aspect", "uint8"))
    assert found["architecture"] == model.architecture
    assert found["fer_hub"] == fer_hub.__version__
    assert found["opset"] == str(OPSET)
    # The exporter quotes the source with its paths.
    assert b".py" not in path.read_bytes()
    # Layers and arithmetic alone: no indices from the strides of channels-last weights.
    assert not {node.op_type for node in proto.graph.node} & {"Loop", "Range", "Gather"}


def test_source_paths_are_forgotten_in_subgraphs_and_functions():
    source = "/home/me/private/model.py"

    def note(part):
        part.doc_string = source
        for attribute in getattr(part, "attribute", ()):
            attribute.doc_string = source
        if hasattr(part, "metadata_props"):
            onnx.helper.set_model_props(part, {"pkg.torch.onnx.stack_trace": source})
        return part

    def build(note):
        make, kind = onnx.helper, onnx.TensorProto.FLOAT
        port = note(make.make_tensor_value_info("one", kind, []))
        constant = note(make.make_node("Constant", [], ["one"], value=note(make.make_tensor("one", kind, [], [1.0]))))
        inner = note(make.make_graph([constant], "inner", [], [port]))
        choice = note(make.make_node("If", ["flag"], ["one"], then_branch=inner, else_branch=inner))
        outer = note(make.make_graph([choice], "outer", [], [port], value_info=[port]))
        loop = note(make.make_node("Loop", ["count", "flag"], ["one"], body=outer))
        opset = [make.make_opsetid("", OPSET)]
        function = note(make.make_function("local", "two", [], ["one"], [loop], opset))
        main = note(make.make_graph([loop], "main", [port], [port]))
        return note(make.make_model(main, functions=[function], opset_imports=opset))

    proto = build(note)
    assert proto.SerializeToString().count(source.encode()) > 20
    _forget_sources(proto)
    assert proto == build(lambda part: part)


def test_int8(shipped, images, tmp_path, capfd, caplog):
    model, path = shipped
    export_int8(path, tmp_path / "int8.onnx", images)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]
    assert [file.name for file in (*tmp_path.iterdir(), *path.parent.iterdir())] == ["int8.onnx", "model.onnx"]
    assert (tmp_path / "int8.onnx").stat().st_size < path.stat().st_size / 3.5
    assert probabilities(tmp_path / "int8.onnx", images) == pytest.approx(expected(model, images), abs=0.03)

    before, after = metadata(path), metadata(tmp_path / "int8.onnx")
    assert after.pop("quantization").startswith("int8")
    assert after == before
    proto = onnx.load(tmp_path / "int8.onnx")
    assert "Relu" not in [node.op_type for node in proto.graph.node]  # it is where the range begins
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer]
    weights = [tensor for tensor in weights if tensor.dtype == np.int8 and tensor.size > 256]  # not the zero points
    assert len(weights) == 4
    assert max(abs(tensor.astype(int)).max() for tensor in weights) <= 64  # 7 bits, or CPUs without VNNI overflow


def test_int8_of_a_stock_architecture(exported, images, tmp_path):
    model, path = exported
    export_int8(path, tmp_path / "int8.onnx", images)
    assert probabilities(tmp_path / "int8.onnx", images) == pytest.approx(expected(model, images), abs=0.03)


def test_flow(faces, write_csv, tmp_path):
    source = str(write_csv(faces))
    done = export(FERModel.from_pretrained("paper-cnn"), tmp_path / "new", int8=True, dataset_name=source)
    files = [tmp_path / "new" / "onnx" / name for name in ("model.onnx", "model_int8.onnx")]
    assert done["opset"] == OPSET
    assert done["files"] == [{"path": str(file), "bytes": file.stat().st_size} for file in files]
    labels = faces["validation"].labels.numpy()
    guesses = [probabilities(file, faces["validation"].images).argmax(1) for file in files]
    for name, guess in zip(("float32", "int8"), guesses, strict=True):
        assert done[name]["n"] == len(labels)
        assert done[name]["accuracy"] == (guess == labels).mean()
        low, high = done[name]["interval"]
        assert low <= done[name]["accuracy"] <= high
    assert done["agreement"] == (guesses[0] == guesses[1]).mean()
    measured = json.loads(metadata(files[1])["validation"])
    assert measured == {key: done[key] for key in ("float32", "int8", "agreement")}
    assert json.loads(json.dumps(done)) == done


def test_an_int8_file_does_not_outlive_its_weights(tmp_path):
    torch.manual_seed(0)
    model = FERModel()
    export(model, tmp_path)
    coarse = tmp_path / "onnx/model_int8.onnx"
    coarse.write_bytes(b"of these weights")
    export(model, tmp_path)
    assert coarse.exists()
    export(FERModel(), tmp_path)
    assert not coarse.exists()


def test_refuses_int8_without_fitting_data(tmp_path, faces, write_csv):
    with pytest.raises(UserError, match="--dataset_name"):
        export(FERModel(), tmp_path / "out", int8=True)
    with pytest.raises(UserError, match="classes"):
        export(FERModel(label_names=("yes", "no")), tmp_path / "out", int8=True, dataset_name=str(write_csv(faces)))
    assert not (tmp_path / "out").exists()


def test_a_failed_export_leaves_the_older_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"older")
    model = FERModel()
    with torch.no_grad():
        model.network.classifier.bias[0] = float("nan")
    with pytest.raises(UserError, match="differs"):
        export_onnx(model, path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.onnx", b"older")]
    with pytest.raises(UserError, match="cannot create"):
        export_onnx(FERModel(), path / "below_a_file.onnx")


def test_an_architecture_that_torch_cannot_trace(tmp_path, capfd, caplog):
    class Branch(torch.nn.Module):
        def forward(self, logits):
            return logits if logits.sum() > 0 else 2 * logits

    model = FERModel()
    model.network.classifier = torch.nn.Sequential(model.network.classifier, Branch())
    with pytest.raises(UserError, match="fer_paper_cnn cannot be exported to ONNX: .*data-dependent"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"{package}.*pip install onnx onnxscript onnxruntime"):
        export(FERModel(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unreadable_files(tmp_path):
    (tmp_path / "text.onnx").write_text("no graph")
    for path in (tmp_path / "text.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(UserError, match=f"cannot (read|open) {path}"):
            probabilities(path, torch.zeros(1, 48, 48, dtype=torch.uint8))
        with pytest.raises(UserError, match=f"cannot (read|open) {path}"):
            export_int8(path, tmp_path / "int8.onnx", torch.zeros(1, 48, 48, dtype=torch.uint8))
    assert not (tmp_path / "int8.onnx").exists()


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_models_on_fer2013(name, tmp_path, fer2013_path):
    model, path = FERModel.from_pretrained(name), tmp_path / "model.onnx"
    export_onnx(model, path)
    test = pixels.decode(dataset.load(fer2013_path)["test"], "test")
    assert len(test) == 3589
    found, wanted = probabilities(path, test.images), expected(model, test.images)
    assert found == pytest.approx(wanted, abs=1e-4)
    assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.999  # rounding decides between two that are equal

"""The paper's network, layer by layer (Figure 2), and Keras's initialization."""

import math

import pytest
import timm
import torch
from torch.nn import functional as F

import fer_hub.models.model  # noqa: F401 (registers fer_paper_cnn)
from fer_hub.models.paper_cnn import PaperCNN

LAYERS = {"conv1": 320, "conv2": 18_496, "conv3": 73_856, "dense": 524_544, "classifier": 1_799}


def test_parameters_of_each_layer():
    model = PaperCNN()
    counts = {name: sum(p.numel() for p in layer.parameters()) for name, layer in model.named_children()}
    assert counts == {**LAYERS, "dropout": 0}
    assert sum(counts.values()) == 619_015


def test_output_of_each_layer():
    model, shapes = PaperCNN().eval(), {}
    for name, layer in model.named_children():
        layer.register_forward_hook(lambda _, __, out, name=name: shapes.__setitem__(name, tuple(out.shape)))
    assert model.forward_features(torch.rand(2, 1, 48, 48)).shape == (2, 128, 4, 4)
    assert model(torch.rand(2, 1, 48, 48)).shape == (2, 7)
    assert shapes == {
        "conv1": (2, 32, 46, 46),
        "conv2": (2, 64, 21, 21),
        "conv3": (2, 128, 8, 8),
        "dense": (2, 256),
        "dropout": (2, 256),
        "classifier": (2, 7),
    }


def test_computes_figure_2_in_the_paper_order():
    torch.manual_seed(0)
    model, x = PaperCNN().eval(), torch.rand(4, 1, 48, 48)
    expected = x
    for layer in (model.conv1, model.conv2, model.conv3):
        expected = F.max_pool2d(F.relu(layer(expected)), 2)
    expected = model.classifier(F.relu(model.dense(expected.flatten(1))))
    torch.testing.assert_close(model(x), expected, rtol=0, atol=0)


def test_dropout_works_in_training_only():
    torch.manual_seed(0)
    model, x = PaperCNN(drop_rate=0.5), torch.rand(2, 1, 48, 48)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        ("conv1", 9, 32 * 9),
        ("conv2", 32 * 9, 64 * 9),
        ("conv3", 64 * 9, 128 * 9),
        ("dense", 2048, 256),
        ("classifier", 256, 7),
    ],
)
def test_initialization_is_keras_glorot_uniform(layer, fan_in, fan_out):
    torch.manual_seed(0)
    module = getattr(PaperCNN(), layer)
    bound = math.sqrt(6 / (fan_in + fan_out))
    assert module.weight.abs().max() <= bound
    assert module.weight.abs().max() > 0.95 * bound
    assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert not module.bias.any()


def test_is_registered_with_timm():
    model = timm.create_model("fer_paper_cnn", num_classes=8, drop_rate=0.25)
    assert model(torch.rand(1, 1, 48, 48)).shape == (1, 8)
    assert model.dropout.p == 0.25
    model.reset_classifier(3)
    assert model.get_classifier().out_features == 3
    model.reset_classifier(0)
    assert model(torch.rand(1, 1, 48, 48)).shape == (1, 256)

"""The first steps of each optimizer, by hand, and what weight decay reaches."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fer_hub import FERModel
from fer_hub.recipes import OPTIMIZERS, RECIPES
from fer_hub.training.optimizer import create_optimizer

CPU = torch.device("cpu")
PAPER = replace(RECIPES["paper"], learning_rate=0.1, weight_decay=0.01)


def two_steps(**fields):
    """A layer's weight and bias before, between and after two steps; the gradients are all .5, then all -.25."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    optimizer = create_optimizer(layer, replace(PAPER, **fields), CPU)
    values = [[parameter.detach().double().clone() for parameter in layer.parameters()]]
    for gradient in (0.5, -0.25):
        for parameter in layer.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
        values.append([parameter.detach().double().clone() for parameter in layer.parameters()])
    return values


def assert_steps(values, index, step):
    """`step(value, gradient, memory)` gives the next value and memory; checks them for weight 0 or bias 1."""
    now, memory = values[0][index], 0.0
    for gradient, after in zip((0.5, -0.25), values[1:], strict=True):
        now, memory = step(now, gradient, memory)
        torch.testing.assert_close(after[index], now, rtol=0, atol=1e-6)


def test_sgd_with_nesterov_momentum():
    values = two_steps(optimizer="sgd", momentum=0.8)

    def step(decay):
        def one(value, gradient, memory):
            gradient = gradient + decay * value
            memory = 0.8 * memory + gradient
            return value - 0.1 * (gradient + 0.8 * memory), memory

        return one

    assert_steps(values, 0, step(0.01))
    assert_steps(values, 1, step(0))  # a bias does not decay


def test_adamw_decays_apart_from_the_gradient():
    values = two_steps(optimizer="adamw")

    def step(decay):
        def one(value, gradient, memory):
            count, first, second = memory or (0, 0, 0)
            count, first, second = count + 1, 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            change = (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)) ** 0.5 + 1e-8)
            return value * (1 - 0.1 * decay) - 0.1 * change, (count, first, second)

        return one

    assert_steps(values, 0, step(0.01))
    assert_steps(values, 1, step(0))


def test_muon_makes_all_directions_of_a_weight_alike():
    torch.manual_seed(0)
    layer = nn.Linear(8, 6)
    optimizer = create_optimizer(layer, replace(PAPER, optimizer="muon", momentum=0.9), CPU)
    left, right = (torch.linalg.qr(torch.randn(side, side))[0] for side in (6, 8))
    lengths = torch.tensor([5.0, 4.0, 1.0, 1.0, 0.5, 0.5])
    layer.weight.grad = left * lengths @ right[:6]
    layer.bias.grad = torch.full((6,), -0.25)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer.step()
    change = weight * (1 - 0.1 * 0.01) - layer.weight.detach()  # decay is apart from the gradient, as AdamW's
    # All lengths become about 1 (Newton-Schulz stops early), times the rate and .2 sqrt(longer side).
    found = torch.linalg.svdvals(change) / (0.1 * 0.2 * 8**0.5)
    assert 0.6 < found.min() and found.max() < 1.3
    torch.testing.assert_close(layer.bias.detach(), bias + 0.19, rtol=0, atol=1e-5)  # NAdamW's first step


def test_adagrad_as_in_the_paper_recipe():
    values = two_steps(initial_accumulator_value=0.3)

    def step(value, gradient, memory):
        gradient = gradient + 0.01 * value
        memory = (memory if torch.is_tensor(memory) else 0.3) + gradient**2
        return value - 0.1 * gradient / (memory**0.5 + 1e-10), memory

    assert_steps(values, 0, step)
    assert_steps(values, 1, step)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_parameter_once_and_decay_for_weights_alone(name):
    model = FERModel("test_resnet")
    optimizer = create_optimizer(model, replace(PAPER, optimizer=name), CPU)
    found = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(found) == sorted(map(id, model.parameters()))
    decaying = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    layers = {id(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert decaying == (set(found) if name == "adagrad" else layers)
    assert {group["lr"] for group in optimizer.param_groups} == {0.1}

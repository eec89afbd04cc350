"""The training loss against numbers that are computed in another way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from fer_hub.recipes import RECIPES
from fer_hub.training.loss import balanced_weights, distillation_loss, training_loss

PAPER = RECIPES["paper"]
LOGITS = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (6, 7)).astype(np.float32))
LABELS = torch.tensor([0, 1, 2, 3, 6, 6])
OPINION = torch.from_numpy(np.random.default_rng(1).dirichlet(np.ones(7), 6).astype(np.float32))


def test_the_paper_recipe_sums_cross_entropies():
    wanted = F.cross_entropy(LOGITS, LABELS, reduction="sum")
    assert torch.equal(training_loss(LOGITS, LABELS, None, PAPER), wanted)
    by_hand = -np.log(softmax(LOGITS.double().numpy(), 1))[range(6), LABELS].sum()
    assert wanted.item() == pytest.approx(by_hand, rel=1e-6)


def test_labels_and_distributions_are_smoothed_alike():
    logs = np.log(softmax(LOGITS.double().numpy(), 1))
    hard = np.eye(7)[LABELS]
    for share in (0.0, 0.1, 0.5):
        config = replace(PAPER, label_smoothing=share)
        wanted = -((hard * (1 - share) + share / 7) * logs).sum()
        one_hot = torch.from_numpy(hard).float()
        assert training_loss(LOGITS, LABELS, None, config).item() == pytest.approx(wanted, rel=1e-6)
        assert training_loss(LOGITS, one_hot, None, config).item() == pytest.approx(wanted, rel=1e-6)


def test_class_weights_are_those_of_each_class_in_a_target():
    """By hand, for labels, smoothed labels and mixed targets: each class's part times its weight."""
    logs = np.log(softmax(LOGITS.double().numpy(), 1))
    weights = torch.rand(7, generator=torch.Generator().manual_seed(0))
    hard = np.eye(7)[LABELS]
    for share, targets in ((0.0, hard), (0.1, hard), (0.1, OPINION.double().numpy())):
        config = replace(PAPER, label_smoothing=share)
        wanted = -((targets * (1 - share) + share / 7) * weights.double().numpy() * logs).sum()
        given = [torch.from_numpy(targets).float()] + [LABELS] * (targets is hard)
        for each in given:
            assert training_loss(LOGITS, each, None, config, weights).item() == pytest.approx(wanted, rel=1e-5)
    # A mixed image has the mixed loss of the two.
    mixed = torch.lerp(torch.eye(7)[LABELS], torch.eye(7)[LABELS.flip(0)], 0.3)
    both = [training_loss(LOGITS, labels, None, PAPER, weights) for labels in (LABELS, LABELS.flip(0))]
    torch.testing.assert_close(training_loss(LOGITS, mixed, None, PAPER, weights), torch.lerp(*both, 0.3))


def test_class_weights_leave_the_teachers_part_alone():
    config = replace(PAPER, distillation_weight=1.0)
    weights = torch.arange(7.0)
    assert torch.equal(
        training_loss(LOGITS, LABELS, OPINION, config, weights), training_loss(LOGITS, LABELS, OPINION, config)
    )


def test_balanced_weights():
    """As scikit-learn's; 900, 300 and 60 images have the same share of the loss, and an image weighs 1 on average."""
    labels = torch.arange(3).repeat_interleave(torch.tensor([900, 300, 60]))
    weights = balanced_weights(labels, 3)
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    np.testing.assert_allclose(weights.numpy(), wanted, rtol=1e-6)
    torch.testing.assert_close(weights[labels].mean(), torch.tensor(1.0))
    torch.testing.assert_close(balanced_weights(F.one_hot(labels).float(), 3), weights)
    # A class without images has no share.
    torch.testing.assert_close(balanced_weights(labels, 4), torch.tensor([*weights, 0.0]))
    soft = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(balanced_weights(soft, 3), torch.tensor([2 / 3, 2.0, 0.0]))


def test_half_precision_logits_are_summed_in_float32():
    assert training_loss(LOGITS.bfloat16(), LABELS, OPINION, PAPER).dtype == torch.float32


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_distillation_is_the_divergence_from_the_teachers(temperature):
    student = softmax(LOGITS.double().numpy() / temperature, 1)
    wanted = temperature**2 * entropy(OPINION.double().numpy(), student, axis=1).sum()
    assert distillation_loss(LOGITS, OPINION, temperature).item() == pytest.approx(wanted, rel=1e-5)
    same = (LOGITS / temperature).softmax(1)
    assert distillation_loss(LOGITS, same, temperature).item() == pytest.approx(0, abs=1e-4)


def test_labels_and_teachers_share_the_loss():
    config = replace(PAPER, distillation_temperature=2.0, label_smoothing=0.1)
    labels, teachers = training_loss(LOGITS, LABELS, None, config), distillation_loss(LOGITS, OPINION, 2.0)
    for weight in (0.0, 0.3, 1.0):
        loss = training_loss(LOGITS, LABELS, OPINION, replace(config, distillation_weight=weight))
        torch.testing.assert_close(loss, (1 - weight) * labels + weight * teachers)


def test_a_student_of_teachers_alone_does_not_feel_its_labels():
    config = replace(PAPER, distillation_weight=1.0)
    gradients = []
    for labels in (LABELS, LABELS.flip(0)):
        logits = LOGITS.clone().requires_grad_()
        training_loss(logits, labels, OPINION, config).backward()
        gradients.append(logits.grad)
    assert torch.equal(*gradients) and gradients[0].any()

"""The training loss against numbers that are computed in another way, and the teachers in it."""

import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from fer_hub import FERModel, UserError
from fer_hub.recipes import RECIPES
from fer_hub.training.loss import balanced_weights, distillation_loss, training_loss
from fer_hub.training.resume import require_same_run
from fer_hub.training.teachers import ask, ensemble_of_all, fingerprints, load_teachers, require_classes

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


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A teacher beside the shipped one: another architecture, in colour when saved."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("teachers")
    FERModel("test_resnet").save_pretrained(folder / "resnet")
    FERModel(label_names=("good", "bad")).save_pretrained(folder / "other")
    return folder


def test_teachers_share_the_images_of_a_step_at_the_temperature(folders, faces):
    config = replace(PAPER, teacher=("paper-cnn", str(folders / "resnet")))
    teachers = load_teachers(config, torch.device("cpu"))
    images = faces["train"].images[:41]
    with torch.no_grad():
        each = [softmax(FERModel.from_pretrained(name)(images).double().numpy() / 3, 1) for name in config.teacher]
    orders = set()
    for seed in range(8):
        torch.manual_seed(seed)
        opinion = ask(teachers, images, 3.0)
        answered = [np.isclose(opinion.numpy(), own, atol=1e-5).all(1) for own in each]
        assert (answered[0] ^ answered[1]).all() and abs(answered[0].sum() - answered[1].sum()) == 1
        orders.add(bool(answered[0][0]))
    assert orders == {True, False} and opinion.dtype == torch.float32
    assert ask(teachers, images[:1], 3.0).shape == (1, 7)  # fewer images than teachers


def test_teachers_that_are_asked_once_see_mirror_images_too(folders, faces):
    config = replace(PAPER, teacher=("paper-cnn", str(folders / "resnet")), crop_size=44, cache_teachers=True)
    teachers = load_teachers(config, torch.device("cpu"))  # paper-cnn does not take pieces, and sees none
    images = faces["train"].images
    opinions = ensemble_of_all(teachers, images, 3.0, Accelerator(cpu=True))
    views = [sum(ask([teacher], view, 3.0) for teacher in teachers) / 2 for view in (images, images.flip(2))]
    torch.testing.assert_close(opinions, (views[0] + views[1]) / 2, rtol=0, atol=1e-6)
    assert opinions.dtype == torch.float32 and (views[0] - views[1]).abs().max() > 0.01


def test_a_step_of_the_student_leaves_the_teachers_as_they_were(folders, faces):
    config = replace(PAPER, teacher=("paper-cnn", str(folders / "resnet")))
    teachers = load_teachers(config, torch.device("cpu"))
    before = [{key: value.clone() for key, value in teacher.state_dict().items()} for teacher in teachers]
    student, images = FERModel().train(), faces["train"].images
    start = [parameter.detach().clone() for parameter in student.parameters()]
    optimizer = torch.optim.SGD([p for model in (student, *teachers) for p in model.parameters()], lr=0.1)
    training_loss(student(images), faces["train"].labels, ask(teachers, images, 1.0), config).backward()
    optimizer.step()
    for teacher, state in zip(teachers, before, strict=True):
        assert not teacher.training
        for key, value in teacher.state_dict().items():
            assert torch.equal(value, state[key]), key
    assert all(not torch.equal(now, then) for now, then in zip(student.parameters(), start, strict=True))


def test_teachers_of_no_use_are_refused(folders):
    config = replace(PAPER, teacher=("paper-cnn", str(folders / "other")))
    teachers = load_teachers(config, torch.device("cpu"))
    with pytest.raises(UserError, match="--teacher .*other knows good, bad, the data has angry, .*same classes"):
        require_classes(config, teachers, teachers[0].label_names)
    with pytest.raises(UserError, match="--crop_size 44: --teacher paper-cnn does not take 44x44 images"):
        load_teachers(replace(config, crop_size=44), torch.device("cpu"))
    with pytest.raises(UserError, match="no model at nowhere"):
        load_teachers(replace(config, teacher=("nowhere",)), torch.device("cpu"))


def test_a_run_goes_on_with_the_same_teachers_wherever_they_lie(folders, tmp_path):
    shutil.copytree(folders / "resnet", tmp_path / "moved")
    torch.manual_seed(1)
    FERModel("test_resnet").save_pretrained(tmp_path / "other")

    def record(*names):
        config = replace(PAPER, teacher=tuple(map(str, names)))
        known = fingerprints(load_teachers(config, torch.device("cpu")))
        return {"config": asdict(config), "global_batch_size": 64, "data": {"fingerprints": {}}, "teachers": known}

    before = record("paper-cnn", folders / "resnet")
    require_same_run(before, record("paper-cnn", tmp_path / "moved"), tmp_path)
    with pytest.raises(UserError, match="the weights of --teacher paper-cnn .*other are others"):
        require_same_run(before, record("paper-cnn", tmp_path / "other"), tmp_path)


@pytest.mark.parametrize("recipe", ["small", "paper-plus"])
def test_a_forgotten_recipe_is_named_without_what_follows_from_it(recipe, tmp_path):
    before, now = (
        {
            "config": asdict(RECIPES[name]),
            "global_batch_size": RECIPES[name].global_batch_size,
            "data": {"fingerprints": {}},
            "teachers": ["0123456789abcdef"] * len(RECIPES[name].teacher),
        }
        for name in (recipe, "paper")
    )
    with pytest.raises(UserError, match=rf"cannot be resumed so: --recipe was {recipe}, is paper\. Resume with"):
        require_same_run(before, now, tmp_path)

"""Teachers: what they are asked, and which ones are of use."""

import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from scipy.special import softmax

from fer_hub import FERModel, UserError
from fer_hub.recipes import RECIPES
from fer_hub.training.loss import training_loss
from fer_hub.training.resume import require_same_run
from fer_hub.training.teachers import ask, ensemble_of_all, fingerprints, load_teachers, require_classes

PAPER = RECIPES["paper"]


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

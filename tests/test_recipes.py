"""Batch sizes and learning rates that follow from a recipe."""

from dataclasses import replace

import pytest

import train
from fer_hub import UserError
from fer_hub.recipes import RECIPES, learning_rate, per_device_batch_size

PAPER = RECIPES["paper"]


def test_paper_recipe_is_the_paper():
    assert (PAPER.architecture, PAPER.num_train_epochs, PAPER.global_batch_size) == ("fer_paper_cnn", 20, 64)
    assert (PAPER.mean, PAPER.std, PAPER.lr_scheduler_type, PAPER.weight_decay) == (0, 1, "constant", 0)
    unused = ("hflip", "rotation", "scale", "translate", "crop_size", "brightness", "contrast", "erasing", "mixup",
              "cutmix", "label_smoothing", "class_weights", "teacher", "ema_decay", "drop_path_rate",
              "model_args")  # fmt: skip
    assert not any(getattr(PAPER, name) for name in unused)
    assert (PAPER.optimizer, PAPER.metric_for_best_model) == ("adagrad", "loss")


def test_flags_override_the_recipe(monkeypatch):
    resnet = replace(PAPER, architecture="resnet18", model_args={"width": 2}, optimizer="sgd", teacher=("a",))
    monkeypatch.setitem(train.RECIPES, "paper", resnet)

    def config(*flags):
        return train.parse_arguments(list(flags))[0]

    assert config() == replace(resnet, output_dir="runs/paper")
    assert config("--momentum", ".8", "--distillation_weight", "1") == replace(
        resnet, momentum=0.8, distillation_weight=1
    )
    assert config("--teacher", "b", "c", "--crop_size", "44") == replace(resnet, teacher=("b", "c"), crop_size=44)
    assert config("--model_args", '{"depth": [3]}').model_args == {"depth": [3]}
    assert config("--architecture", "resnet18").model_args == {"width": 2}
    assert config("--resume_from_checkpoint", "last").num_train_epochs is None  # as long as the run was
    assert config("--resume_from_checkpoint", "last", "--num_train_epochs", "3").num_train_epochs == 3
    assert config("--resume_from_checkpoint", "last", "--max_train_steps", "9").num_train_epochs == 20
    assert config("--architecture", "vgg11").model_args == {}  # those of the recipe are resnet18's


@pytest.mark.parametrize(("processes", "accumulation", "expected"), [(1, 1, 64), (2, 1, 32), (2, 4, 8), (1, 64, 1)])
def test_global_batch_is_shared(processes, accumulation, expected):
    assert per_device_batch_size(replace(PAPER, gradient_accumulation_steps=accumulation), processes) == expected


def test_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(UserError, match="--per_device_train_batch_size 21"):
        per_device_batch_size(PAPER, 3)
    assert per_device_batch_size(replace(PAPER, per_device_train_batch_size=21), 3) == 21


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1, 1]),
        ("constant_with_warmup", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_learning_rate_of_a_step(schedule, expected):
    config = replace(PAPER, learning_rate=1.0, lr_scheduler_type=schedule, num_warmup_steps=2)
    assert [learning_rate(config, step, 6) for step in range(6)] == pytest.approx(expected, abs=1e-6)

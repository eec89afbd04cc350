"""`TrainConfig`, the named recipes, and what follows from them: batch sizes and the learning rate of a step."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from fer_hub.errors import UserError

# Flags that do not change what a run learns: where things lie, and how the machine works on it.
WORKING_FLAGS = frozenset({
    "output_dir", "dataset_name", "dataset_revision", "image_column_name", "label_column_name",
    "ferplus", "per_device_train_batch_size",
    "gradient_accumulation_steps", "mixed_precision", "num_threads", "checkpointing_steps", "resume_from_checkpoint",
    "with_tracking", "report_to",
})  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run. `train.py --help` explains the fields; None means "find it out"."""

    recipe: str = "paper"
    output_dir: str = "runs/paper"
    seed: int = 0

    dataset_name: str = "AutumnQiu/fer2013"
    dataset_revision: str | None = None
    image_column_name: str | None = None  # what these two and the last two mean: `data.reading`
    label_column_name: str | None = None
    label_set: str = "fer2013"  # what these four mean: `label_sets`
    label_map: str | None = None
    ferplus: str | None = None
    soft_labels: bool = False
    drop_leaked_train: bool = False
    max_train_samples: int | None = None
    max_eval_samples: int | None = None
    no_test: bool = False
    group_column: str | None = None
    skip_unreadable: bool = False

    architecture: str = "fer_paper_cnn"
    model_args: dict = field(default_factory=dict)  # further arguments of the architecture
    pretrained: bool = False
    init_from: str | None = None
    drop_rate: float = 0.5
    mean: float = 0.0  # of the pixels in 0..1
    std: float = 1.0
    drop_path_rate: float = 0.0  # stochastic depth, of architectures that have it

    hflip: float = 0.0  # what these eight mean: `augment.augment`
    rotation: float = 0.0
    scale: float = 0.0
    translate: float = 0.0
    crop_size: int | None = None
    brightness: float = 0.0
    contrast: float = 0.0
    erasing: float = 0.0
    mixup: float = 0.0  # `augment.mix`
    cutmix: float = 0.0

    label_smoothing: float = 0.0
    class_weights: str | None = None  # balanced: `loss.balanced_weights`
    teacher: tuple[str, ...] = ()  # models whose probabilities are learned too
    cache_teachers: bool = False  # asked once, not in every step about what augmentation made of the images
    distillation_weight: float = 0.5  # of the teachers; the labels have the rest
    distillation_temperature: float = 1.0

    optimizer: str = "adagrad"
    momentum: float = 0.9  # of sgd and muon, Nesterov's
    ema_decay: float | None = None  # of the weights that are evaluated, selected and saved
    metric_for_best_model: str = "loss"
    learning_rate: float = 0.03
    initial_accumulator_value: float = 0.1  # as in Keras; torch starts at 0
    weight_decay: float = 0.0
    lr_scheduler_type: str = "constant"
    num_warmup_steps: int = 0
    num_train_epochs: int | None = 20  # None: as long as the run that is resumed
    max_train_steps: int | None = None
    global_batch_size: int = 64
    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int = 1

    mixed_precision: str | None = None
    num_threads: int | None = None
    checkpointing_steps: int | str = "epoch"
    resume_from_checkpoint: str | None = None
    with_tracking: bool = False
    report_to: str = "all"


# The paper states Adagrad, 20 epochs, batch 64 and the best checkpoint by validation loss. Learning rate, accumulator
# and dropout rate are ours, chosen on PublicTest: docs/paper.md has the sweep.
_PAPER = TrainConfig()

# A VGG of 1.2 million parameters that learns from the labels alone. docs/experiments.md has what was tried.
_SMALL_TEACHER = replace(
    _PAPER,
    recipe="small-teacher",
    architecture="fer_vgg",
    mean=0.5078,  # of FER2013's training images
    std=0.2550,
    drop_rate=0.0,
    hflip=0.5,
    rotation=15.0,
    scale=0.2,
    translate=0.1,
    crop_size=44,
    brightness=0.2,
    contrast=0.2,
    erasing=0.3,
    mixup=0.2,
    label_smoothing=0.1,
    optimizer="muon",
    learning_rate=0.005,
    weight_decay=0.05,
    lr_scheduler_type="cosine",
    num_warmup_steps=500,
    ema_decay=0.999,
    metric_for_best_model="accuracy",
    global_batch_size=128,
    num_train_epochs=70,
)

# A wider one, which learns what the first thinks of each changed image, and a part of the labels.
_SMALL = replace(
    _SMALL_TEACHER,
    recipe="small",
    model_args={"widths": [32, 64, 160, 320], "center": 40},
    crop_size=40,
    mixup=0.4,
    label_smoothing=0.0,
    teacher=("runs/small-teacher/best",),
    distillation_weight=0.7,
    distillation_temperature=1.5,
    num_train_epochs=100,
)

# The paper's network, which learns what fer-small thinks of each changed image, and a little of the labels.
_PAPER_PLUS = replace(
    _SMALL_TEACHER,
    recipe="paper-plus",
    architecture="fer_paper_cnn",
    crop_size=None,
    erasing=0.0,
    label_smoothing=0.0,
    teacher=("fer-small",),
    distillation_weight=0.9,
    distillation_temperature=2.0,
    num_warmup_steps=100,
    num_train_epochs=200,
)

RECIPES = {
    "paper": _PAPER,
    "paper-plus": _PAPER_PLUS,
    "small-teacher": _SMALL_TEACHER,
    "small": _SMALL,
}

OPTIMIZERS = {"adagrad": 0.03, "sgd": 0.1, "adamw": 0.001, "muon": 0.005}  # and a usual learning rate of each
SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")


def told(config: Mapping) -> list[str]:
    """How a run learns, for people: a line of its optimizer, of its augmentation, and of its teachers.

    Args:
        config: the fields of a `TrainConfig`; those that are younger than the run may be missing.
    """
    config = asdict(TrainConfig()) | config

    def listed(*names: str) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {config[name]}" for name in names if config[name])

    optimizer, own = {
        "adagrad": ("Adagrad", ["initial_accumulator_value"]),
        "sgd": ("SGD with Nesterov momentum", ["momentum"]),
        "adamw": ("AdamW", []),
        "muon": ("Muon", ["momentum"]),
    }[config["optimizer"]]
    warmup = [] if config["lr_scheduler_type"] == "constant" else ["num_warmup_steps"]
    augmentation = listed("hflip", "rotation", "scale", "translate", "crop_size", "brightness", "contrast", "erasing",
                          "mixup", "cutmix")  # fmt: skip
    lines = [f"{optimizer}: " + listed("learning_rate", "lr_scheduler_type", *warmup, *own, "weight_decay",
                                       "drop_rate", "drop_path_rate", "label_smoothing", "class_weights",
                                       "ema_decay")]  # fmt: skip
    if augmentation:
        lines.append(f"Augmentation: {augmentation}")
    if config["teacher"]:
        of_teachers = listed("distillation_weight", "distillation_temperature")
        of_teachers += ", asked once" if config["cache_teachers"] else ""
        lines.append(f"Teachers: {', '.join(config['teacher'])}; {of_teachers}")
    return lines


def per_device_batch_size(config: TrainConfig, processes: int) -> int:
    """Images of one process in one forward pass.

    Raises:
        UserError: the recipe's global batch cannot be shared equally.
    """
    if config.per_device_train_batch_size is not None:
        return config.per_device_train_batch_size
    shares = processes * config.gradient_accumulation_steps
    if config.global_batch_size % shares:
        raise UserError(
            f"the recipe's batch of {config.global_batch_size} cannot be shared equally by {processes} processes x "
            f"{config.gradient_accumulation_steps} accumulation steps. "
            f"Name the share: --per_device_train_batch_size {max(1, config.global_batch_size // shares)}"
        )
    return config.global_batch_size // shares


def learning_rate(config: TrainConfig, step: int, total_steps: int) -> float:
    """The learning rate of optimizer step `step` (0-based): a linear warm-up, then the schedule down to zero.

    A function of the step alone, so a resumed run needs no scheduler state.
    """
    if step < config.num_warmup_steps and config.lr_scheduler_type != "constant":
        return config.learning_rate * (step + 1) / config.num_warmup_steps
    progress = (step - config.num_warmup_steps) / max(1, total_steps - config.num_warmup_steps)
    if config.lr_scheduler_type == "linear":
        return config.learning_rate * (1 - progress)
    if config.lr_scheduler_type == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate

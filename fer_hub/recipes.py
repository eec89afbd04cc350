"""`TrainConfig`, the named recipes, and what follows from them: batch sizes and the learning rate of a step."""

import math
from dataclasses import dataclass, field

from fer_hub.errors import UserError

# Flags that do not change what a run learns: where things lie, and how the machine works on it.
WORKING_FLAGS = frozenset({
    "output_dir", "dataset_name", "dataset_revision", "per_device_train_batch_size", "gradient_accumulation_steps",
    "mixed_precision", "num_threads", "checkpointing_steps", "resume_from_checkpoint", "with_tracking", "report_to",
})  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run. `train.py --help` explains the fields; None means "find it out"."""

    recipe: str = "paper"
    output_dir: str = "runs/paper"
    seed: int = 0

    dataset_name: str = "AutumnQiu/fer2013"
    dataset_revision: str | None = None
    drop_leaked_train: bool = False
    max_train_samples: int | None = None
    max_eval_samples: int | None = None
    no_test: bool = False

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
    teacher: tuple[str, ...] = ()  # models whose mean probabilities are learned too
    distillation_weight: float = 0.5  # of the teachers; the labels have the rest
    distillation_temperature: float = 1.0

    optimizer: str = "adagrad"
    momentum: float = 0.9  # of sgd, Nesterov's
    ema_decay: float | None = None  # of the weights that are evaluated, selected and saved
    metric_for_best_model: str = "loss"
    learning_rate: float = 0.03
    initial_accumulator_value: float = 0.1  # as in Keras; torch starts at 0
    weight_decay: float = 0.0
    lr_scheduler_type: str = "constant"
    num_warmup_steps: int = 0
    num_train_epochs: int = 20
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
RECIPES = {
    "paper": TrainConfig(),
}

OPTIMIZERS = ("adagrad", "sgd", "adamw")
SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")


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

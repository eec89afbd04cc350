"""Trains an emotion classifier: `accelerate launch --quiet train.py --dataset_name PATH`, or `python train.py ...`.

Arguments in, one call out; what happens is in fer_hub/training/loop.py. Exit status: 0 done, 1 trained but the Hub
could not take it, 2 a mistake that the message explains, 130/143 stopped by Ctrl-C/SIGTERM with the state saved. A
launcher has a status of its own; when it is killed, the training saves and ends.
"""

import argparse
import json
import logging
import math
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fer_hub.errors import HubError, UserError
from fer_hub.labels import LABEL_SETS
from fer_hub.recipes import OPTIMIZERS, RECIPES, SCHEDULES, TrainConfig
from fer_hub.training.signals import Interrupted, end_with_launcher


def _number(words: str, allowed: Callable[[float], bool]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan  # which no comparison allows
        if not allowed(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {words}")
        return value

    return parse


_not_negative = _number("from 0", lambda value: 0 <= value < math.inf)
_positive_number = _number("above 0", lambda value: 0 < value < math.inf)
_share = _number("from 0 to 1", lambda value: 0 <= value <= 1)
_below_one = _number("from 0 to below 1", lambda value: 0 <= value < 1)
_momentum = _number("above 0 and below 1, as Nesterov's momentum is", lambda value: 0 < value < 1)


def parse_arguments(arguments: list[str]) -> tuple[TrainConfig, bool, str | None]:
    """The recipe, with the flags that were given in place of its values; whether to push; and where to.

    Flags are spelled as in the official accelerate and transformers image-classification scripts.
    """
    parser = argparse.ArgumentParser(
        usage="train.py [flags]; train.py --help lists them",
        description=__doc__.split(":")[0] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        epilog="examples:\n"
        "  accelerate launch --quiet train.py --dataset_name synthetic\n"
        "  accelerate launch --quiet train.py --dataset_name data/fer2013 --output_dir runs/paper\n"
        "  accelerate launch --quiet train.py --output_dir runs/paper --resume_from_checkpoint last",
    )
    run = parser.add_argument_group("run")
    run.add_argument("--recipe", choices=RECIPES, default="paper", help="named hyperparameters; flags override them")
    run.add_argument("--output_dir", help="folder of the run (default: runs/RECIPE)")
    run.add_argument(
        "--seed", type=_natural, help=f"of weights, order, dropout and samples (default: {TrainConfig.seed})"
    )

    data = parser.add_argument_group("data")
    data.add_argument("--dataset_name", help=f"Hub id, folder, csv or synthetic (default: {TrainConfig.dataset_name})")
    data.add_argument("--dataset_revision", help="branch, tag or commit of a Hub id")
    data.add_argument("--image_column_name", metavar="COLUMN", help="of the images, where it is not found")
    data.add_argument("--label_column_name", metavar="COLUMN", help="of the labels (default: label, labels, emotion)")
    data.add_argument("--group_column", metavar="COLUMN",
                      help="whoever stands in it, a person for example, stays on one side when validation is split "
                           "off")  # fmt: skip
    data.add_argument("--skip_unreadable", action="store_true", help="leave broken images out instead of stopping")
    data.add_argument("--label_set", choices=LABEL_SETS,
                      help="fer2013 (default); ferplus: the crowd's majorities; auto: the data set's own")  # fmt: skip
    data.add_argument("--label_map", metavar="FILE", help="JSON, labels of the data set to classes: other data sets")
    data.add_argument("--ferplus", metavar="FILE", help="FER+'s fer2013new.csv, the votes of --label_set ferplus")
    data.add_argument("--soft_labels", action="store_true", help="learn the shares of FER+'s votes")
    data.add_argument("--drop_leaked_train", action="store_true", help="remove training images found in other splits")
    data.add_argument("--max_train_samples", type=_positive, help="train on a seeded, stratified sample")
    data.add_argument("--max_eval_samples", type=_positive, help="likewise for validation and test")
    data.add_argument(
        "--no_test", action="store_true", help="test appears in nothing written or printed (for searches)"
    )

    model = parser.add_argument_group("model")
    model.add_argument("--architecture", help=f"any timm name (default: {TrainConfig.architecture})")
    model.add_argument("--model_args", type=_json_object, help="further arguments of the architecture, as JSON")
    model.add_argument("--drop_rate", type=_below_one, help="dropout before the last layer")
    model.add_argument("--drop_path_rate", type=_below_one, help="stochastic depth, of architectures that have it")
    model.add_argument("--pretrained", action="store_true", help="start from timm's pretrained weights")
    model.add_argument("--init_from", help="start from a model of FER Hub: folder, Hub id or shipped name")

    optimization = parser.add_argument_group("optimization (defaults: the recipe's)")
    optimization.add_argument(
        "--per_device_train_batch_size", type=_positive, help="images per process and forward pass"
    )
    optimization.add_argument("--gradient_accumulation_steps", type=_positive, help="forward passes per optimizer step")
    optimization.add_argument("--optimizer", choices=OPTIMIZERS)
    optimization.add_argument("--momentum", type=_momentum, help="of sgd and muon, which take Nesterov's")
    optimization.add_argument("--learning_rate", type=_positive_number)
    optimization.add_argument("--initial_accumulator_value", type=_not_negative, help="Adagrad's first sum of squares")
    optimization.add_argument("--weight_decay", type=_not_negative)
    optimization.add_argument("--lr_scheduler_type", choices=SCHEDULES)
    optimization.add_argument("--num_warmup_steps", type=_natural)
    optimization.add_argument(
        "--num_train_epochs", type=_positive, help="default: the recipe's, or those of the run that is resumed"
    )
    optimization.add_argument("--max_train_steps", type=_positive, help="overrides --num_train_epochs")
    optimization.add_argument("--label_smoothing", type=_below_one, help="share of a label spread over all classes")
    optimization.add_argument(
        "--class_weights", choices=("balanced",), help="balanced: rare classes count as much as common ones in the loss"
    )
    optimization.add_argument("--ema_decay", type=_below_one, help="evaluate and save averaged weights; 0: no")
    optimization.add_argument("--metric_for_best_model", choices=("loss", "accuracy"), help="on validation")
    optimization.add_argument(
        "--teacher", nargs="+", help="learn from these models' probabilities too; of several, each image asks one"
    )
    optimization.add_argument(
        "--cache_teachers",
        action="store_true",
        help="ask them once, about each image and its mirror image, not in every step about changed images",
    )
    optimization.add_argument("--distillation_weight", type=_share, help="of the teachers; the labels have the rest")
    optimization.add_argument("--distillation_temperature", type=_positive_number, help="divides the logits of both")

    augmentation = parser.add_argument_group("augmentation (defaults: the recipe's)")
    augmentation.add_argument("--hflip", type=_share, help="probability of a mirrored image")
    augmentation.add_argument("--rotation", type=_not_negative, help="largest angle, degrees")
    augmentation.add_argument("--scale", type=_below_one, help="largest change of size, .2 for 0.8 to 1.2")
    augmentation.add_argument("--translate", type=_share, help="largest shift, share of the side")
    augmentation.add_argument("--crop_size", type=_side, help="side of random pieces that training sees")
    augmentation.add_argument("--brightness", type=_share, help="largest change, share of white")
    augmentation.add_argument("--contrast", type=_share, help="largest change, .2 for 0.8 to 1.2")
    augmentation.add_argument("--erasing", type=_share, help="probability of an erased rectangle")
    augmentation.add_argument("--mixup", type=_not_negative, help="alpha of mixup; 0: none")
    augmentation.add_argument("--cutmix", type=_not_negative, help="alpha of CutMix; 0: none")

    machine = parser.add_argument_group("machine and record")
    machine.add_argument(
        "--mixed_precision",
        choices=("no", "bf16", "fp16"),
        help="default: bf16 where the hardware is faster in it. accelerate launch --mixed_precision bf16 or fp16 is "
        "heard too; its no is also what it says unasked, so float32 is asked for here: train.py --mixed_precision no",
    )
    machine.add_argument(
        "--num_threads", type=_positive, help="CPU threads of a process (default: its share of the cores)"
    )
    machine.add_argument("--checkpointing_steps", type=_steps, help="a number of steps, or epoch (default)")
    machine.add_argument("--resume_from_checkpoint", help="last, or the path of a file in checkpoints/")
    machine.add_argument("--with_tracking", action="store_true", help="log to trackers")
    machine.add_argument("--report_to", help="tensorboard, wandb, ... or all that are installed (default)")
    hub = parser.add_argument_group("publish (the login is that of hf auth login or HF_TOKEN)")
    hub.add_argument("--push_to_hub", action="store_true", help="push best/ to the Hub in the end, in one commit")
    hub.add_argument("--hub_model_id", help="user/name of the repository (default: the user's, named as output_dir)")

    given = vars(parser.parse_args(arguments))
    push = given.pop("push_to_hub", False)
    hub_model_id = given.pop("hub_model_id", None)
    if hub_model_id and not push:
        raise UserError("--hub_model_id is for --push_to_hub: add it, or leave both out.")
    if "teacher" in given:
        given["teacher"] = tuple(given["teacher"])
    recipe = RECIPES[given["recipe"]]
    if given.get("architecture", recipe.architecture) != recipe.architecture:
        given.setdefault("model_args", {})  # the recipe's are those of its own architecture
    if given.get("optimizer", recipe.optimizer) != recipe.optimizer and "learning_rate" not in given:
        raise UserError(
            f"the recipe's learning rate {recipe.learning_rate} is for {recipe.optimizer}: add --learning_rate, for "
            f"{given['optimizer']} for example {OPTIMIZERS[given['optimizer']]}."
        )
    if "resume_from_checkpoint" in given and not {"num_train_epochs", "max_train_steps"} & given.keys():
        given["num_train_epochs"] = None  # the run's own
    config = replace(recipe, **{"output_dir": f"runs/{given['recipe']}", **given})
    if config.init_from and (config.pretrained or {"architecture", "model_args"} & given.keys()):
        raise UserError(
            "--init_from brings its own architecture and weights: leave out --architecture, --model_args and "
            "--pretrained."
        )
    warms_up = config.lr_scheduler_type != "constant"
    for flag, needed, is_there in (
        ("momentum", "--optimizer sgd or muon", config.optimizer in ("sgd", "muon")),
        ("initial_accumulator_value", "--optimizer adagrad", config.optimizer == "adagrad"),
        ("num_warmup_steps", "--lr_scheduler_type cosine, linear or constant_with_warmup", warms_up),
        ("cache_teachers", "--teacher", config.teacher),
        ("distillation_weight", "--teacher", config.teacher),
        ("distillation_temperature", "--teacher", config.teacher),
    ):
        if flag in given and not is_there:
            raise UserError(f"--{flag} is for {needed}: add that, or leave --{flag} out.")
    return config, push, hub_model_id


def main() -> int:
    """Runs the training; returns the exit status."""
    # OpenMP threads that wait spin. With benchmarks/bare_loop.py on two cores, this short spin was as fast as the
    # default when idle (2,462 and 2,469 images/s, medians of 3) and faster beside two other trainings (894 and 613,
    # one run each). libgomp reads it when torch is imported.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    end_with_launcher()
    is_main = int(os.environ.get("RANK", 0)) == 0
    logging.basicConfig(format="%(message)s", level=logging.WARNING if is_main else logging.ERROR)
    try:
        config, push, hub_model_id = parse_arguments(sys.argv[1:])
        push = push and is_main
        # Imported only now: --help and mistyped flags answer at once.
        if push:
            from fer_hub.hub.push import check_write_access

            hub_model_id = check_write_access(hub_model_id, Path(config.output_dir).resolve().name)
        from fer_hub.training.loop import train

        train(config, shlex.join(["train.py", *_without_push(sys.argv[1:])]))
        if push:
            from fer_hub.models.publish import push_model

            pushed = push_model(Path(config.output_dir) / "best", hub_model_id)
            print(f"Pushed: {pushed.url}, commit {pushed.commit}")
    except HubError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # outside the loop, where nothing is half done
        print("stopped", file=sys.stderr)
        return 130
    except Interrupted as stop:
        if is_main:
            print(f"{stop}; the state is saved. Go on with the same command and --resume_from_checkpoint last")
        return 128 + stop.signal
    return 0


def _without_push(arguments: list[str]) -> list[str]:
    """The command as it is recorded and published: whoever repeats it does not publish over the model."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument == "--hub_model_id":
            next(rest)
        elif argument != "--push_to_hub" and not argument.startswith("--hub_model_id="):
            kept.append(argument)
    return kept


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _natural(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _side(text: str) -> int:
    value = _positive(text)
    if value > 48:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 48, the side of the images")
    return value


def _json_object(text: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"""{text!r} is not a JSON object such as '{{"widths": [32, 64]}}'""")
    return value


def _steps(text: str) -> int | str:
    return text if text == "epoch" else _positive(text)


if __name__ == "__main__":
    sys.exit(main())

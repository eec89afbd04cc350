"""Whether a run goes on, from which state, how far, and that it is still the same run."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from fer_hub.errors import UserError
from fer_hub.hub.model_folder import read_record
from fer_hub.models.model import FERModel
from fer_hub.recipes import RECIPES, WORKING_FLAGS, TrainConfig
from fer_hub.training import checkpoint

logger = logging.getLogger(__name__)

LENGTH = {"num_train_epochs", "max_train_steps"}
# What may change when a run is resumed: where things lie, how the machine works on it, and how long it is, unless its
# learning rate falls towards its end. Teachers are compared by their weights.
FREE = WORKING_FLAGS | LENGTH | {"teacher"}


def state_to_resume(config: TrainConfig, output: Path, say: Callable[[str], None]) -> dict | None:
    """The state that the run starts from; None where it starts anew.

    Raises:
        UserError: the folder holds a run and nobody asked to resume it, a finished run has lost its states, or the
            state cannot be read.
    """
    asked = config.resume_from_checkpoint
    if asked is None:
        if (output / "checkpoints").exists() or (output / "best" / "model.safetensors").exists():
            raise UserError(
                f"{output} already holds a run, and it is not overwritten. "
                "Go on with it: --resume_from_checkpoint last; or choose another --output_dir."
            )
        return None
    if asked != "last":
        return checkpoint.load_state(Path(asked))
    state = checkpoint.load_last_state(output / "checkpoints")
    if state:
        say(f"Resuming {output} after step {state['step']}.")
    elif (output / "all_results.json").exists():
        raise UserError(
            f"{output} holds a finished run without its checkpoints: nothing is left to go on from, and it is not "
            "overwritten. Choose another --output_dir."
        )
    else:
        say(f"{output} has no checkpoint: starting at step 0.")
    return state


def with_length(config: TrainConfig, state: dict | None) -> TrainConfig:
    """The config with a length: where the command names none, that of the run, or of the recipe for a new run."""
    if config.num_train_epochs is not None:
        return config
    before = state["record"]["config"] if state else asdict(RECIPES[config.recipe])
    return replace(config, **{flag: before[flag] for flag in LENGTH})


def goes_on(state: dict, record: dict, total_steps: int, output: Path, say: Callable[[str], None]) -> bool:
    """Whether there is anything left to do: steps, results, or a best/ that has to be written anew.

    Args:
        state: where the run was stopped.
        record: of the run as it goes on; gets the first command where that one still repeats it.
        total_steps: that it shall have in all.
        output: its folder.
        say: takes the lines about another length and a finished run.

    Raises:
        UserError: it is another run, shorter than it was, or calibrated, or best/ is damaged for good.
    """
    require_same_run(state["record"], record, output)
    if all(record["config"][flag] == state["record"]["config"][flag] for flag in LENGTH):
        record["command"] = state["record"]["command"]  # as it was typed first
    require_length(state["record"], record, state["step"], total_steps, say)
    if state["best"] and not _loads(output / "best"):
        _require_best_weights(state, output)
        logger.warning("%s/best is damaged: it is written anew from the checkpoint.", output)
    elif state["step"] >= total_steps and (output / "all_results.json").exists():
        say(f"{output} is finished ({state['step']} steps), nothing to resume: see {output}/all_results.json")
        return False
    else:
        require_uncalibrated(output)
    return True


def require_uncalibrated(output: Path) -> None:
    """A run that goes on writes best/ anew, and would take the record of a calibration from weights that keep it.

    Raises:
        UserError: best/ was calibrated.
    """
    if read_record(output / "best" / "config.json").get("temperature") is not None:
        raise UserError(
            f"{output}/best was calibrated, which a longer training would undo half. Start anew in another "
            "--output_dir, and calibrate when it is done."
        )


def require_same_run(before: dict, now: dict, output: Path) -> None:
    """Compares the records of a run before and after it was stopped.

    All must be the same; but a run whose learning rate does not fall towards its end may grow longer.

    Raises:
        UserError: other data or hyperparameters, which would make it neither run; the message names them.
    """
    changed = _changes(before, now)
    if changed:
        raise UserError(
            f"{output} cannot be resumed so: {'; '.join(changed)}. "
            f"Resume with the command in {output}/train_config.json, or start anew in another --output_dir."
        )


def require_length(before: dict, now: dict, step: int, total_steps: int, say: Callable[[str], None]) -> None:
    """Compares the lengths of a run before and after it was stopped; another one is said.

    Args:
        before: the record of the run that was stopped.
        now: its record as it goes on.
        step: optimizer steps that were done.
        total_steps: that it shall have in all.
        say: takes the line.

    Raises:
        UserError: it has more steps already.
    """
    planned, wanted = _told_length(before["config"]), _told_length(now["config"])
    output = now["config"]["output_dir"]
    if step > total_steps:
        raise UserError(
            f"{output} has trained {step:,} steps already, and {wanted} are {total_steps:,}: a run cannot be made "
            f"shorter than it is. Leave out --num_train_epochs and --max_train_steps to end it after {planned}, or "
            "start anew in another --output_dir."
        )
    if planned != wanted:
        say(f"{output} now ends after {wanted}, not after {planned}.")


def _changes(before: dict, now: dict) -> list[str]:
    old = asdict(TrainConfig()) | before["config"]  # a flag that is younger than the run had its default in it
    new = now["config"]
    if old["recipe"] != new["recipe"]:
        return [f"--recipe was {old['recipe']}, is {new['recipe']}"]  # the rest would differ because of it
    falls = new["lr_scheduler_type"] in ("linear", "cosine")  # from the first step on, as the length has it
    free = FREE - LENGTH if falls else FREE
    changed = [f"--{key} was {old[key]}, is {new[key]}" for key in new if key not in free and old[key] != new[key]]
    if before["global_batch_size"] != now["global_batch_size"]:
        changed.append(f"the global batch was {before['global_batch_size']}, is {now['global_batch_size']}")
    if before.get("teachers", []) != now["teachers"]:
        changed.append(f"the weights of --teacher {' '.join(new['teacher'])} are others")
    if before["data"]["fingerprints"] != now["data"]["fingerprints"]:
        changed.append("the data set is another one")
    return changed


def _told_length(config: Mapping) -> str:
    steps = config["max_train_steps"]
    number, unit = (steps, "step") if steps else (config["num_train_epochs"], "epoch")
    return f"{number:,} {unit}{'s' * (number != 1)}"


def _loads(folder: Path) -> bool:
    try:
        FERModel.from_pretrained(folder.resolve())  # resolved, its name is not taken for that of a repository
    except UserError:
        return False
    return True


def _require_best_weights(state: dict, output: Path) -> None:
    """Makes sure that best/, which does not load, can be written from the state.

    Raises:
        UserError: the state is of an older version, which kept the best weights in best/ alone.
    """
    if not state.get("best_weights"):
        raise UserError(
            f"{output}/best is damaged, and the best weights so far, of epoch {state['best']['epoch']}, are in no "
            "checkpoint, as an older version of FER Hub wrote them. Start anew with the command in "
            f"{output}/train_config.json and another --output_dir."
        )

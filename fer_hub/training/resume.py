"""Whether a run goes on, from which state, and that it is still the same run."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from fer_hub.errors import UserError
from fer_hub.hub.model_folder import read_record
from fer_hub.recipes import WORKING_FLAGS, TrainConfig
from fer_hub.training import checkpoint

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

"""Which trackers can be logged to."""

from dataclasses import asdict

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from fer_hub.errors import UserError
from fer_hub.recipes import TrainConfig


def require_tracker(name: str) -> None:
    """Makes sure that there is something to log to: accelerate leaves out a missing tracker without a word.

    Args:
        name: what `--report_to` got: a tracker's name, or `all`.

    Raises:
        UserError: an unknown tracker, or one that is not installed; the message gives the line that installs it.
    """
    available = [str(tracker) for tracker in get_available_trackers()]
    if name not in LOGGER_TYPE_TO_CLASS and name != "all":
        raise UserError(f"--report_to {name}: unknown tracker. Known: all, {', '.join(LOGGER_TYPE_TO_CLASS)}.")
    if not available or (name != "all" and name not in available):
        package = "tensorboard" if name == "all" else name
        raise UserError(f"--with_tracking --report_to {name}: not installed. Mend it with: pip install {package}")


def start_trackers(accelerator: Accelerator, config: TrainConfig) -> None:
    """Begin a record of this run in each tracker, with the fields of its config."""
    given = {key: value for key, value in asdict(config).items() if value is not None}
    flat = {key: str(value) if isinstance(value, dict | tuple) else value for key, value in given.items()}
    accelerator.init_trackers("fer_hub", config=flat)

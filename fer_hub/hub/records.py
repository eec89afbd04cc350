"""results.json and train_config.json: which types their values have, whoever wrote them.

What a reader uses is listed; what is not listed may be anything that `untrusted.parse_json` lets through.
"""

from typing import get_args, get_origin, get_type_hints

from fer_hub.recipes import TrainConfig

_RATES = {"accuracy?": float, "interval?": (float, float), "macro_f1?": float, "loss?": float}
_SPLIT = {
    "n": int,
    **_RATES,
    "per_class?": {str: {"precision": float, "recall": float, "f1": float, "support": int}},
    "confusion_matrix?": [[int]],
    "ece?": float,
    "ece_equal_mass?": float,
    "brier?": float,
    "reliability?": [{"confidence": float, "accuracy": float, "n": int}],
    "dedup?": {"n": int, **_RATES},
    "coverage?": {"accuracy_at": {str: float}},
    "robustness?": {
        "corruptions": {str: {"accuracy": [float]}},
        "mean_corruption_accuracy": float,
        "consistency": {"flip": float, "shift": float},
    },
    "ferplus?": {
        "n": int,
        "accuracy": float,
        "interval": (float, float),
        "label_accuracy": float,
        "by_agreement": [{"above": float, "up_to": float, "n": int, "accuracy": float}],
        "errors": {"n": int, "with_model": float, "with_label": float, "with_neither": float, "undecided": float},
    },
}
RESULTS = {
    "dataset_name?": str | None,
    "synthetic?": bool | None,
    "label_set?": str | None,
    "recipe?": str | None,
    "seed?": int | None,
    "best_epoch?": int,
    "train_seconds?": float,
    "train_images_per_second?": float,
    "validation?": _SPLIT,
    "test?": _SPLIT,
    "calibration?": {"temperature": float, "abstention_threshold?": float | None},
}
ALL_RESULTS = {
    f"{prefix}_{number}?": float
    for prefix in ("eval", "test", "test_dedup")
    for number in ("accuracy", "macro_f1", "loss", "ece", "brier")
} | {"train_seconds?": float}


def _of_flag(kind: object) -> object:
    """Return the shape of a flag's value in JSON, where a tuple is a list."""
    return [get_args(kind)[0]] if get_origin(kind) is tuple else kind


TRAIN_CONFIG = {
    "architecture?": str | None,
    "num_parameters?": int | None,
    "base_model?": str | None,
    "command?": str | None,
    "teachers?": [str],
    "global_batch_size?": int,
    "config?": {f"{name}?": _of_flag(kind) for name, kind in get_type_hints(TrainConfig).items()},
    "environment?": {
        "hardware?": str,
        "processes?": int,
        "num_threads?": int,
        "mixed_precision?": str,
        "python?": str,
        "versions?": {str: str},
    },
    "data?": {
        "dataset_name?": str | None,
        "hub_id?": str | None,
        "synthetic?": bool,
        "images?": {str: int},
        "fingerprints?": {str: str},
        "duplicates?": {str: int},
        "label_set?": str | None,
        "label_map?": dict | None,
        "labels_left_out?": {str: {str: int}},
    },
}
SHAPES = {"results.json": RESULTS, "all_results.json": ALL_RESULTS, "train_config.json": TRAIN_CONFIG}

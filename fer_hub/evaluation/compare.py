"""Several models on the same images: their scores side by side, and which differences are more than chance."""

from itertools import combinations

import numpy as np

from fer_hub.errors import UserError
from fer_hub.evaluation import markdown_tables
from fer_hub.metrics import calibration_error, intervals


def compare(
    models: dict[str, np.ndarray],
    labels: np.ndarray,
    label_names: tuple[str, ...],
    seed: int = 0,
    leaked: np.ndarray | None = None,
) -> dict:
    """Compares models on one split.

    Args:
        models: name -> probabilities, float (N, C), rows sum to 1 (within .001, as `predictions.read` allows).
        labels: int (N,), N > 0.
        label_names: the C classes.
        seed: of the bootstrap.
        leaked: bool (N,), the images that are also in train; adds `dedup`.

    Returns:
        `n`; `seed`; `models`: name -> `accuracy` and `interval` (Wilson), `macro_f1` and `macro_f1_interval`
        (bootstrap, 1,000 resamples, the same for all models), `ece` and `brier` (as in `calibration_error.measure`),
        `loss` (mean negative log-likelihood, nats; a probability of 0 counts as 2.2e-16, as in scikit-learn), and
        where some images are not leaked `dedup`: `n`, `accuracy` and `interval` of these; the highest accuracy first;
        `pairs`: for each two models, `a` the one with the higher accuracy, `difference` of the accuracies and its
        `interval` (`intervals.paired_difference`), `only_a`, `only_b` and `p` (`intervals.mcnemar`), and `p_holm`, p
        corrected for the number of pairs. The intervals are not corrected.

    Raises:
        UserError: a model's probabilities are not of these images and classes.
    """
    for name, probabilities in models.items():
        if probabilities.shape != (len(labels), len(label_names)):
            raise UserError(
                f"the probabilities of {name} have the shape {probabilities.shape}, the split has {len(labels):,} "
                f"images of {len(label_names)} classes. Predict this split with these classes."
            )
    correct = {name: probabilities.argmax(1) == labels for name, probabilities in models.items()}
    ranked = sorted(models, key=lambda name: -int(correct[name].sum()))
    pairs = [
        {
            "a": a,
            "b": b,
            "difference": float(correct[a].mean() - correct[b].mean()),
            "interval": intervals.paired_difference(correct[a], correct[b]),
            **intervals.mcnemar(correct[a], correct[b]),
        }
        for a, b in combinations(ranked, 2)
    ]
    for pair, corrected in zip(pairs, intervals.holm([pair["p"] for pair in pairs]), strict=True):
        pair["p_holm"] = corrected
    scores = {name: _scores(models[name], labels, seed) for name in ranked}
    if leaked is not None and not leaked.all():
        for name, one in scores.items():
            rest = correct[name][~leaked]
            one["dedup"] = {
                "n": len(rest),
                "accuracy": float(rest.mean()),
                "interval": intervals.wilson(int(rest.sum()), len(rest)),
            }
    return {"n": len(labels), "seed": seed, "models": scores, "pairs": pairs}


def _scores(probabilities: np.ndarray, labels: np.ndarray, seed: int) -> dict:
    predictions, classes = probabilities.argmax(1), probabilities.shape[1]
    correct = int((predictions == labels).sum())
    calibrated = calibration_error.measure(probabilities, labels)
    of_truth = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": correct / len(labels),
        "interval": intervals.wilson(correct, len(labels)),
        "macro_f1": intervals.macro_f1(predictions, labels, classes),
        "macro_f1_interval": intervals.bootstrap(
            lambda *resampled: intervals.macro_f1(*resampled, classes), predictions, labels, seed=seed
        ),
        "ece": calibrated["ece"],
        "brier": calibrated["brier"],
        "loss": float(-np.log(np.maximum(of_truth, np.finfo(float).eps)).mean()),
    }


def as_table(found: dict) -> str:
    """What `compare` found, as two Markdown tables that can be read in a terminal, and how to read them."""
    dedup = {name: one["dedup"] for name, one in found["models"].items() if "dedup" in one}
    models = markdown_tables.markdown(
        ("model", "accuracy", "95 %", *(("not in train", "95 %") if dedup else ()), "macro-F1", "95 %", "ECE", "Brier",
         "loss"),
        [
            (
                name,
                *_accuracy(one),
                *(_accuracy(dedup[name]) if dedup else ()),
                f"{one['macro_f1']:.3f}",
                "{:.3f} to {:.3f}".format(*one["macro_f1_interval"]),
                f"{one['ece']:.3f}",
                f"{one['brier']:.3f}",
                f"{one['loss']:.3f}",
            )
            for name, one in found["models"].items()
        ],
    )  # fmt: skip
    if not found["pairs"]:
        return models
    pairs = markdown_tables.markdown(
        ("first", "second", "points", "95 %", "only first right", "only second right", "p", "p, Holm"),
        [
            (
                pair["a"],
                pair["b"],
                f"{100 * pair['difference']:+.1f}",
                "{:+.1f} to {:+.1f}".format(*(100 * end for end in pair["interval"])),
                pair["only_a"],
                pair["only_b"],
                _p(pair["p"]),
                _p(pair["p_holm"]),
            )
            for pair in found["pairs"]
        ],
    )
    note = f"n {found['n']:,}."
    if dedup:
        note += f" Not in train: the {next(iter(dedup.values()))['n']:,} images of which train has no exact copy."
    note += (
        f" p: McNemar's exact test; Holm's is corrected for the {len(found['pairs'])} pairs compared, the intervals "
        "are not."
    )
    return f"{models}\n\n{pairs}\n\n{note}"


def _accuracy(scores: dict) -> tuple[str, str]:
    low, high = scores["interval"]
    return f"{100 * scores['accuracy']:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"

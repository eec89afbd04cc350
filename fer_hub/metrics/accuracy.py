"""Accuracy, macro-F1 and per-class numbers as a metric of the `evaluate` library that needs no network."""

import tempfile

import datasets
import evaluate
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from fer_hub.labels import EMOTIONS


class EmotionMetrics(evaluate.Metric):
    """All numbers of one prediction per image.

    Example:
        >>> EmotionMetrics().compute(predictions=[3, 3], references=[3, 4])["accuracy"]
        0.5
    """

    def __init__(self):
        # evaluate makes a folder of its own below HF_HOME, which may be read-only. In memory nothing is written to it.
        with tempfile.TemporaryDirectory() as folder:
            super().__init__(keep_in_memory=True, cache_dir=folder)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Accuracy, macro-F1, precision, recall and F1 per class, and the confusion matrix.",
            citation="",
            inputs_description="predictions, references: class numbers; label_names: the classes in their order.",
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions: list[int], references: list[int], label_names: tuple[str, ...] = EMOTIONS) -> dict:
        """Computes the metrics.

        Returns:
            `accuracy`; `macro_f1` (classes without images count as 0) and `balanced_accuracy`, the mean recall of the
            classes that have images, both as in scikit-learn; all in 0..1. `per_class`:
            name -> precision, recall, f1 in 0..1 and support; `confusion_matrix`: rows are true, columns predicted.
        """
        classes = range(len(label_names))
        precision, recall, f1, support = precision_recall_fscore_support(
            references, predictions, labels=classes, zero_division=0
        )
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "macro_f1": float(f1.mean()),
            "balanced_accuracy": float(recall[support > 0].mean()),
            "per_class": {
                name: {
                    "precision": float(precision[k]),
                    "recall": float(recall[k]),
                    "f1": float(f1[k]),
                    "support": int(support[k]),
                }
                for k, name in enumerate(label_names)
            },
            "confusion_matrix": confusion_matrix(references, predictions, labels=classes).tolist(),
        }

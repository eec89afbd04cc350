"""Writes a report: into a model's own folder results, figures and card, elsewhere also the predictions."""

import os
from pathlib import Path

import numpy as np

from fer_hub.atomic_files import write_json, write_text
from fer_hub.errors import UserError
from fer_hub.evaluation import plots, predictions_csv
from fer_hub.evaluation.predictors import Predictor
from fer_hub.hub import card, model_folder


def save(
    folder: str | Path, predictor: Predictor, split: str, results: dict, probabilities: np.ndarray, labels: np.ndarray
) -> list[str]:
    """Writes what `report.evaluate` gave.

    The folder of the very model gets the split's new results beside what else its results.json holds, new figures and a
    new card. Any other folder gets results.json, figures/ and, where no class was left out, predictions_SPLIT.csv
    (`predictions`).

    Returns:
        The files that were written.

    Raises:
        UserError: the folder holds another model, or results on other data.
    """
    folder = Path(os.path.expanduser(folder))
    if not (folder / model_folder.WEIGHTS).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "results.json", results)
        written = [folder / "results.json", *plots.draw(results, split, folder / "figures")]
        if not any(results["classes_left_out"].values()):  # otherwise its rows would not be those of the split
            written.append(folder / f"predictions_{split}.csv")
            predictions_csv.write(written[-1], probabilities, tuple(results[split]["per_class"]), labels)
        return [str(file) for file in written]

    if predictor.model is None or not predictor.model.equals(folder):
        raise UserError(f"{folder} holds another model than {predictor.name}. Name a new folder: --output report")
    held, record = (model_folder.read_record(folder / name) for name in ("results.json", "train_config.json"))
    recorded = record.get("data", {}).get("fingerprints", {}).get(split, results["fingerprint"])
    if any(results["classes_left_out"].values()):
        raise UserError("classes were left out, which a card does not tell of. Name a new folder: --output report")
    if recorded != results["fingerprint"]:
        raise UserError(
            f"{folder} has results on other images than {results['dataset_name']}, split {split}: they would be mixed. "
            "Name a new folder: --output report"
        )
    own = {key: results[key] for key in ("schema_version", split)}
    of_data = {key: results[key] for key in ("dataset_name", "synthetic", "label_set")}
    merged = {**of_data, **held, **own}
    write_json(folder / "results.json", merged)
    drawn = plots.draw(results | {"dataset_name": merged["dataset_name"]}, split, folder / "figures")
    write_text(folder / model_folder.CARD, card.render(merged, record))
    return [str(file) for file in (folder / "results.json", folder / model_folder.CARD, *drawn)]

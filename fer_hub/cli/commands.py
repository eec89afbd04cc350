"""What each command of `fer-hub` does: parsed arguments in, (what --json prints, the text for people) out."""

import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path

from fer_hub.errors import UserError
from fer_hub.hub import model_folder

logger = logging.getLogger(__name__)


def info(given) -> tuple[dict, str]:
    from fer_hub.models.model import FERModel

    model = FERModel.from_pretrained(given.model, revision=given.revision)
    results, record = (model_folder.read_record(model.folder / name) for name in ("results.json", "train_config.json"))
    found = {
        "model": given.model,
        "architecture": model.architecture,
        "num_parameters": model.num_parameters,
        "label_names": list(model.label_names),
        "recipe": record.get("config", {}).get("recipe"),
        "seed": record.get("config", {}).get("seed"),
        "dataset_name": results.get("dataset_name"),
        "temperature": model.temperature,
        "abstention_threshold": model.abstention_threshold,
    }
    lines = [
        f"{given.model}: {model.architecture}, {model.num_parameters:,} parameters",
        f"  classes   {', '.join(model.label_names)}",
    ]
    if record:
        lines.append(f"  training  recipe {found['recipe']}, seed {found['seed']}, {record.get('command')}")
    if model.temperature is not None:
        threshold = model.abstention_threshold
        unsure = "" if threshold is None else f", uncertain below {threshold:.2f}"
        lines.append(f"  certainty calibrated, temperature {model.temperature:.2f}{unsure}")
    for split in ("validation", "test"):
        if split in results:
            numbers = results[split]
            lacking = [key for key in ("n", "accuracy", "interval", "macro_f1", "loss") if key not in numbers]
            if lacking:
                raise UserError(
                    f"{model.folder}/results.json has no {lacking[0]} of {split}. Restore it, or leave it out."
                )
            found[split] = {key: numbers[key] for key in ("n", "accuracy", "interval", "macro_f1", "loss")}
            low, high = numbers["interval"]
            lines.append(
                f"  {split:9} accuracy {numbers['accuracy']:.4f} (95 % {low:.4f}-{high:.4f}), "
                f"macro-F1 {numbers['macro_f1']:.4f}, n {numbers['n']:,}, {found['dataset_name']}"
            )
    if not results:
        lines.append("  no results are recorded with it")
    return found, "\n".join(lines)


def predict(given) -> tuple[dict, str]:
    import warnings

    import torch

    from fer_hub.cli import predict_files
    from fer_hub.hub.locate import DEFAULT_MODEL

    # One face is little work, and waiting threads spin: a second one beside another busy process costs many times more.
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata; a file that cannot be read is an error
    names = "every", "start", "end", "as_video", "fps", "crop", "max_faces", "min_face_size"
    options = {name: getattr(given, name) for name in names}
    found = predict_files.predict(given.files, given.model or DEFAULT_MODEL, given.output, **options)
    return found, predict_files.as_text(found)


def live(given) -> tuple[dict, str]:
    import torch

    from fer_hub.cli import live as watching
    from fer_hub.hub.locate import DEFAULT_MODEL

    if given.json and given.output == "-":
        raise UserError("standard output takes one of --json and --output -: leave one out, or name a file.")
    # What drivers and decoders print beside our messages is not for people.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    torch.set_num_threads(1)  # as for predict
    found = watching.live(
        given.source, given.model or DEFAULT_MODEL, given.output, given.max_faces, given.min_face_size
    )
    text = watching.as_text(found)
    if given.output != "-":
        return found, text
    print(text, file=sys.stderr)
    return found, ""


def export(given) -> tuple[dict, str]:
    from fer_hub.models.model import FERModel
    from fer_hub.models.onnx_export import export as write_onnx

    model = FERModel.from_pretrained(given.model, revision=given.revision)
    folder = Path(os.path.expanduser(given.output_dir or given.model))
    if not given.output_dir and not (folder.is_dir() and folder.samefile(model.folder)):
        raise UserError(f"{given.model} is not a folder to write to. Name one: --output_dir exported")
    done = write_onnx(model, folder, given.int8, given.dataset_name, _labels(given, given.ferplus), _reading(given))
    lines = [f"{file['path']}  {file['bytes'] / 1e6:.2f} MB" for file in done["files"]]
    if given.int8:
        before, after = done["float32"], done["int8"]
        lines.append(
            f"validation of {given.dataset_name}, n {before['n']:,}: accuracy {before['accuracy']:.4f} in float32, "
            f"{after['accuracy']:.4f} in int8 ({100 * (after['accuracy'] - before['accuracy']):+.2f} points)"
        )
    return done, "\n".join(lines)


def push(given) -> tuple[dict, str]:
    from fer_hub.models.publish import push_model

    return _pushed(
        push_model(given.folder, given.repo_id, private=given.private, revision=given.revision, dry_run=given.dry_run)
    )


def push_space(given) -> tuple[dict, str]:
    from fer_hub.hub import space

    return _pushed(space.push_space(given.repo_id, given.model, private=given.private, dry_run=given.dry_run))


def push_dataset(given) -> tuple[dict, str]:
    from fer_hub.hub import dataset_repo

    return _pushed(dataset_repo.push_dataset(given.source, given.repo_id, dry_run=given.dry_run))


def _pushed(push) -> tuple[dict, str]:
    would = "would be " if push.dry_run else ""
    if not (push.uploaded or push.deleted):
        lines = [f"{push.url} holds exactly this already, commit {push.commit}: nothing to do."]
    else:
        lines = [f"{would}{what} {path}" for what, paths in (("uploaded", push.uploaded), ("deleted", push.deleted))
                 for path in paths]  # fmt: skip
        before = f", on top of {push.parent}" if push.parent else ""
        end = f"dry run{before}: nothing was written" if push.dry_run else f"commit {push.commit}{before}"
        lines.append(f"{push.url}: {end}")
    if push.kept:
        lines.append(f"not ours and left as they are: {', '.join(push.kept)}")
    return asdict(push), "\n".join(lines)


def evaluate(given) -> tuple[dict, str]:
    from fer_hub.data.split_names import ALL, SPLITS
    from fer_hub.evaluation import predictors, report, report_files, report_text

    models = [predictors.load(name, given.revision) for name in given.models]
    if len(models) > 1 and not given.ensemble:
        raise UserError("several models: --ensemble averages them; to compare them: fer-hub compare A B")
    predictor = predictors.ensemble(models) if given.ensemble else models[0]
    # Beside FER2013's own labels the votes give further numbers; with --label_set ferplus they are the labels.
    beside = given.label_set == "fer2013" and not given.label_map
    results, probabilities, labels = report.evaluate(
        predictor,
        given.dataset_name,
        given.split,
        revision=given.dataset_revision,
        labels=_labels(given, None if beside else given.ferplus),
        reading=_reading(given),
        flip=given.tta == "flip",
        robust=given.robustness,
        votes=given.ferplus if beside else None,
        group_by=given.group_by,
    )
    split = next(name for name in (*SPLITS, ALL) if name in results)
    text = report_text.as_text(results, split)
    if given.output:
        written = report_files.save(given.output, predictor, split, results, probabilities, labels)
        text += "".join(f"\n{file}" for file in written)
    return results, text


def _labels(given, votes: str | None):
    from fer_hub.data import label_sets

    return label_sets.from_flags(given.label_set, given.label_map, votes)


def _reading(given):
    from fer_hub.data.reading import Reading

    return Reading(given.image_column_name, given.label_column_name, skip_unreadable=given.skip_unreadable)


def calibrate(given) -> tuple[dict, str]:
    from fer_hub.evaluation import calibrate

    done = calibrate.calibrate(
        given.model, given.dataset_name, _labels(given, given.ferplus), _reading(given), given.output_dir
    )
    before, after, threshold = done["before"], done["after"], done["abstention_threshold"]
    return done, (
        f"{given.output_dir or given.model}: temperature {done['temperature']:.4f}, folded into the weights\n"
        f"  {done['split']} of {given.dataset_name}, n {done['n']:,}: "
        f"ECE {before['ece']:.4f} -> {after['ece']:.4f}, loss {before['loss']:.4f} -> {after['loss']:.4f}, "
        f"accuracy {before['accuracy']:.4f} -> {after['accuracy']:.4f}\n"
        f"  uncertain below {threshold if threshold is None else round(threshold, 4)}"
    )


def compare(given) -> tuple[dict, str]:
    from fer_hub.atomic_files import write_json, write_text
    from fer_hub.data import dataset, duplicates
    from fer_hub.data.pixels import decode_splits
    from fer_hub.data.split_names import ALL
    from fer_hub.evaluation import compare, markdown_tables, plots, predictions_csv, predictors
    from fer_hub.labels import match
    from fer_hub.models import trained_on

    if len(set(given.models)) < 2:
        raise UserError("a comparison takes two different models or prediction files at least.")
    place = given.name or "comparison"
    if given.write:  # before the models are asked, which takes minutes
        markdown_tables.require_place(given.write, place)
    label_set = _labels(given, given.ferplus)
    loaded_models = {name: predictors.load(name) for name in given.models if not name.endswith(".csv")}
    own = [model for predictor in loaded_models.values() for model in predictor.models]
    seed, reading = trained_on.cut_of(own, given.dataset_name, _reading(given))
    loaded = dataset.load(given.dataset_name, given.dataset_revision, seed, labels=label_set, reading=reading)
    split = dataset.chosen_split(loaded, given.split, given.dataset_name)
    if split == ALL:
        trained_on.warn_of_all(own, given.dataset_name)
    may_leak = "train" in loaded and split not in ("train", ALL)
    asked_for = [split, "train"] if may_leak else [split]
    pixels = decode_splits(loaded, asked_for, given.dataset_name, reading.skip_unreadable)
    dataset.say_left_out(loaded, [split])
    shown, names = pixels[split], tuple(loaded[split].features["label"].names)
    labels = shown.labels.numpy()
    found, asked, left_out = {}, {}, {}
    for name in given.models:
        if name.endswith(".csv"):
            found[name] = predictions_csv.read(name, names, len(labels), labels)
            continue
        predictor = loaded_models[name]
        trained_on.warn_of_other_images(predictor.models, given.dataset_name, label_set, split, shown.fingerprint)
        matched = match(names, predictor.label_names)
        if len(matched) < len(names):
            raise UserError(
                f"{name} knows {', '.join(predictor.label_names)}, the data set has {', '.join(names)}: only models "
                "that know all classes of the data set can be compared."
            )
        if further := [label for label in predictor.label_names if label not in matched.values()]:
            left_out[name] = further
            logger.warning("The data set has no %s: left out of the answers of %s.", ", ".join(further), name)
        asked[name] = (predictor, tuple(matched.values()))
    for name, (predictor, classes) in asked.items():  # the minutes, once nothing can be wrong any more
        found[name] = predictors.among(predictor, classes, shown.images, progress=True)
    leaked = duplicates.also_in(shown, [pixels["train"]]).numpy() if may_leak else None
    compared = compare.compare(found, labels, names, leaked=leaked) | {
        "dataset_name": given.dataset_name,
        "split": split,
        "label_set": label_set.told,
        "classes_left_out": left_out,
        "labels_left_out": loaded.left_out[split],
    }
    meaning = "" if label_set.is_fer2013 else f", labels {label_set.told}"
    drawn = " (drawn faces: nothing about FER2013)" if given.dataset_name == "synthetic" else ""
    text = f"{compare.as_table(compared)}\n\nData: {given.dataset_name}, {split}{meaning}{drawn}."
    if given.output:
        folder = Path(os.path.expanduser(given.output))
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "comparison.json", compared)
        write_text(folder / "comparison.md", text + "\n")
        plots.plot_comparison(compared, f"{given.dataset_name}, {split}", folder / "comparison.png")
    if given.write:
        markdown_tables.write_table(given.write, place, text)
    return compared, text


def duplicates(given) -> tuple[dict, str]:
    from datasets import Image

    from fer_hub.data import dataset, duplicates
    from fer_hub.data.pixels import decode_splits

    labels, reading = _labels(given, given.ferplus), _reading(given)
    loaded = dataset.load(given.source, given.dataset_revision, None, labels=labels, reading=reading)
    pixels = decode_splits(loaded, list(loaded), given.source, reading.skip_unreadable)
    dataset.say_left_out(loaded, loaded)
    stored = loaded.cast_column("image", Image(decode=False))
    names = next(iter(stored.values())).features["label"].names
    groups = []
    for group in duplicates.find_groups(pixels):
        images = []
        for split, row in group:
            shown = stored[split][row]
            file = {"file": shown["image"]["path"]} if shown["image"]["path"] else {}
            images.append({"split": split, "row": row, "label": names[shown["label"]], **file})
        groups.append({"images": images, "contradictory": len({image["label"] for image in images}) > 1})
    counts = duplicates.report(pixels)
    lines = [
        ("contradictory: " if group["contradictory"] else "")
        + ", ".join(f"{image['split']} {image.get('file', image['row'])} {image['label']}" for image in group["images"])
        for group in sorted(groups, key=lambda group: not group["contradictory"])
    ]
    lines += [f"{key.replace('_', ' ')}: {count:,}" for key, count in counts.items()]
    return {"dataset_name": given.source, **counts, "groups": groups}, "\n".join(lines)


def aggregate(given) -> tuple[dict, str]:
    from fer_hub.evaluation import markdown_tables, seeds

    if given.summary:
        recipes = seeds.by_recipe(given.folders)
        found, text, name = {"recipes": recipes}, seeds.as_summary(recipes), "summary"
    else:
        found = seeds.aggregate(given.folders)
        text, name = seeds.as_table(found), found["recipe"]
    if given.write:
        markdown_tables.write_table(given.write, given.name or name, text)
    return found, text

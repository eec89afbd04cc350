"""What each command of `fer-hub` does: parsed arguments in, (what --json prints, the text for people) out."""

import os
from dataclasses import asdict
from pathlib import Path

from fer_hub import model_folder
from fer_hub.errors import UserError


def info(given) -> tuple[dict, str]:
    from fer_hub.model import FERModel

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
    }
    lines = [
        f"{given.model}: {model.architecture}, {model.num_parameters:,} parameters",
        f"  classes   {', '.join(model.label_names)}",
    ]
    if record:
        lines.append(f"  training  recipe {found['recipe']}, seed {found['seed']}, {record.get('command')}")
    for split in ("validation", "test"):
        if split in results:
            numbers = results[split]
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
    import torch

    from fer_hub import predict_files
    from fer_hub.locate import DEFAULT_MODEL

    # One face is little work, and waiting threads spin: a second one beside another busy process costs many times more.
    torch.set_num_threads(1)
    found = predict_files.predict(given.files, given.model or DEFAULT_MODEL, given.output, given.every)
    return found, predict_files.as_text(found)


def export(given) -> tuple[dict, str]:
    from fer_hub.export import export as write_onnx
    from fer_hub.model import FERModel

    model = FERModel.from_pretrained(given.model, revision=given.revision)
    folder = Path(os.path.expanduser(given.output_dir or given.model))
    if not given.output_dir and not (folder.is_dir() and folder.samefile(model.folder)):
        raise UserError(f"{given.model} is not a folder to write to. Name one: --output_dir exported")
    done = write_onnx(model, folder, given.int8, given.dataset_name)
    lines = [f"{file['path']}  {file['bytes'] / 1e6:.2f} MB" for file in done["files"]]
    if given.int8:
        before, after = done["float32"], done["int8"]
        lines.append(
            f"validation of {given.dataset_name}, n {before['n']:,}: accuracy {before['accuracy']:.4f} in float32, "
            f"{after['accuracy']:.4f} in int8 ({100 * (after['accuracy'] - before['accuracy']):+.2f} points)"
        )
    return done, "\n".join(lines)


def push(given) -> tuple[dict, str]:
    from fer_hub import hub

    return _pushed(
        hub.push_model(
            given.folder, given.repo_id, private=given.private, revision=given.revision, dry_run=given.dry_run
        )
    )


def push_space(given) -> tuple[dict, str]:
    from fer_hub import space

    return _pushed(space.push_space(given.repo_id, given.model, private=given.private, dry_run=given.dry_run))


def push_dataset(given) -> tuple[dict, str]:
    from fer_hub import dataset_repo

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
    from fer_hub import predictors, report, save_report

    models = [predictors.load(name, given.revision) for name in given.models]
    if len(models) > 1 and not given.ensemble:
        raise UserError("several models: --ensemble averages them; to compare them: fer-hub compare A B")
    predictor = predictors.ensemble(models) if given.ensemble else models[0]
    results, probabilities, labels = report.evaluate(
        predictor,
        given.dataset_name,
        given.split,
        revision=given.dataset_revision,
        flip=given.tta == "flip",
        robust=given.robustness,
        votes=given.ferplus,
        group_by=given.group_by,
    )
    text = report.as_text(results, given.split)
    if given.output:
        written = save_report.save(given.output, predictor, given.split, results, probabilities, labels)
        text += "".join(f"\n{file}" for file in written)
    return results, text


def calibrate(given) -> tuple[dict, str]:
    from fer_hub import temperature

    done = temperature.calibrate(given.folder, given.dataset_name)
    before, after, threshold = done["before"], done["after"], done["abstention_threshold"]
    return done, (
        f"{given.folder}: temperature {done['temperature']:.4f}, folded into the weights\n"
        f"  validation of {given.dataset_name}, n {done['n']:,}: ECE {before['ece']:.4f} -> {after['ece']:.4f}, loss "
        f"{before['loss']:.4f} -> {after['loss']:.4f}, accuracy {before['accuracy']:.4f} -> {after['accuracy']:.4f}\n"
        f"  uncertain below {threshold if threshold is None else round(threshold, 4)}"
    )


def compare(given) -> tuple[dict, str]:
    import numpy as np

    from fer_hub import compare, dataset, plots, predictions, predictors
    from fer_hub.files import write_json, write_text
    from fer_hub.pixels import decode

    if len(set(given.models)) < 2:
        raise UserError("a comparison takes two different models or prediction files at least.")
    loaded = dataset.load(given.dataset_name, given.dataset_revision)
    if given.split not in loaded:
        raise UserError(f"{given.dataset_name} has no {given.split} split; it has {', '.join(loaded)}.")
    pixels = decode(loaded[given.split], f"{given.dataset_name}, split {given.split}")
    names, labels = tuple(loaded[given.split].features["label"].names), pixels.labels.numpy()
    found = {}
    for name in given.models:
        if name.endswith(".csv"):
            found[name] = predictions.read(name, names, len(labels), labels)
            continue
        predictor = predictors.load(name)
        if set(predictor.label_names) != set(names):
            raise UserError(
                f"{name} knows {', '.join(predictor.label_names)}, the data set has {', '.join(names)}: only models of "
                "the same classes can be compared."
            )
        found[name] = predictor(pixels.images, progress=True)[
            :, [predictor.label_names.index(label) for label in names]
        ]
    compared = compare.compare(found, np.asarray(labels), names) | {
        "dataset_name": given.dataset_name,
        "split": given.split,
    }
    text = compare.as_table(compared)
    if given.output:
        folder = Path(given.output).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "comparison.json", compared)
        write_text(folder / "comparison.md", text + "\n")
        plots.plot_comparison(compared, f"{given.dataset_name}, {given.split}", folder / "comparison.png")
    return compared, text


def duplicates(given) -> tuple[dict, str]:
    from fer_hub import dataset, duplicates
    from fer_hub.pixels import decode

    loaded = dataset.load(given.source, given.dataset_revision)
    pixels = {name: decode(split, f"{given.source}, split {name}") for name, split in loaded.items()}
    names = next(iter(loaded.values())).features["label"].names
    groups = []
    for group in duplicates.find_groups(pixels):
        images = [{"split": split, "row": row, "label": names[int(pixels[split].labels[row])]} for split, row in group]
        groups.append({"images": images, "contradictory": len({image["label"] for image in images}) > 1})
    counts = duplicates.report(pixels)
    lines = [
        ("contradictory: " if group["contradictory"] else "")
        + ", ".join(f"{image['split']} {image['row']} {image['label']}" for image in group["images"])
        for group in sorted(groups, key=lambda group: not group["contradictory"])
    ]
    lines += [f"{key.replace('_', ' ')}: {count:,}" for key, count in counts.items()]
    return {"dataset_name": given.source, **counts, "groups": groups}, "\n".join(lines)


def aggregate(given) -> tuple[dict, str]:
    from fer_hub import aggregate, tables

    found = aggregate.aggregate(given.folders)
    text = aggregate.as_table(found)
    if given.write:
        tables.write_table(given.write, given.name or found["recipe"], text)
    return found, text

"""The command `fer-hub`: arguments in, one call out. Training has its own, `train.py`.

Exit status: 0 done, 1 the Hub could not take or give something now, 2 a mistake that the message explains, also where
only some of many files were bad.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from fer_hub import __version__, model_folder
from fer_hub.errors import HubError, UserError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        result, text = given.run(given)
    except HubError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped: nothing is half done; the same line starts again", file=sys.stderr)
        return 130
    print(json.dumps(result, indent=2) if given.json else text)
    return 2 if result.get("failed") else 0  # "failed" of many files; the others are in the result


# --- commands: each gives what --json prints, and the text for people ----------------------------------------------


def _info(given) -> tuple[dict, str]:
    from fer_hub.model import FERModel

    model = FERModel.from_pretrained(given.model, revision=given.revision)
    results, record = (_record(model.folder / name) for name in ("results.json", "train_config.json"))
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


def _record(file: Path) -> dict:
    return model_folder.parse_record(file.read_bytes(), str(file)) if file.is_file() else {}


def _predict(given) -> tuple[dict, str]:
    import torch

    from fer_hub import predict_files
    from fer_hub.locate import DEFAULT_MODEL

    # One face is little work, and waiting threads spin: a second one beside another busy process costs many times more.
    torch.set_num_threads(1)
    found = predict_files.predict(given.files, given.model or DEFAULT_MODEL, given.output, given.every)
    return found, predict_files.as_text(found)


def _export(given) -> tuple[dict, str]:
    from fer_hub.export import export
    from fer_hub.model import FERModel

    model = FERModel.from_pretrained(given.model, revision=given.revision)
    folder = Path(os.path.expanduser(given.output_dir or given.model))
    if not given.output_dir and not (folder.is_dir() and folder.samefile(model.folder)):
        raise UserError(f"{given.model} is not a folder to write to. Name one: --output_dir exported")
    done = export(model, folder, given.int8, given.dataset_name)
    lines = [f"{file['path']}  {file['bytes'] / 1e6:.2f} MB" for file in done["files"]]
    if given.int8:
        before, after = done["float32"], done["int8"]
        lines.append(
            f"validation of {given.dataset_name}, n {before['n']:,}: accuracy {before['accuracy']:.4f} in float32, "
            f"{after['accuracy']:.4f} in int8 ({100 * (after['accuracy'] - before['accuracy']):+.2f} points)"
        )
    return done, "\n".join(lines)


def _push(given) -> tuple[dict, str]:
    from fer_hub import hub

    return _pushed(
        hub.push_model(
            given.folder, given.repo_id, private=given.private, revision=given.revision, dry_run=given.dry_run
        )
    )


def _push_space(given) -> tuple[dict, str]:
    from fer_hub.space import push_space

    return _pushed(push_space(given.repo_id, given.model, private=given.private, dry_run=given.dry_run))


def _push_dataset(given) -> tuple[dict, str]:
    from fer_hub.dataset_repo import push_dataset

    return _pushed(push_dataset(given.source, given.repo_id, dry_run=given.dry_run))


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


# --- arguments -----------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fer-hub", description="Models of FER Hub: look at, use, convert, publish.")
    parser.add_argument("--version", action="version", version=f"fer-hub {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    any_model = "a model: folder, Hub id (user/name) or shipped name"

    info = _command(commands, "info", _info, "what a model is and what was measured of it",
                    "fer-hub info runs/paper/best")  # fmt: skip
    info.add_argument("model", help=any_model)
    info.add_argument("--revision", help="branch, tag or commit of a Hub id")

    predict = _command(commands, "predict", _predict, "find the faces of pictures and videos, tell their expressions",
                       "fer-hub predict face.png\n"
                       "  fer-hub predict photos talk.mp4 --every 5 --output found --json")  # fmt: skip
    predict.add_argument("files", nargs="+", metavar="IMAGE|FOLDER|VIDEO",
                         help="a folder is searched with all its subfolders; a file that cannot be read is reported, "
                              "the others go on, and the exit status is 2")  # fmt: skip
    predict.add_argument("--model", help=f"{any_model} (default: the shipped one)")
    predict.add_argument("--output", metavar="DIR",
                         help="a new folder, or that of an earlier run, for annotated copies, predictions.csv and "
                              "predictions.json; for each video NAME.csv and NAME.json with all frames (--json sums "
                              "them up by face), a timeline NAME.png and an annotated NAME.mp4")  # fmt: skip
    predict.add_argument("--every", type=int, default=1, metavar="N",
                         help="look at each N-th picture of a video (default: 1)")  # fmt: skip

    export = _command(commands, "export", _export, "write a model as ONNX, into its folder's onnx/",
                      "fer-hub export runs/paper/best --format onnx\n"
                      "  fer-hub export runs/paper/best --format onnx --int8 --dataset_name data/fer2013")  # fmt: skip
    export.add_argument("model", help=any_model)
    export.add_argument("--revision", help="branch, tag or commit of a Hub id")
    export.add_argument("--format", choices=["onnx"], default="onnx")
    export.add_argument("--output_dir", help="folder that gets onnx/ (default: the model's own)")
    export.add_argument("--int8", action="store_true", help="also an 8-bit file, calibrated and measured on a data set")
    export.add_argument("--dataset_name", help="for --int8: calibrates on its train, measures on its validation split")

    push = _command(commands, "push", _push, "publish a model folder on the Hub, in one commit",
                    "fer-hub push runs/paper/best --repo_id user/fer2013-paper-cnn")  # fmt: skip
    push.add_argument("folder", help="of a finished training: runs/NAME/best")
    _repository(push, "user/name")
    push.add_argument("--private", action="store_true", help="where the repository is new; a public one is refused")
    push.add_argument("--revision", help="a branch, created where needed (default: main)")

    space = _command(commands, "push-space", _push_space, "publish a Gradio Space that serves a model of the Hub",
                     "fer-hub push-space --repo_id user/fer-demo --model user/fer2013-paper-cnn")  # fmt: skip
    _repository(space, "user/space")
    space.add_argument("--model", required=True, help="the model's Hub id, user/name")
    space.add_argument("--private", action="store_true", help="where the Space is new; a public one is refused")

    data = _command(commands, "push-dataset", _push_dataset, "copy a data set to a private repository of the Hub",
                    "fer-hub push-dataset fer2013.csv --repo_id user/fer2013")  # fmt: skip
    data.add_argument("source", help="anything that train.py --dataset_name takes")
    _repository(data, "user/fer2013")
    return parser


def _command(commands, name: str, run, does: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=does,
        description=does[0].upper() + does[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object for machines, and nothing else")
    parser.set_defaults(run=run)
    return parser


def _repository(parser: argparse.ArgumentParser, form: str) -> None:
    parser.add_argument("--repo_id", required=True, help=f"{form}; the login is that of hf auth login or HF_TOKEN")
    parser.add_argument("--dry_run", action="store_true", help="say what would be done; write nothing")

"""The command `fer-hub`: arguments in, one call out. Training has its own, `train.py`.

Exit status: 0 done, 1 the Hub could not take or give something now, 2 a mistake that the message explains, also where
only some of many files were bad.
"""

import argparse
import json
import os
import sys

from fer_hub import __version__
from fer_hub.cli import commands
from fer_hub.errors import HubError, UserError, printable
from fer_hub.labels import LABEL_SETS


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    try:
        given = _parser().parse_args(arguments)
    except SystemExit:
        if status := _printed(""):  # after --help and --version, too, the disk may be full
            return status
        raise
    try:
        result, text = given.run(given)
        if given.json:
            text = _as_json(result)
    except HubError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return _reader_gone()
    except OSError as error:  # a full disk, a folder that may not be written, ...: nothing that the program can mend
        print(f"error: {UserError(_told(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped: nothing is half done; the same line starts again", file=sys.stderr)
        return 130
    # "failed" of many files; the others are in the result
    return _printed(printable(text) + "\n" if text else "") or (2 if result.get("failed") else 0)


def _printed(text: str) -> int:
    """Writes to standard output; returns the exit status where that fails."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except UnicodeEncodeError:  # a terminal that is not UTF-8
        encoding = sys.stdout.encoding
        return _printed(text.encode(encoding, "backslashreplace").decode(encoding))
    except BrokenPipeError:
        return _reader_gone()
    except OSError as error:
        _discard_output()
        print(f"error: cannot write to standard output: {error.strerror}.", file=sys.stderr)
        return 2
    return 0


def _reader_gone() -> int:
    """Return the exit status of a program whose reader, such as head, has enough."""
    _discard_output()
    return 141


def _discard_output() -> None:
    """Send what is still unwritten nowhere: Python would complain of it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_json(result: dict) -> str:
    try:
        return json.dumps(result, indent=2, allow_nan=False)
    except ValueError as error:  # NaN, which is no JSON
        raise UserError(f"the result has a value that JSON cannot hold: {error}. See it without --json.") from error


def _told(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}."


# --- arguments -----------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fer-hub", description="Models of FER Hub: look at, use, measure, convert, publish."
    )
    parser.add_argument("--version", action="version", version=f"fer-hub {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    any_model = "a model: folder, Hub id (user/name) or shipped name"

    info = _command(subparsers, "info", commands.info, "what a model is and what was measured of it",
                    "fer-hub info runs/paper/best")  # fmt: skip
    info.add_argument("model", help=any_model)
    info.add_argument("--revision", help="branch, tag or commit of a Hub id")

    predict = _command(subparsers, "predict", commands.predict,
                       "find the faces of pictures and videos, tell their expressions",
                       "fer-hub predict face.png\n"
                       "  fer-hub predict photos talk.mp4 --every 5 --output found --json")  # fmt: skip
    predict.add_argument("files", nargs="+", metavar="IMAGE|FOLDER|VIDEO",
                         help="a folder is searched with all its subfolders; a file that cannot be read is reported, "
                              "the others go on, and the exit status is 2")  # fmt: skip
    predict.add_argument("--model", help=f"{any_model} (default: fer-small)")
    predict.add_argument("--output", metavar="DIR",
                         help="a new folder, or that of an earlier run, for annotated copies, predictions.csv and "
                              "predictions.json; for each video NAME.csv and NAME.json with all frames (--json sums "
                              "them up by face), a timeline NAME.png and an annotated NAME.mp4")  # fmt: skip
    predict.add_argument("--every", type=int, default=1, metavar="N",
                         help="look at each N-th picture of a video (default: 1)")  # fmt: skip
    predict.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="look at videos from there on")
    predict.add_argument("--end", type=float, metavar="SECONDS", help="look at videos up to there")
    predict.add_argument("--as_video", action="store_true",
                         help="the pictures of a folder, and of each of its subfolders, are the frames of a video, in "
                              "the order of the numbers in their names")  # fmt: skip
    predict.add_argument("--fps", type=float, metavar="N",
                         help="pictures per second of such a folder (default: 25)")  # fmt: skip

    predict.add_argument("--crop", action="store_true", help="each picture is one face already, cut closely")
    _limits(predict)

    live = _command(subparsers, "live", commands.live, "watch a camera or a network stream and tell the expressions",
                    "fer-hub live 0\n"
                    "  fer-hub live rtsp://camera.local/stream --output faces.jsonl")  # fmt: skip
    live.add_argument("source", nargs="?", default="0", metavar="SOURCE",
                      help="a camera (its number or /dev/video0), an address that you trust (rtsp://, http://) or a "
                           "video file (default: 0). Drawn in a window where there is a display")  # fmt: skip
    live.add_argument("--model", help=f"{any_model} (default: fer-small)")
    live.add_argument("--output", metavar="FILE",
                      help="a new .csv or .jsonl, written line by line, or - for JSON lines on standard output; Ctrl-C "
                           "ends it")  # fmt: skip
    _limits(live)

    any_predictor = f"{any_model}; also a model of timm or transformers, FILE.onnx, or module:function"
    evaluate = _command(subparsers, "evaluate", commands.evaluate, "measure any model on a data set",
                        "fer-hub evaluate runs/paper/best --dataset_name data/fer2013 --output runs/paper/best\n"
                        "  fer-hub evaluate A B C --ensemble --dataset_name data/fer2013 --output report")  # fmt: skip
    evaluate.add_argument("models", nargs="+", metavar="MODEL", help=any_predictor)
    evaluate.add_argument("--revision", help="branch, tag or commit of a Hub id")
    _data(evaluate)
    _labels(evaluate)
    evaluate.add_argument("--ensemble", action="store_true", help="average the probabilities of several models")
    evaluate.add_argument("--tta", choices=["none", "flip"], default="none",
                          help="flip: also the mean over each picture and its mirror image")  # fmt: skip
    evaluate.add_argument("--robustness", action="store_true",
                          help="also 14 corruptions at five severities; 76 passes over the split")  # fmt: skip
    evaluate.add_argument("--ferplus", metavar="FILE",
                          help="FER+'s fer2013new.csv: also against the crowd's votes; with --label_set ferplus their "
                               "majorities are the labels")  # fmt: skip
    evaluate.add_argument(
        "--group_by", metavar="COLUMN", help="also every number for each value of a data set's column"
    )
    evaluate.add_argument("--output", metavar="DIR",
                          help="the model's own folder, whose results, figures and card are brought up to date, or any "
                               "other, for results.json, figures and predictions")  # fmt: skip

    calibrate = _command(subparsers, "calibrate", commands.calibrate,
                         "fold a temperature and an abstention threshold, fitted on validation, into a model",
                         "fer-hub calibrate runs/paper/best --dataset_name data/fer2013\n"
                         "  fer-hub calibrate fer-small --dataset_name my-faces --output_dir mine")  # fmt: skip
    calibrate.add_argument("model", help="a model folder; with --output_dir also a Hub id or shipped name")
    calibrate.add_argument("--dataset_name", required=True,
                           help="the data set that it was trained on; with --output_dir any other")  # fmt: skip
    calibrate.add_argument("--output_dir", help="a new folder for a calibrated copy (default: the model's own)")
    _reading(calibrate)
    _labels(calibrate)
    _votes(calibrate)

    compare = _command(subparsers, "compare", commands.compare,
                       "models on the same images, side by side, with paired tests",
                       "fer-hub compare paper-cnn keras.csv --dataset_name data/fer2013 --output compared")  # fmt: skip
    compare.add_argument("models", nargs="+", metavar="MODEL", help=f"{any_predictor}, or predictions as a .csv")
    _data(compare)
    _labels(compare)
    _votes(compare)
    compare.add_argument("--output", metavar="DIR", help="for comparison.json, comparison.md and comparison.png")
    _into_page(compare, "comparison")

    duplicates = _command(subparsers, "duplicates", commands.duplicates,
                          "list the groups of identical images, those with contradictory labels first",
                          "fer-hub duplicates data/fer2013")  # fmt: skip
    duplicates.add_argument("source", help="anything that train.py --dataset_name takes")
    duplicates.add_argument("--dataset_revision", help="branch, tag or commit of a data set on the Hub")
    _reading(duplicates)
    _labels(duplicates)
    _votes(duplicates)

    aggregate = _command(subparsers, "aggregate", commands.aggregate, "mean and spread over the seeds of one recipe",
                         "fer-hub aggregate runs/paper-?\n"
                         "  fer-hub aggregate runs/paper-? runs/small-? --summary --write README.md")  # fmt: skip
    aggregate.add_argument("folders", nargs="+", metavar="RUN", help="finished runs, or their best/")
    aggregate.add_argument("--summary", action="store_true", help="a row for each recipe, of runs of several recipes")
    _into_page(aggregate, "the recipe, or summary")

    export = _command(subparsers, "export", commands.export, "write a model as ONNX, into its folder's onnx/",
                      "fer-hub export runs/paper/best --format onnx\n"
                      "  fer-hub export runs/paper/best --format onnx --int8 --dataset_name data/fer2013")  # fmt: skip
    export.add_argument("model", help=any_model)
    export.add_argument("--revision", help="branch, tag or commit of a Hub id")
    export.add_argument("--format", choices=["onnx"], default="onnx")
    export.add_argument("--output_dir", help="folder that gets onnx/ (default: the model's own)")
    export.add_argument("--int8", action="store_true", help="also an 8-bit file, calibrated and measured on a data set")
    export.add_argument("--dataset_name", help="for --int8: calibrates on its train, measures on its validation split")
    _reading(export)
    _labels(export)
    _votes(export)

    push = _command(subparsers, "push", commands.push, "publish a model folder on the Hub, in one commit",
                    "fer-hub push runs/paper/best --repo_id user/fer2013-paper-cnn")  # fmt: skip
    push.add_argument("folder", help="of a finished training: runs/NAME/best")
    _repository(push, "user/name")
    push.add_argument("--private", action="store_true", help="where the repository is new; a public one is refused")
    push.add_argument("--revision", help="a branch, created where needed (default: main)")

    space = _command(subparsers, "push-space", commands.push_space,
                     "publish a Gradio Space that serves a model of the Hub",
                     "fer-hub push-space --repo_id user/fer-demo --model user/fer2013-paper-cnn")  # fmt: skip
    _repository(space, "user/space")
    space.add_argument("--model", required=True, help="the model's Hub id, user/name")
    space.add_argument("--private", action="store_true", help="where the Space is new; a public one is refused")

    data = _command(subparsers, "push-dataset", commands.push_dataset,
                    "copy a data set to a private repository of the Hub",
                    "fer-hub push-dataset fer2013.csv --repo_id user/fer2013")  # fmt: skip
    data.add_argument("source", help="anything that train.py --dataset_name takes")
    _repository(data, "user/fer2013")
    return parser


def _command(subparsers, name: str, run, does: str, example: str) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
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


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset_name", required=True, help="anything that train.py --dataset_name takes")
    parser.add_argument("--dataset_revision", help="branch, tag or commit of a data set on the Hub")
    parser.add_argument("--split", choices=["train", "validation", "test", "all"],
                        help="default: test, or what the data set has: all of one without splits")  # fmt: skip
    _reading(parser)


def _reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image_column_name", metavar="COLUMN", help="of the images, where it is not found")
    parser.add_argument("--label_column_name", metavar="COLUMN",
                        help="of the labels (default: label, labels, emotion)")  # fmt: skip
    parser.add_argument("--skip_unreadable", action="store_true", help="leave broken images out instead of stopping")


def _limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max_faces", type=int, metavar="N", help="only the N largest faces of a picture")
    parser.add_argument("--min_face_size", type=float, default=0, metavar="PIXELS",
                        help="leave out faces that are narrower or lower than this")  # fmt: skip


def _into_page(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--write", metavar="FILE", help="a Markdown file that gets the tables between its markers")
    parser.add_argument("--name", help=f"of the markers, <!-- results:NAME --> (default: {default})")


def _labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--label_set", choices=LABEL_SETS, default="fer2013",
                        help="what the labels mean (default: fer2013): ferplus, the crowd's majorities; auto, the data "
                             "set's own classes")  # fmt: skip
    parser.add_argument("--label_map", metavar="FILE", help="JSON, labels of the data set to classes: other data sets")


def _votes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ferplus", metavar="FILE", help="FER+'s fer2013new.csv, the votes of --label_set ferplus")


def _repository(parser: argparse.ArgumentParser, form: str) -> None:
    parser.add_argument("--repo_id", required=True, help=f"{form}; the login is that of hf auth login or HF_TOKEN")
    parser.add_argument("--dry_run", action="store_true", help="say what would be done; write nothing")

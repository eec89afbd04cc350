"""The real command line, on a small data set of drawn faces: start, stop, kill, resume, refuse."""

import csv
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import forked
import hub_server
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from datasets import Dataset, DatasetDict
from safetensors.torch import load_file, save_file
from torch.nn import functional

import train
from fer_hub import EMOTIONS, FERModel, UserError, __version__, folder_lock
from fer_hub.data import duplicates
from fer_hub.data.label_sets import LabelSet
from fer_hub.data.pixels import Pixels, decode
from fer_hub.data.sources import features, png
from fer_hub.evaluation.measure import summarize
from fer_hub.hub import card
from fer_hub.recipes import RECIPES, TrainConfig
from fer_hub.training import checkpoint, loop
from fer_hub.training.splits import Splits

ROOT = Path(__file__).parents[2]
FORKED = "train.py, forked from a process that has imported what it imports"
PYTHON = [sys.executable, str(ROOT / "train.py")]
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", str(ROOT / "train.py")]
TIMM_REPO = timm.get_pretrained_cfg("test_resnet").hf_hub_id.split("@")[0]
TWO = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(ROOT / "train.py")]


@pytest.fixture(scope="module")
def data(drawn_faces, tmp_path_factory):
    """A folder of parquet files: 200 training images (4 steps an epoch, the last of 8 images), 60 in the others."""
    folder = tmp_path_factory.mktemp("faces")
    images, labels = drawn_faces
    rows = {"train": slice(0, 200), "validation": slice(200, 260), "test": slice(260, 320)}
    for name, part in rows.items():
        encoded = [{"bytes": png(image), "path": None} for image in images[part]]
        split = Dataset.from_dict({"image": encoded, "label": labels[part]}, features=features())
        DatasetDict({name: split})[name].to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return folder


def start(program, *arguments, **options):
    if program is FORKED:
        return forked.Program(arguments, options.get("env"))
    # In a group of its own: a signal to the group reaches the launcher and the training alike, as Ctrl-C does.
    return subprocess.Popen(
        [*program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def run(program, *arguments, status=0, **options):
    process = start(program, *arguments, **options)
    out, err = process.communicate(timeout=240)
    assert process.returncode == status, out + err
    return out, err


def refuse(*arguments, **options):
    """The one message of a run that is refused."""
    out, err = run(FORKED, *arguments, status=2, **options)
    assert "Traceback" not in out + err
    assert re.search("^error: ", err, re.MULTILINE), err
    return err


def weights(output, step):
    return checkpoint.load_state(output / "checkpoints" / f"step_{step:08d}.pt")["model"]


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


def assert_same_run(first, second, step):
    assert_same(weights(first, step), weights(second, step))
    assert_same(load_file(first / "best/model.safetensors"), load_file(second / "best/model.safetensors"))
    assert (first / "history.csv").read_text() == (second / "history.csv").read_text()


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Twelve epochs without an interruption."""
    output = tmp_path_factory.mktemp("run") / "whole"
    run(FORKED, "--dataset_name", data, "--output_dir", output, "--num_train_epochs", 12, "--checkpointing_steps", 5)
    return output


def test_four_steps_then_resume_then_load(data, tmp_path):
    output = tmp_path / "run"
    common = ("--dataset_name", data, "--output_dir", output)
    out, err = run(PYTHON, *common, "--max_train_steps", 4)
    assert out.count(f"FER Hub {__version__}") == 1 and "epoch   1/1 " in out
    assert len(re.findall(r"^epoch ", out, re.MULTILINE)) == 1
    assert "\r" not in err  # no progress bar where nobody watches
    assert "200 train, 60 validation, 60 test" in out
    assert re.search(r"^ {10}train: angry \d+, disgust \d+, fear", out, re.MULTILINE)
    assert len(re.findall(r"^    recall: angry [01]\.\d{3}, disgust", out, re.MULTILINE)) == 2
    out, _ = run(FORKED, *common, "--max_train_steps", 9, "--resume_from_checkpoint", "last")
    assert "after step 4" in out and "epoch   3/3 " in out
    assert f"{output} now ends after 9 steps, not after 4 steps." in out

    for name in ("best/config.json", "best/model.safetensors", "best/results.json", "best/train_config.json",
                 "figures/curves.png", "figures/confusion_matrix_test.png", "train_config.json"):  # fmt: skip
        assert (output / name).stat().st_size > 0, name
    results = json.loads((output / "all_results.json").read_text())
    wanted = "eval_loss eval_accuracy test_loss test_accuracy test_macro_f1 test_per_class test_confusion_matrix "
    wanted += "test_interval test_dedup_accuracy train_images_per_second best_epoch num_parameters peak_memory_bytes"
    assert set(wanted.split()) <= results.keys()
    assert results["num_parameters"] == 619_015 and results["total_steps"] == 9
    with (output / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in history] == [("1", "4"), ("2", "8"), ("3", "9")]
    best = min(history, key=lambda row: float(row["eval_loss"]))
    assert results["best_epoch"] == int(best["epoch"])
    assert results["eval_loss"] == pytest.approx(float(best["eval_loss"]), abs=1e-6)

    model = FERModel.from_pretrained(output / "best")
    split = decode(Dataset.from_parquet(str(data / "test-00000-of-00001.parquet")), "test")
    with torch.inference_mode():
        numbers = summarize(model(split.images), split.labels, model.label_names)
    assert numbers["confusion_matrix"] == results["test_confusion_matrix"]
    assert numbers["loss"] == pytest.approx(results["test_loss"], abs=1e-6)

    record = json.loads((output / "best/train_config.json").read_text())
    published = json.loads((output / "best/results.json").read_text())
    assert (output / "best/README.md").read_text() == card.render(published, record)
    assert record["command"].startswith("train.py --dataset_name") and "--max_train_steps 9" in record["command"]
    assert record["data"]["fingerprints"]["test"] == split.fingerprint
    assert record["environment"]["num_threads"] >= 1 and "commit" in record["environment"]


def kill_after(process, output, step, group=True):
    """SIGKILL as soon as the state of a step (or a later one) has landed; without the group, to the launcher alone."""
    deadline = time.monotonic() + 120
    while not any(int(p.stem[5:]) >= step for p in (output / "checkpoints").glob("step_????????.pt")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
    return process.communicate(timeout=10)  # until all have ended, as each holds the other ends of the pipes


@pytest.mark.parametrize(("program", "step"), [(FORKED, 5), (LAUNCH, 20)], ids=["python", "accelerate launch"])
def test_killed_and_resumed_equals_uninterrupted(program, step, data, whole, tmp_path):
    """With accelerate launch both parts must equal python's whole run, so it gives the same bits, too.

    Killed is the launcher alone: what it has started saves and ends by itself.
    """
    output = tmp_path / "killed"
    common = ("--dataset_name", data, "--output_dir", output, "--num_train_epochs", 12, "--checkpointing_steps", 5)
    out, err = kill_after(start(program, *common), output, step, group=program is FORKED)
    assert not (output / "all_results.json").exists(), "killed too late to prove anything"
    if program is LAUNCH:
        assert "stopped by SIGTERM; the state is saved" in out and "Traceback" not in err
    FERModel.from_pretrained(output / "best") if (output / "best/model.safetensors").exists() else None
    out, _ = run(program, *common, "--resume_from_checkpoint", "last")
    assert re.search(r"after step \d+", out)
    assert_same_run(output, whole, 48)


def test_sigterm_saves_and_says_how_to_go_on(data, whole, tmp_path):
    output = tmp_path / "stopped"
    common = ("--dataset_name", data, "--output_dir", output, "--checkpointing_steps", 5)
    process = start(PYTHON, *common, "--num_train_epochs", 12)
    while process.stdout.readline()[:5] != "epoch":
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, out + err
    assert "--resume_from_checkpoint last" in out and "Traceback" not in err
    assert (output / "figures/curves.png").stat().st_size > 0
    run(FORKED, *common, "--resume_from_checkpoint", "last")  # as many epochs as were planned
    assert_same_run(output, whole, 48)


def test_damaged_newest_state_falls_back_aloud(data, whole, tmp_path):
    output = tmp_path / "damaged"
    common = ("--dataset_name", data, "--output_dir", output, "--checkpointing_steps", 5)
    run(FORKED, *common, "--max_train_steps", 20)
    newest = output / "checkpoints/step_00000020.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    out, err = run(FORKED, *common, "--num_train_epochs", 12, "--resume_from_checkpoint", "last")
    assert "step_00000020.pt is damaged" in err and "Resuming" in out and "after step 16" in out
    assert_same_run(output, whole, 48)


EVERYTHING = (
    "--architecture", "test_resnet", "--drop_path_rate", 0.1, "--optimizer", "muon", "--learning_rate", 0.002,
    "--weight_decay", 0.05, "--lr_scheduler_type", "cosine", "--ema_decay", 0.8, "--metric_for_best_model", "accuracy",
    "--label_smoothing", 0.1, "--class_weights", "balanced", "--teacher", "paper-cnn", "fer-small",
    "--distillation_temperature", 2, "--hflip", 0.5, "--rotation", 10, "--scale", 0.1, "--translate", 0.1,
    "--brightness", 0.1, "--contrast", 0.2, "--erasing", 0.3, "--mixup", 0.2, "--cutmix", 1, "--num_threads", 1,
    "--no_test",
)  # fmt: skip


def test_everything_at_once_killed_and_resumed_equals_uninterrupted(data, tmp_path):
    common = ("--dataset_name", data, *EVERYTHING, "--num_train_epochs", 5, "--checkpointing_steps", 3)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    out, _ = run(FORKED, *common, "--output_dir", whole)
    assert "Augmentation: hflip 0.5, rotation 10.0" in out
    assert "Teachers: paper-cnn, fer-small; distillation weight 0.5, distillation temperature 2.0" in out
    assert "learns  Muon: learning rate 0.002" in out and "ema decay 0.8" in out

    # The cosine has its end in each step: a run made longer would be neither.
    longer = [6 if value == 5 else value for value in common]
    err = refuse(*longer, "--output_dir", whole, "--resume_from_checkpoint", "last")
    assert "--num_train_epochs was 5, is 6" in err and (whole / "all_results.json").exists()

    kill_after(start(FORKED, *common, "--output_dir", killed), killed, 3)
    assert not (killed / "all_results.json").exists(), "killed too late to prove anything"
    # Of two neighbouring states one always lies within an epoch of four steps.
    within = next(path for path in killed.glob("checkpoints/step_????????.pt") if int(path.stem[5:]) % 4)
    run(FORKED, *common, "--output_dir", killed, "--resume_from_checkpoint", within)
    assert_same_run(killed, whole, 20)
    ends = [checkpoint.load_state(folder / "checkpoints/step_00000020.pt") for folder in (killed, whole)]
    assert_same(*(end["average"] for end in ends))
    results = [json.loads((folder / "all_results.json").read_text()) for folder in (killed, whole)]
    for found in results:
        for key in ("train_seconds", "train_images_per_second", "peak_memory_bytes"):
            del found[key]
    assert results[0] == results[1]

    with (whole / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    best = max(history, key=lambda row: float(row["eval_accuracy"]))["epoch"]
    assert results[0]["best_epoch"] == int(best) and f"Best epoch {best}, by validation accuracy" in out


def test_the_averaged_weights_are_evaluated_and_saved(data, tmp_path):
    run(FORKED, "--dataset_name", data, "--output_dir", tmp_path, "--ema_decay", 0.9, "--max_train_steps", 4,
        "--checkpointing_steps", 1, "--num_threads", 1, "--no_test")  # fmt: skip
    before, after = (checkpoint.load_state(tmp_path / f"checkpoints/step_0000000{step}.pt") for step in (3, 4))
    best = load_file(tmp_path / "best/model.safetensors")
    share = (1 + 3) ** (-2 / 3)  # of the newest weights in the fourth step, while the decay rises to 0.9
    for key, saved in best.items():
        raw, average = after["model"][f"network.{key}"], after["average"][f"module.network.{key}"]
        assert torch.equal(saved, average) and not torch.equal(saved, raw), key
        torch.testing.assert_close(saved, before["average"][f"module.network.{key}"] * (1 - share) + raw * share)

    results = json.loads((tmp_path / "all_results.json").read_text())
    with (tmp_path / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["eval_loss"]) == pytest.approx(results["eval_loss"], abs=1e-6)
    model = FERModel().eval()
    model.load_state_dict(after["model"])
    split = decode(Dataset.from_parquet(str(data / "validation-00000-of-00001.parquet")), "validation")
    with torch.inference_mode():
        loss = summarize(model(split.images), split.labels, model.label_names)["loss"]
    assert abs(loss - results["eval_loss"]) > 1e-4


@pytest.mark.parametrize("asked", [(), ("--cache_teachers", "--mixup", 0.2)])
def test_a_student_of_teachers_alone_does_not_look_at_labels(asked, data, tmp_path):
    others = shutil.copytree(data, tmp_path / "data")
    table = pq.read_table(others / "train-00000-of-00001.parquet")
    column = table.schema.get_field_index("label")
    rolled = pa.array(table["label"].to_pylist()[1:] + table["label"].to_pylist()[:1])
    table = table.set_column(column, table.schema.field(column), rolled)
    pq.write_table(table, others / "train-00000-of-00001.parquet")
    for source, output in ((data, tmp_path / "one"), (others, tmp_path / "two")):
        run(FORKED, "--dataset_name", source, "--output_dir", output, "--teacher", "paper-cnn", *asked,
            "--distillation_weight", 1, "--max_train_steps", 2, "--num_threads", 1, "--no_test")  # fmt: skip
    records = [json.loads((tmp_path / name / "train_config.json").read_text()) for name in ("one", "two")]
    assert records[0]["data"]["fingerprints"]["train"] != records[1]["data"]["fingerprints"]["train"]
    assert_same(weights(tmp_path / "one", 2), weights(tmp_path / "two", 2))


@pytest.mark.parametrize("recipe", sorted(RECIPES.keys() - {"paper"}))
def test_the_other_recipes_train_and_load(recipe, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ("--dataset_name", data, "--max_train_steps", 2)
    if recipe == "small":
        err = refuse("--recipe", recipe, *common)
        first = f"--recipe small-teacher --dataset_name {data} --output_dir runs/small-teacher"
        assert f"First: accelerate launch --quiet train.py {first}\n" in err
        run(FORKED, *first.split(), "--max_train_steps", 2)
        Path("runs/small-teacher/all_results.json").rename("results")  # as where it was stopped
        assert "small-teacher/best is of a training that has not ended" in refuse("--recipe", recipe, *common)
        Path("results").rename("runs/small-teacher/all_results.json")
    out, _ = run(FORKED, "--recipe", recipe, *common, "--output_dir", tmp_path)
    wanted = RECIPES[recipe]
    assert f"recipe {recipe}, seed 0" in out and f"model   {wanted.architecture}," in out
    config = json.loads((tmp_path / "train_config.json").read_text())["config"]
    given = {"output_dir": str(tmp_path), "dataset_name": str(data), "max_train_steps": 2}
    assert config == json.loads(json.dumps(asdict(replace(wanted, **given))))
    model = FERModel.from_pretrained(tmp_path / "best")
    assert (model.architecture, model.mean) == (wanted.architecture, wanted.mean)


def test_a_teacher_of_other_classes_is_refused(data, tmp_path):
    FERModel(label_names=("good", "bad")).save_pretrained(tmp_path / "other")
    err = refuse("--dataset_name", data, "--output_dir", tmp_path / "run", "--teacher", tmp_path / "other")
    assert "knows good, bad, the data has angry" in err


def test_two_processes_judge_the_same_batch_norm(data, tmp_path):
    """With crops and AdamW too, which no other run has."""
    run(TWO, "--dataset_name", data, "--output_dir", tmp_path, "--architecture", "test_resnet", "--ema_decay", 0.8,
        "--optimizer", "adamw", "--learning_rate", 0.001, "--crop_size", 40, "--max_train_steps", 2,
        "--no_test")  # fmt: skip
    results = json.loads((tmp_path / "all_results.json").read_text())
    with (tmp_path / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["eval_loss"]) == pytest.approx(results["eval_loss"], abs=1e-6)


def test_two_processes_equal_one(data, tmp_path):
    # Without dropout: its random numbers differ by process. float32, as bf16 sums depend on the batch's shape.
    common = ("--dataset_name", data, "--drop_rate", 0, "--mixed_precision", "no", "--max_train_steps", 5)
    common += ("--learning_rate", 0.01)
    run(FORKED, *common, "--output_dir", tmp_path / "one")
    run(TWO, *common, "--output_dir", tmp_path / "two")
    run(FORKED, *common, "--output_dir", tmp_path / "parts", "--gradient_accumulation_steps", 4)
    one = json.loads((tmp_path / "one/all_results.json").read_text())
    for name in ("two", "parts"):
        first, second = weights(tmp_path / "one", 5), weights(tmp_path / name, 5)
        for key in first:
            # The first step agrees to 2e-8. Later a rounding error decides which pixel of a pool is the largest, which
            # costs up to 1e-4; a gradient of twice its size would cost 1e-3.
            torch.testing.assert_close(first[key], second[key], rtol=0, atol=2e-4)
        other = json.loads((tmp_path / name / "all_results.json").read_text())
        assert (other["eval_n"], other["test_n"]) == (60, 60)
        assert other["eval_loss"] == pytest.approx(one["eval_loss"], abs=1e-4)
    record = json.loads((tmp_path / "two/train_config.json").read_text())
    assert (record["environment"]["processes"], record["global_batch_size"]) == (2, 64)


def test_divergence_names_epoch_and_step_and_keeps_the_last_good_state(data, tmp_path):
    output = tmp_path / "run"
    common = ("--dataset_name", data, "--output_dir", output)
    run(FORKED, *common, "--num_train_epochs", 1)
    # Another learning rate is another run, so the state is made to diverge: its weights are huge, but finite.
    state = checkpoint.load_state(output / "checkpoints/step_00000004.pt")
    state["model"]["network.classifier.weight"] *= 1e38
    good = checkpoint.save_state(output / "checkpoints", state).read_bytes()
    err = refuse(*common, "--num_train_epochs", 2, "--resume_from_checkpoint", "last")
    assert re.search(r"loss is (nan|inf) in epoch 2, step 1 of the epoch", err)
    assert (output / "checkpoints/step_00000004.pt").read_bytes() == good
    assert not (output / "checkpoints/step_00000008.pt").exists()
    assert torch.isfinite(load_file(output / "best/model.safetensors")["conv1.weight"]).all()
    # Results of the shorter run would be taken for those of weights that the longer one may have replaced.
    for gone in ("all_results.json", "figures", "best/results.json", "best/README.md", "best/figures"):
        assert not (output / gone).exists(), gone


def test_finished_and_unstarted_and_existing_runs(data, whole, tmp_path):
    common = ("--dataset_name", data, "--output_dir")
    out, _ = run(FORKED, *common, whole, "--num_train_epochs", 12, "--resume_from_checkpoint", "last")
    assert "is finished (48 steps)" in out
    out, _ = run(FORKED, *common, whole, "--resume_from_checkpoint", "last")  # and not for the recipe's 20 epochs
    assert "is finished (48 steps)" in out
    err = refuse(*common, whole, "--num_train_epochs", 3, "--resume_from_checkpoint", "last")
    assert "has trained 48 steps already, and 3 epochs are 12" in err and "end it after 12 epochs" in err
    before = (whole / "best/model.safetensors").read_bytes()
    held = refuse("--dataset_name", "nowhere", "--output_dir", whole)  # said before the data are looked for
    assert "--resume_from_checkpoint last; or choose another --output_dir" in held
    assert "--learning_rate was 0.03, is 0.5" in refuse(
        *common, whole, "--num_train_epochs", 13, "--learning_rate", 0.5, "--resume_from_checkpoint", "last"
    )
    assert (whole / "best/model.safetensors").read_bytes() == before
    lost = tmp_path / "lost"
    shutil.copytree(whole, lost, ignore=shutil.ignore_patterns("checkpoints"))
    assert "not overwritten" in refuse(*common, lost, "--seed", 7, "--resume_from_checkpoint", "last")
    out, _ = run(FORKED, *common, tmp_path / "new", "--max_train_steps", 1, "--resume_from_checkpoint", "last")
    assert "starting at step 0" in out


def test_a_second_training_in_the_same_folder_is_refused(data, tmp_path):
    output = tmp_path / "run"
    output.mkdir()
    with folder_lock.hold(output):
        err = refuse("--dataset_name", "nowhere", "--output_dir", output, "--resume_from_checkpoint", "last")
    assert f"{output} is in use by process {os.getpid()} on {platform.node()!r}" in err
    assert "stop it, or choose another --output_dir" in err
    assert not list(output.iterdir())
    refuse("--dataset_name", "nowhere", "--output_dir", tmp_path / "new")
    assert not (tmp_path / "new").exists()  # of a run that never began


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "stopped"])
def test_a_damaged_best_is_written_anew(finished, data, whole, tmp_path):
    output = shutil.copytree(whole, tmp_path / "run")
    files = {name: (output / "best" / name).read_bytes() for name in ("config.json", "model.safetensors")}
    if finished:
        (output / "best/config.json").write_bytes(b"\xff" + files["config.json"])
        (output / "best/model.safetensors").write_bytes(files["model.safetensors"][:1000])
    else:
        shutil.rmtree(output / "best")
        (output / "all_results.json").unlink()
    _, err = run(FORKED, "--dataset_name", data, "--output_dir", output, "--resume_from_checkpoint", "last",
                 "--checkpointing_steps", 5)  # fmt: skip
    assert f"{output}/best is damaged: it is written anew from the checkpoint." in err
    assert {name: (output / "best" / name).read_bytes() for name in files} == files
    for name in ("best/README.md", "best/results.json", "all_results.json"):
        assert (output / name).is_file(), name


def test_no_test_leaves_no_word_of_test(data, tmp_path):
    output = tmp_path / "run"
    out, err = run(PYTHON, "--dataset_name", data, "--output_dir", output, "--max_train_steps", 1, "--no_test",
                   "--drop_leaked_train")  # fmt: skip
    written = "".join(path.read_text() for path in output.rglob("*") if path.suffix in {".json", ".csv"})
    told = (out + err + written).replace(str(tmp_path), "").replace(str(data), "").replace("no_test", "").lower()
    assert "test" not in told
    assert not [path for path in output.rglob("*") if "test" in path.name]


@contextmanager
def files_of_at_most(size):
    """A full disk for what is started meanwhile: the forked process hands its limits down."""
    server, limit = forked.server(None).pid, resource.RLIMIT_FSIZE
    before = resource.prlimit(server, limit, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(server, limit, before)


def test_a_full_disk_destroys_nothing(data, tmp_path):
    output = tmp_path / "run"
    common = ("--dataset_name", data, "--output_dir", output)
    run(FORKED, *common, "--num_train_epochs", 1)
    files = {path: path.read_bytes() for path in output.rglob("*") if path.suffix in {".pt", ".safetensors"}}

    with files_of_at_most(1_000_000):  # a state has 5 MB
        err = refuse(*common, "--num_train_epochs", 2, "--resume_from_checkpoint", "last")
    assert "cannot write" in err and "--resume_from_checkpoint last" in err
    assert {path: path.read_bytes() for path in files} == files
    run(FORKED, *common, "--num_train_epochs", 2, "--resume_from_checkpoint", "last")


def test_trackers(data, tmp_path):
    output = tmp_path / "run"
    run(FORKED, "--dataset_name", data, "--output_dir", output, "--num_train_epochs", 2, "--with_tracking",
        "--report_to", "tensorboard")  # fmt: skip
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next(output.glob("logs/*/events*")).parent))
    events.Reload()
    assert [event.step for event in events.Scalars("eval_loss")] == [4, 8]


def test_fine_tuning_from_our_own_model(data, whole, tmp_path):
    out, _ = run(FORKED, "--dataset_name", data, "--output_dir", tmp_path / "run", "--init_from", whole / "best",
                 "--max_train_steps", 1, "--learning_rate", 1e-9)  # fmt: skip
    start, end = (load_file(folder / "best/model.safetensors") for folder in (whole, tmp_path / "run"))
    assert f"from {whole}/best" in out
    for key in start:
        torch.testing.assert_close(start[key], end[key], rtol=0, atol=1e-6)


def test_fine_tuning_from_other_classes_gets_a_new_head(data, tmp_path):
    FERModel(label_names=("good", "bad")).save_pretrained(tmp_path / "other")
    out, _ = run(FORKED, "--dataset_name", data, "--output_dir", tmp_path / "run", "--init_from", tmp_path / "other",
                 "--max_train_steps", 1)  # fmt: skip
    assert "knows good, bad: its last layer is replaced" in out
    assert load_file(tmp_path / "run/best/model.safetensors")["classifier.weight"].shape == (7, 256)


def test_any_timm_architecture(data, tmp_path):
    run(FORKED, "--dataset_name", data, "--output_dir", tmp_path, "--architecture", "test_resnet",
        "--max_train_steps", 2)  # fmt: skip
    assert FERModel.from_pretrained(tmp_path / "best").in_chans == 3


def test_samples_are_stratified(data, tmp_path):
    run(FORKED, "--dataset_name", data, "--output_dir", tmp_path, "--max_train_samples", 70, "--max_eval_samples", 21,
        "--max_train_steps", 1)  # fmt: skip
    results = json.loads((tmp_path / "all_results.json").read_text())
    assert (results["eval_n"], results["test_n"]) == (21, 21)
    assert json.loads((tmp_path / "train_config.json").read_text())["data"]["images"]["train"] == 70


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset_name", "nowhere"], "--dataset_name synthetic"),
        (["--dataset_name", "nobody/nothing"], "--dataset_name synthetic"),
        (["--mixed_precision", "fp16", "--dataset_name", "DATA"], "needs a CUDA device"),
        (["--hub_model_id", "me/model"], "is for --push_to_hub"),
        (["--push_to_hub", "--dataset_name", "DATA"], "not logged in: hf auth login"),
        (["--architecture", "resnet_18", "--dataset_name", "DATA"], "Did you mean"),
        (["--init_from", "nowhere", "--dataset_name", "nobody"], "no model at nowhere"),
        (["--init_from", "x", "--architecture", "resnet18"], "leave out --architecture, --model_args and --pretrained"),
        (["--init_from", "x", "--model_args", "{}"], "leave out --architecture, --model_args and --pretrained"),
        (["--architecture", "resnet18", "--pretrained", "--dataset_name", "DATA"], "cannot be fetched"),
        (["--gradient_accumulation_steps", "3", "--dataset_name", "DATA"], "--per_device_train_batch_size 21"),
        (["--output_dir", "/dev/null/run", "--dataset_name", "DATA"], "cannot write to --output_dir"),
        (["--output_dir", __file__, "--dataset_name", "nowhere"], "cannot write to --output_dir"),
        (["--class_weights", "equal"], "invalid choice"),
        (["--with_tracking", "--report_to", "wandb"], "pip install wandb"),
        (["--with_tracking", "--report_to", "nothing"], "unknown tracker"),
        (["--resume_from_checkpoint", "nowhere.pt"], "no checkpoint at nowhere.pt"),
        (["--max_train_samples", "3", "--dataset_name", "DATA"], "sample of 3 images"),
        (["--label_set", "ferplus", "--dataset_name", "DATA"], "--ferplus fer2013new.csv"),
        (["--ferplus", "votes.csv", "--dataset_name", "DATA"], "--label_set ferplus: add that"),
        (["--soft_labels", "--dataset_name", "DATA"], "add --label_set ferplus"),
        (["--label_map", "nowhere.json", "--dataset_name", "DATA"], "cannot open nowhere.json"),
        (["--label_map", "x", "--label_set", "auto", "--dataset_name", "DATA"], "leave out --label_set auto"),
        (["--drop_rate", "1"], "argument --drop_rate: '1' is not a number from 0 to below 1"),
        (["--learning_rate", "-1"], "is not a number above 0"),
        (["--num_train_epochs", "0"], "is not a whole number above 0"),
        (["--recipe", "none"], "invalid choice"),
        (["--hflip", "1.1"], "argument --hflip: '1.1' is not a number from 0 to 1"),
        (["--erasing", "2"], "argument --erasing: '2' is not a number from 0 to 1"),
        (["--distillation_weight", "1.5"], "argument --distillation_weight: '1.5' is not a number from 0 to 1"),
        (["--scale", "1"], "argument --scale: '1' is not a number from 0 to below 1"),
        (["--label_smoothing", "1"], "argument --label_smoothing: '1' is not a number from 0 to below 1"),
        (["--ema_decay", "1"], "argument --ema_decay: '1' is not a number from 0 to below 1"),
        (["--drop_path_rate", "1"], "argument --drop_path_rate: '1' is not a number from 0 to below 1"),
        (["--momentum", "1"], "argument --momentum: '1' is not a number above 0 and below 1"),
        (["--momentum", "0"], "argument --momentum: '0' is not a number above 0"),
        (["--momentum", "0.9"], "--momentum is for --optimizer sgd or muon"),
        (["--optimizer", "muon"], "is for adagrad: add --learning_rate, for muon for example 0.005"),
        (
            ["--initial_accumulator_value", "1", "--optimizer", "sgd", "--learning_rate", ".1"],
            "is for --optimizer adagrad",
        ),
        (["--rotation", "nan"], "argument --rotation: 'nan' is not a number from 0"),
        (["--crop_size", "49"], "argument --crop_size: '49' is not a whole number from 1 to 48"),
        (["--crop_size", "44", "--dataset_name", "nowhere"], "Take whole ones, --crop_size 48, or an architecture"),
        (["--num_warmup_steps", "9"], "--num_warmup_steps is for --lr_scheduler_type cosine, linear or"),
        (["--cache_teachers"], "--cache_teachers is for --teacher: add that, or leave"),
        (["--distillation_weight", "1"], "--distillation_weight is for --teacher: add that, or leave"),
        (["--distillation_temperature", "2"], "--distillation_temperature is for --teacher"),
        (["--teacher", "paper-cnn", "nowhere", "--dataset_name", "nobody"], "no model at nowhere"),
        (["--drop_path_rate", ".1", "--dataset_name", "nowhere"], "unexpected keyword argument 'drop_path_rate'"),
        (["--model_args", '{"widths": [8]}', "--dataset_name", "DATA"], "unexpected keyword argument 'widths'"),
        (["--model_args", '{"checkpoint_path": "x"}', "--dataset_name", "DATA"], "are not for the architecture"),
        (["--model_args", "[8]"], "'[8]' is not a JSON object"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_explained(arguments, said, data, tmp_path, monkeypatch, capsys):
    arguments = [str(data) if argument == "DATA" else argument for argument in arguments]
    if "--output_dir" not in arguments:
        arguments += ["--output_dir", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    try:  # in this process: the imports of a new one take longer than the rest
        status = train.main()
    except SystemExit as exit_of_argparse:
        status = exit_of_argparse.code
    assert status == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run" / "best" / "model.safetensors").exists()


def test_too_little_space_is_said_before_the_data_are_loaded(tmp_path, monkeypatch):
    """A state of the paper's network has its weights, the best ones and Adagrad's sums."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 20_000_000))
    with pytest.raises(UserError, match="20 MB free, the run needs 27 MB"):
        loop.train(TrainConfig(dataset_name="nowhere", output_dir=str(tmp_path / "run")), "train.py")
    assert not (tmp_path / "run").exists()


def test_import_loads_nothing_heavy_and_prints_nothing():
    code = "import sys, fer_hub; print([m for m in ('torch', 'timm', 'datasets', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_real_faces_from_synthetic_weights(whole, fer2013_path, tmp_path):
    """Fine-tuning from drawn faces to FER2013, on a sample: the loss falls."""
    output = tmp_path / "run"
    run(FORKED, "--dataset_name", fer2013_path, "--output_dir", output, "--init_from", whole / "best", "--no_test",
        "--max_train_samples", 2000, "--max_eval_samples", 500, "--num_train_epochs", 4)  # fmt: skip
    with (output / "history.csv").open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0] - 0.02  # 0.03 to 0.04 were measured


# --- other labels ---


def of_run(output):
    """What a run leaves of its labels: the model's classes, the data's record, the results, the card."""
    record, published = (
        json.loads((output / "best" / name).read_text()) for name in ("train_config.json", "results.json")
    )
    return FERModel.from_pretrained(output / "best"), record["data"], published, (output / "best/README.md").read_text()


def test_own_classes_of_image_folders(drawn_faces, tmp_path):
    images, labels = drawn_faces
    names = ("Zorn", "fear", "10", "9")
    for row in range(280):
        split = "train" if row < 200 else "validation" if row < 240 else "test"
        if labels[row] < 4:
            file = tmp_path / "mine" / split / names[labels[row]] / f"{row}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(images[row]))
    out, err = run(FORKED, "--dataset_name", tmp_path / "mine", "--label_set", "auto", "--output_dir", tmp_path / "run",
                   "--max_train_steps", 2)  # fmt: skip
    model, data, published, card = of_run(tmp_path / "run")
    assert model.label_names == ("fear", "10", "9", "Zorn") and "classes fear, 10, 9, Zorn (label set auto)" in out
    assert list(published["test"]["per_class"]) == ["fear", "10", "9", "Zorn"]
    assert published["label_set"] == data["label_set"] == "auto" and data["label_map"] is None
    assert "4 expressions: fear, 10, 9, Zorn." in card and "The classes are its own." in card
    assert "official" not in err and "FER2013" not in card


def test_label_map_of_another_data_set(data, drawn_faces, tmp_path):
    """Labels of a table by their names in it: one is left out, one is new, one has no training image."""
    mapping = {"angry": "rage", "disgust": None, "fear": "scared", "happy": "happiness", "sad": "sad",
               "surprise": "surprise", "neutral": "neutral", "bored": "boredom"}  # fmt: skip
    lost = int((drawn_faces[1][:200] == 1).sum())
    (tmp_path / "map.json").write_text(json.dumps(mapping))
    out, err = run(FORKED, "--dataset_name", data, "--label_map", tmp_path / "map.json", "--output_dir",
                   tmp_path / "run", "--max_train_steps", 2)  # fmt: skip
    model, of_data, published, card = of_run(tmp_path / "run")
    names = ("fear", "happy", "sad", "surprise", "neutral", "rage")
    assert model.label_names == names and tuple(published["test"]["per_class"]) == names
    assert "No training image is boredom" in err and f"train: {lost} images are left out: disgust ({lost})." in err
    assert of_data["label_map"] == mapping | {"fear": "fear", "happy": "happy"}
    assert of_data["labels_left_out"]["train"] == {"disgust": lost} and of_data["images"]["train"] == 200 - lost
    assert "angry is rage" in card and f"disgust ({lost})" in card and "official" not in err + card


def test_soft_targets_are_what_is_learned(faces, monkeypatch, tmp_path):
    """In one step over all images, without dropout, the loss is that of the targets, which here are not the labels."""
    targets = torch.rand(56, 7, generator=torch.Generator().manual_seed(0)).softmax(1)
    soft = Pixels(faces["train"].images, faces["train"].labels, targets)
    kept = {name: faces[name] for name in ("train", "validation")}
    labels = LabelSet("ferplus", votes="fer2013new.csv", soft=True)
    splits = Splits(soft, kept["validation"], None, None, EMOTIONS, duplicates.report(kept), {}, labels)
    monkeypatch.setattr(loop, "load_splits", lambda config: splits)
    config = TrainConfig(output_dir=str(tmp_path), drop_rate=0.0, learning_rate=1e-9, max_train_steps=1,
                         mixed_precision="no", num_threads=1)  # fmt: skip
    loop.train(config, "train.py")
    model = FERModel.from_pretrained(tmp_path / "best")
    with torch.inference_mode(), (tmp_path / "history.csv").open() as file:
        expected = functional.cross_entropy(model(soft.images), targets).item()
        (row,) = csv.DictReader(file)
    assert float(row["train_loss"]) == pytest.approx(expected, abs=1e-4)


def test_ferplus_with_soft_labels(fer2013_path, ferplus_path, tmp_path):
    out, err = run(FORKED, "--dataset_name", fer2013_path, "--label_set", "ferplus", "--ferplus", ferplus_path,
                   "--soft_labels", "--mixup", 0.2, "--max_train_samples", 1000, "--max_eval_samples", 400,
                   "--max_train_steps", 3, "--output_dir", tmp_path / "run")  # fmt: skip
    model, data, published, card = of_run(tmp_path / "run")
    assert model.label_names[-2:] == ("neutral", "contempt") and published["label_set"] == "ferplus"
    assert data["labels_left_out"] == {
        "train": {"no majority or unknown": 143, "not a face": 150},
        "validation": {"no majority or unknown": 380, "not a face": 10},
        "test": {"no majority or unknown": 420, "not a face": 16},
    }
    assert "test: 436 images are left out: no majority or unknown (420), not a face (16)." in err
    assert "FER2013 with the labels of FER+" in card and "shares of the votes" in card
    assert "license_name: fer2013-images-unclear" in card and "official" not in err


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Hub, and the environment of programs that use it."""
    home = tmp_path_factory.mktemp("hf")
    with hub_server.run(tokens=None) as hub:
        yield hub, {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home),
                    "HF_HUB_CACHE": str(home / "hub"), "HF_DATASETS_CACHE": str(home / "datasets")}  # fmt: skip


def test_data_set_of_the_hub(data, hub, tmp_path):
    """By id and revision, over HTTP; PublicTest and PrivateTest are the names of its splits."""
    names = {"train": "train", "validation": "publicTest", "test": "privateTest"}
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n"
    card += "".join(f"  - split: {name}\n    path: data/{name}-*\n" for name in names.values())
    files = {f"data/{name}-0.parquet": next(data.glob(f"{split}-*")).read_bytes() for split, name in names.items()}
    server, environment = hub
    server.add_repo("user/fer2013", {**files, "README.md": f"{card}---\n".encode()}, "dataset", branch="v1")
    common = ("--dataset_name", "user/fer2013", "--max_train_steps", 1)
    run(FORKED, *common, "--dataset_revision", "v1", "--output_dir", tmp_path / "run", env=environment)
    err = refuse(*common, "--dataset_revision", "v2", "--output_dir", tmp_path / "other", env=environment)
    assert "cannot load user/fer2013 from the Hub" in err and "v2" in err
    record = json.loads((tmp_path / "run/train_config.json").read_text())
    assert record["data"]["images"] == {"train": 200, "validation": 60, "test": 60}
    local = decode(Dataset.from_parquet(str(data / "validation-00000-of-00001.parquet")), "validation")
    assert record["data"]["fingerprints"]["validation"] == local.fingerprint


def test_start_from_weights_of_the_hub(data, hub, tmp_path):
    """Pretrained timm weights, and a model of ours by its Hub id; a tiny learning rate leaves them as they were."""
    torch.manual_seed(0)
    colour = timm.create_model("test_resnet")
    save_file(colour.state_dict(), tmp_path / "model.safetensors")
    server, environment = hub
    server.add_repo(TIMM_REPO, {"model.safetensors": (tmp_path / "model.safetensors").read_bytes()})
    common = ("--dataset_name", data, "--max_train_steps", 1, "--learning_rate", 1e-9)
    run(FORKED, *common, "--architecture", "test_resnet", "--pretrained", "--output_dir", tmp_path / "timm",
        env=environment)  # fmt: skip
    # Repeating a gray image on three channels, as the paper does, equals summing the first layer over them.
    gray = FERModel.from_pretrained(tmp_path / "timm/best", in_chans=1).network.state_dict()
    key = f"{colour.pretrained_cfg['first_conv']}.weight"
    torch.testing.assert_close(gray[key], colour.state_dict()[key].sum(1, keepdim=True), rtol=0, atol=1e-5)

    files = {name: (tmp_path / "timm/best" / name).read_bytes() for name in ("config.json", "model.safetensors")}
    server.add_repo("user/model", files)
    run(FORKED, *common, "--init_from", "user/model", "--output_dir", tmp_path / "ours", env=environment)
    start, end = (load_file(tmp_path / run_name / "best/model.safetensors") for run_name in ("timm", "ours"))
    for name, tensor in start.items():
        if tensor.is_floating_point() and "running" not in name:  # BatchNorm's statistics move with any batch
            torch.testing.assert_close(end[name], tensor, rtol=0, atol=1e-5)

"""The model card: one whole page pinned, the metadata as the Hub reads it, and what must hold for every model."""

import ast
import copy
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from fer_hub.hub import card
from fer_hub.labels import FERPLUS
from fer_hub.recipes import RECIPES

DATA = Path(__file__).parent / "card_files"
RESULTS = json.loads((DATA / "card_results.json").read_text())
RECORD = json.loads((DATA / "card_record.json").read_text())
BARE = {"architecture": "resnet18", "num_parameters": 11180103}
REGENERATE = (
    "The card has changed. Read the difference; where it is meant, pin the new one:\n  python -c '"
    'import json, pathlib; from fer_hub.hub import card; d = pathlib.Path("tests/hub/card_files"); '
    'r = [json.loads((d / f"card_{n}.json").read_text()) for n in ("results", "record")]; '
    '(d / "card.md").write_text(card.render(*r))\''
)


def changed(**changes):
    """The fixed results and record, with values replaced: `config__seed=1` is record["config"]["seed"] = 1."""
    results, record = copy.deepcopy(RESULTS), copy.deepcopy(RECORD)
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = results if parents and parents[0] == "results" else record
        for key in parents:
            target = target if key == "results" else target[key]
        target[last] = value
    return results, record


def without_test():
    results, record = changed(config__no_test=True)
    del results["test"], record["data"]["images"]["test"], record["data"]["duplicates"]["test_also_in_train"]
    return results, record


def synthetic():
    results, record = changed(
        results__synthetic=True, results__dataset_name="synthetic", data__synthetic=True,
        data__dataset_name="synthetic", config__dataset_name="synthetic", command="train.py --dataset_name synthetic",
    )  # fmt: skip
    results["test"]["dedup"] = {**results["test"]["dedup"], "n": results["test"]["n"]}
    return results, record


def sampled():
    results, record = changed(config__max_eval_samples=700, config__max_train_samples=7000)
    for split in ("validation", "test"):
        for numbers in results[split]["per_class"].values():
            numbers["support"] = 100
    return results, record


def measured_further():
    results, record = changed(
        results__calibration={"temperature": 1.2345, "abstention_threshold": 0.4321},
    )
    results["test"] |= {
        "coverage": {"accuracy_at": {"90": 0.6101, "80": 0.6402, "70": 0.6703}},
        "robustness": {
            "corruptions": {"jpeg": {"accuracy": [0.51, 0.52, 0.53, 0.54, 0.55], "mean": 0.53}},
            "mean_corruption_accuracy": 0.4567,
            "consistency": {"flip": 0.6811, "shift": 0.7622},
        },
        "ferplus": {
            "n": 3111, "accuracy": 0.6211, "interval": [0.6, 0.64], "label_accuracy": 0.6711,
            "by_agreement": [{"above": 0.9, "up_to": 1.0, "n": 1900, "accuracy": 0.7311}],
            "errors": {
                "n": 1500, "with_model": 0.2411, "with_label": 0.3411, "with_neither": 0.3111, "undecided": 0.1067,
            },
        },
    }  # fmt: skip
    return results, record


def not_calibrated():
    results, record = changed()
    for split in ("validation", "test"):
        for key in ("ece", "ece_equal_mass", "brier", "reliability"):
            del results[split][key]
    return results, record


def other_labels(label_set, names, **data):
    """The fixed results with other classes, as many as names, and what a record then says of the labels."""
    results, record = changed(results__label_set=label_set, data__label_set=label_set, config__label_set=label_set)
    record["data"] |= {"label_map": None, "labels_left_out": {}} | data
    for split in ("validation", "test"):
        numbers = results[split]
        of_class = next(iter(numbers["per_class"].values()))
        numbers["per_class"] = {name: {**of_class, "recall": place / 10} for place, name in enumerate(names)}
        numbers["confusion_matrix"] = [[10] * len(names) for _ in names]
    return results, record


def ferplus_labels(soft):
    left_out = {"train": {"no majority or unknown": 143, "not a face": 150}, "validation": {"not a face": 10}}
    results, record = other_labels("ferplus", FERPLUS, labels_left_out=left_out)
    record["config"]["soft_labels"] = soft
    return results, record


VARIANTS = {
    "whole": (RESULTS, RECORD),
    "no test": without_test(),
    "synthetic": synthetic(),
    "sampled": sampled(),
    "not calibrated": not_calibrated(),
    "measured further": measured_further(),
    "own classes": other_labels("auto", ("cat", "dog")),
    "label map": other_labels(
        "label_map",
        ("happy", "sad", "scorn"),
        label_map={"1": "happy", "sad": "sad", "x": None},
        labels_left_out={"train": {"x": 1234}, "test": {}},
    ),
    "ferplus": ferplus_labels(False),
    "ferplus, soft": ferplus_labels(True),
    "cleaned": changed(config__drop_leaked_train=True),
    "pretrained": changed(architecture="resnet18", config__pretrained=True, base_model="timm/resnet18.a1_in1k"),
    "fine-tuned": changed(config__init_from="runs/other/best"),
    "synthetic, fine-tuned": (synthetic()[0], {**synthetic()[1], "base_model": "user/model"}),
    "several processes": changed(environment__processes=2, config__max_train_steps=1000),
    "results alone": (RESULTS, {}),
    "results of a known network": (RESULTS, BARE),
    "record alone": ({}, RECORD),
    "bare": ({}, BARE),
    "empty": ({}, {}),
}


def parse(text):
    head, page = re.fullmatch(r"---\n(.*?\n)---\n\n(.*)", text, re.S).groups()
    return yaml.safe_load(head), page


def entries(metadata):
    """model-index as (dataset name, split) -> metric type -> value."""
    (index,) = metadata["model-index"]
    return {
        (entry["dataset"]["name"], entry["dataset"]["split"]): {m["type"]: m["value"] for m in entry["metrics"]}
        for entry in index["results"]
    }


def test_the_whole_card_is_pinned():
    assert card.render(RESULTS, RECORD) == (DATA / "card.md").read_text(), REGENERATE


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_card_is_whole(variant):
    metadata, page = parse(card.render(*VARIANTS[variant]))
    assert metadata["pipeline_tag"] == "image-classification" and metadata["license"]
    assert not re.search(
        r"\{\{|\{%|\bNone\b|\bnan\b|Undefined|\[\]|\(\)|  \w", re.sub(r"```.*?```", "", page, flags=re.S)
    )
    assert "\n\n\n" not in page and page.endswith("\n") and page.isascii()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert len(blocks) == 4
    for block in blocks:
        ast.parse(block)
        assert block.splitlines()[-1].startswith("probabilities = ")
    for table in re.findall(r"(?:^\|.*\n)+", page, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table
    for needed in ("## Uses", "Article 5(1)(f)", "## Limits", "An expression is not an emotion", "## Licence"):
        assert needed in page


def test_the_model_index_holds_the_results_as_measured():
    metadata, _ = parse(card.render(RESULTS, RECORD))
    test, validation = RESULTS["test"], RESULTS["validation"]
    assert entries(metadata) == {
        ("FER2013, test", "test"): {"accuracy": test["accuracy"], "f1": test["macro_f1"]},
        ("FER2013, test without images that are also in train", "test"): {
            "accuracy": test["dedup"]["accuracy"], "f1": test["dedup"]["macro_f1"],
        },
        ("FER2013, validation", "validation"): {"accuracy": validation["accuracy"], "f1": validation["macro_f1"]},
    }  # fmt: skip
    assert metadata["metrics"] == ["accuracy", "f1"] and "fer2013" in metadata["tags"]
    assert metadata["license"] == "other" and metadata["license_name"] == "fer2013-images-unclear"


def test_numpy_numbers_end_as_plain_yaml():
    results, record = copy.deepcopy((RESULTS, RECORD))
    results["test"]["accuracy"] = np.float64(0.5)
    metadata, _ = parse(card.render(results, record))
    assert entries(metadata)["FER2013, test", "test"]["accuracy"] == 0.5


@pytest.mark.parametrize("architecture, library", [("fer_paper_cnn", "fer_hub"), ("resnet18", "timm")])
def test_loading_differs_for_stock_and_own_architectures(architecture, library):
    metadata, page = parse(card.render(*changed(architecture=architecture)))
    assert metadata["library_name"] == library
    own = library == "fer_hub"
    assert page.count("from fer_hub import FERModel") == (3 if own else 1)
    assert page.count('.convert("L")') == (2 if own else 1) and page.count('.convert("RGB")') == (0 if own else 1)
    assert ("Bedi" in page) == own


def test_data_sets_and_base_models_are_linked_where_they_are_on_the_hub():
    metadata, _ = parse(card.render(RESULTS, RECORD))
    assert "datasets" not in metadata and "base_model" not in metadata  # data/fer2013 is a folder
    on_hub = changed(data__hub_id="user/fer2013", config__dataset_revision="v1", base_model="timm/resnet18.a1_in1k")
    metadata, page = parse(card.render(*on_hub))
    assert metadata["datasets"] == ["user/fer2013"] and metadata["base_model"] == "timm/resnet18.a1_in1k"
    assert "`timm/resnet18.a1_in1k`" in page and "licence of their own" in page
    assert metadata["model-index"][0]["results"][0]["dataset"]["revision"] == "v1"


def test_drawn_faces_are_named_so_and_never_fer2013():
    text = card.render(*synthetic())
    metadata, page = parse(text)
    assert "fer2013" not in text.lower() and "PrivateTest" not in text
    assert set(entries(metadata)) == {
        ("drawn faces (synthetic), test", "test"), ("drawn faces (synthetic), validation", "validation"),
    }  # fmt: skip
    assert metadata["model-index"][0]["results"][0]["dataset"]["type"] == "synthetic"
    assert metadata["license"] == "apache-2.0" and "They say nothing about real faces." in page
    fine_tuned, _ = parse(card.render(*VARIANTS["synthetic, fine-tuned"]))
    assert fine_tuned["license"] == "other"  # the starting weights' pictures are somebody's
    results, record = copy.deepcopy(synthetic())
    record["config"] |= {"teacher": ["fer-small"], "distillation_weight": 0.5}  # of FER2013
    taught, page = parse(card.render(results, record))
    assert taught["license"] == "other" and "under the same licence" not in page


@pytest.mark.parametrize("variant", ["own classes", "label map"])
def test_other_classes_are_not_taken_for_fer2013s(variant):
    metadata, page = parse(card.render(*VARIANTS[variant]))
    assert not re.search("FER2013|FER\\+|PrivateTest|seven|official", page) and "fer2013" not in metadata["tags"]
    assert metadata["license_name"] == "not-stated"


def test_card_of_own_classes():
    _, page = parse(card.render(*VARIANTS["own classes"]))
    assert "each of 2 expressions: cat, dog." in page and "The classes are its own." in page
    assert "as a dict of class to probability" in page and "| class | precision |" in page and "emotion |" not in page


def test_card_of_a_label_map():
    _, page = parse(card.render(*VARIANTS["label map"]))
    assert "Its labels became classes by a label map: 1 is happy." in page
    assert "Images that were left out, by label: train: x (1,234)." in page


@pytest.mark.parametrize("variant", ["ferplus", "ferplus, soft"])
def test_card_of_the_crowds_labels(variant):
    metadata, page = parse(card.render(*VARIANTS[variant]))
    assert {"fer2013", "ferplus"} <= {*metadata["tags"]} and metadata["license_name"] == "fer2013-images-unclear"
    assert {name for name, _ in entries(metadata)} >= {"FER2013 with the labels of FER+, test"}
    assert "8 expressions: angry, disgust, fear, happy, sad, surprise, neutral, contempt." in page
    assert "test (PrivateTest)" in page and "cannot be compared with those on FER2013's own labels" in page
    assert ("shares of the votes" in page) == (variant == "ferplus, soft")
    assert (
        "by what the votes say: train: no majority or unknown (143), not a face (150); validation: not a face (10)."
        in page
    )


def test_only_the_official_class_counts_are_called_fer2013():
    metadata, page = parse(card.render(*sampled()))
    assert all(name.startswith("data/fer2013, a sample, ") for name, _ in entries(metadata))
    assert metadata["license_name"] == "not-stated" and "fer2013" not in metadata["tags"]
    assert "at most 700 images" in page and "PrivateTest" not in page
    results, record = changed()
    results["test"]["per_class"]["happy"]["support"] += 1
    _, page = parse(card.render(results, record))
    assert "not those of the official FER2013" in page and "# Facial expressions: the CNN" in page
    assert "on FER2013\n" not in page


def test_without_a_test_split_validation_takes_its_place_and_nothing_speaks_of_test():
    metadata, page = parse(card.render(*without_test()))
    assert list(entries(metadata)) == [("FER2013, validation", "validation")]
    assert "There is no test result" in page and "confusion_matrix_validation.png" in page
    assert "PrivateTest" not in page and "Leaks" not in page and "of test" not in page
    assert "## Results by class, on validation (PublicTest)" in page


def test_sections_vanish_with_their_data():
    results, record = copy.deepcopy((RESULTS, RECORD))
    del results["test"]["dedup"]
    metadata, page = parse(card.render(results, record))
    assert len(entries(metadata)) == 2 and "Leaks" not in page and "| test without" not in page
    metadata, page = parse(card.render({}, BARE))
    assert "model-index" not in metadata and "metrics" not in metadata
    for gone in ("## Results", "## Data", "## Training", "## Citation", "![", "accuracy |", "seed"):
        assert gone not in page
    assert "No results are recorded" in page and "11,180,103 parameters" in page and "`resnet18`" in page


def test_equal_numbers_without_leaks_are_not_printed_twice():
    results, record = copy.deepcopy((RESULTS, RECORD))
    results["test"]["dedup"]["n"] = results["test"]["n"]
    metadata, page = parse(card.render(results, record))
    assert len(entries(metadata)) == 2 and "No evaluated test image also stands in the training split." in page


def test_calibration_and_robustness_appear_when_measured():
    page = card.render(*not_calibrated())
    assert "Calibration" not in page and "reliability" not in page and "was not measured" in page
    for word in ("### Robustness", "### Saying", "### What a crowd says", "temperature"):
        assert word not in card.render(RESULTS, RECORD)
    results, record = measured_further()
    results["test"] |= {"ece": 0.0321, "ece_equal_mass": 0.0432, "brier": 0.6543}
    page = card.render(results, record)
    for printed in (
        "0.032", "0.043", "0.654", "figures/reliability_test.png", "45.7 %", "68.1 %", "76.2 %", "robustness_test.png",
        "| corruption | severity 1 | severity 2 | severity 3 | severity 4 | severity 5 |\n"
        "|---|---:|---:|---:|---:|---:|\n"
        "| jpeg | 51.0 % | 52.0 % | 53.0 % | 54.0 % | 55.0 % |", "64.0 % of the first 80 %", "below 0.432",
        "temperature of 1.234", "67.1 %", "73.1 % where it is above 90 up to 100 % (n 1,900)", "24.1 %", "undecided",
    ):  # fmt: skip
        assert printed in page, printed
    assert "was not measured" not in page


def test_numbers_are_those_of_the_inputs():
    results, record = changed(
        num_parameters=7654321, config__learning_rate=0.0625, config__seed=77, results__train_seconds=3723.4,
        results__train_images_per_second=98765.4, data__duplicates__blank=4321, global_batch_size=333,
    )  # fmt: skip
    results["test"] |= {"accuracy": 0.8765, "interval": [0.8111, 0.8999], "macro_f1": 0.2222, "n": 3000}
    results["test"]["dedup"] |= {"n": 2900, "accuracy": 0.7654}
    results["test"]["per_class"]["fear"] |= {"precision": 0.1234}
    page = card.render(results, record)
    for printed in ("7,654,321", "0.0625", "seed 77", "1 h 2 min", "98,765 images/s", ": 4,321", "Batch 333", "87.6 %",
                    "81.1 % to 90.0 %", "0.222", "Of the 3,000 test images, 100", "76.5 %", "0.123"):  # fmt: skip
        assert printed in page
    for old in ("619,015", "56.1 %", "55.6 %", f"{RESULTS['train_images_per_second']:,.0f}"):
        assert old not in page


def test_the_training_of_another_recipe_is_told():
    flags = asdict(
        replace(RECIPES["small"], seed=3, teacher=("runs/a", "runs/b"), cache_teachers=True, distillation_weight=0.7)
    )
    results, record = changed(**{f"config__{name}": value for name, value in flags.items()})
    record["teachers"] = ["0123456789abcdef", "fedcba9876543210"]
    page = card.render(results, record)
    assert "may come to mean others: 0123456789abcdef, fedcba9876543210 (" in page
    assert " It takes 48x48 gray pixels and looks at the middle 40x40 of them." in page
    assert "- Muon: learning rate 0.005, lr scheduler type cosine, num warmup steps 500" in page
    assert "- Augmentation: hflip 0.5, rotation 15.0" in page
    assert "- Teachers: runs/a, runs/b; distillation weight 0.7, distillation temperature 1.5, asked once\n" in page
    assert "which had the highest accuracy on validation" in page and "lowest loss" not in page
    assert "Adagrad" not in page


def test_the_commit_stands_beside_the_versions_where_the_record_has_one():
    commit = "0123456789" * 4 + "-dirty"
    results, record = changed(environment__commit=commit)
    with_commit = card.render(results, record)
    for nothing in (RECORD, changed(environment__commit=None)[1]):  # a record from before, and an installed package
        assert with_commit == card.render(results, nothing).replace(
            "numpy 2.4.6.\n", f"numpy 2.4.6; FER Hub at commit {commit}.\n"
        )


def test_the_template_holds_no_measured_number():
    template = (Path(card.__file__).parent / "card_template.md").read_text()
    page = re.sub(r"```python.*?```|\{%.*?%\}|\{\{.*?\}\}", "", template, flags=re.S)
    words = {word.strip("().,;:*|?'`") for word in page.split() if re.search(r"\d", word)}
    assert words == {
        "0", "8", "255", "95", "48", "48x48", "uint8", "float32", "F1", "macro-F1", "Macro-F1", "2013", "2016", "2024",
        "FER2013", "FER2013's", "SHA-256", "Apache-2.0", "5(1)(f", "50(3", "2024/1689", "ORT_DISABLE_TELEMETRY=1",
    }  # fmt: skip


def test_names_cannot_break_metadata_or_markup():
    nasty = "a|b`c``\n---\nlicense: mit\n# Title <b>*x*</b> [y](z): 'q' \"r\" {{ 1 }} \udcff"
    results, record = changed(data__dataset_name=nasty, results__dataset_name=nasty, config__dataset_revision="v: 1")
    record["environment"]["hardware"] = nasty
    record["command"] = f"train.py --dataset_name '{nasty}\n```'"
    for split in ("validation", "test"):
        numbers = results[split]["per_class"]
        numbers["x|y *z*\n"] = numbers.pop("angry")
    metadata, page = parse(card.render(results, record))
    assert metadata["license"] == "other" and "datasets" not in metadata
    assert all("\n" not in name for name, _ in entries(metadata))
    outside = re.sub(r"^(`{3,}).*?^\1$", "", page, flags=re.M | re.S)
    assert "\n---\n" not in outside and "\n# Title" not in outside and r"x\|y \*z\*" in outside
    assert outside.count("\n# ") == 0 and page.startswith("# Facial expressions")
    page.encode()


def test_a_push_fills_in_the_name():
    text = card.render(RESULTS, RECORD)
    pushed = card.for_repository(text.encode(), "somebody/faces").decode()
    assert card.REPOSITORY not in pushed
    assert text.count(card.REPOSITORY) == pushed.count("somebody/faces") == 5
    assert 'FERModel.from_pretrained("somebody/faces")' in pushed and '"hf-hub:somebody/faces"' in pushed


def test_figures_may_lie_elsewhere():
    page = card.render(RESULTS, RECORD, figures="runs/paper/figures")
    assert "](runs/paper/figures/confusion_matrix_test.png)" in page and "](figures/" not in page

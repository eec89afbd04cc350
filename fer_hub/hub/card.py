"""Results and record of a training -> the model card: metadata for the Hub, then a page for people.

Every number of a card comes from these two dicts, and a section whose data is missing is left out. The same template
serves all models: what is true of some only (drawn faces, no test split, other people's weights) stands in conditions.
"""

import re
from importlib import resources

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined, UndefinedError

from fer_hub.errors import UserError
from fer_hub.labels import EMOTIONS, FERPLUS, OFFICIAL_COUNTS, key
from fer_hub.recipes import told

REPOSITORY = "USER/MODEL"  # stands in the card for the repository's name until a push knows it

# FER2013's images come without a licence; all that goes with them are the pages of the contest.
FER2013_TERMS = (
    "https://www.kaggle.com/competitions/challenges-in-representation-learning-facial-expression-recognition-challenge"
)


def render(results: dict, record: dict, figures: str = "figures") -> str:
    r"""The card of a model folder.

    Args:
        results: what results.json holds; {} where nothing was measured.
        record: what train_config.json holds; where no training of ours was run {}, or `architecture` and
            `num_parameters` alone.
        figures: where the pictures lie, seen from the card.

    Returns:
        Markdown with YAML at its head. Its python blocks, `re.findall(r"^```python\n(.*?)^```", card, re.M | re.S)`,
        load the model with FER Hub, timm, transformers and ONNX Runtime, in this order; each stands alone, reads
        face.png and leaves `probabilities`.

    Raises:
        UserError: a value that the card needs is missing, or two do not go together.
    """
    try:
        return _rendered(_facts(results, record), figures)
    except (UndefinedError, TypeError, LookupError, ValueError, ArithmeticError) as error:
        raise UserError(
            f"no card can be made of results.json and train_config.json: they lack or contradict something "
            f"({error!r}). Restore them, or train again."
        ) from error


def _rendered(facts: dict, figures: str) -> str:
    # Markdown, not HTML: the filters below escape what comes from outside.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # nosec B701
    environment.filters |= {
        "percent": lambda share: f"{100 * share:.1f} %",
        "decimal": lambda value: f"{value:.3f}",
        "count": lambda value: f"{value:,.0f}",
        "duration": _duration,
        "text": _text,
        "code": _code,
        "block": _block,
        "told": told,
    }
    template = resources.files("fer_hub.hub").joinpath("card_template.md").read_text(encoding="utf-8")
    constants = {"repository": REPOSITORY, "terms": FER2013_TERMS, "figures": figures}
    page = environment.from_string(template).render(**facts, **constants)
    page = re.sub(r"\n{3,}", "\n\n", page)  # what is left of sections without data
    return f"---\n{_metadata(facts).to_yaml()}\n---\n\n{page.strip()}\n"


def for_repository(card: bytes, repo_id: str) -> bytes:
    """The card with the repository's real name in its metadata and code.

    Args:
        card: as `render` gives it, encoded.
        repo_id: `user/name`.
    """
    return card.replace(REPOSITORY.encode(), repo_id.encode())


def without_repository(card: bytes, repo_id: str) -> bytes:
    """The card of a model that was fetched from `repo_id`, for whatever repository it goes to: undoes the above."""
    return card.replace(repo_id.encode(), REPOSITORY.encode())


# --- what is known ---------------------------------------------------------------------------------------------------


def _facts(results: dict, record: dict) -> dict:
    """What template and metadata read; None, {} or [] stands for what is not known."""
    architecture = record.get("architecture")
    data, config = record.get("data", {}), record.get("config", {})
    splits = {name: results[name] for name in ("test", "validation") if name in results}
    shown = next(iter(splits), None)  # the split whose details are printed
    dataset_name = data.get("dataset_name", results.get("dataset_name"))
    synthetic = bool(data.get("synthetic") or results.get("synthetic"))
    official = bool(splits) and not synthetic and all(_is_official(numbers, name) for name, numbers in splits.items())
    dedup = splits.get("test", {}).get("dedup")
    labels = list(splits[shown]["per_class"]) if shown else []
    label_set = data.get("label_set") or results.get("label_set") or "fer2013"
    ferplus = label_set == "ferplus"  # whose votes are matched with none but FER2013's pictures
    return {
        "architecture": architecture,
        "is_paper": architecture == "fer_paper_cnn",
        "is_own": bool(architecture) and architecture.startswith("fer_"),
        "parameters": record.get("num_parameters"),
        "base_model": record.get("base_model"),
        "labels": labels,
        "label_set": label_set,
        "label_word": "emotion" if {*map(key, labels)} <= {*FERPLUS} else "class",
        "renamed": {old: new for old, new in (data.get("label_map") or {}).items() if new and new != old},
        "left_out": {name: counts for name, counts in data.get("labels_left_out", {}).items() if counts},
        "config": config,
        "data": data,
        "environment": record.get("environment", {}),
        "command": record.get("command"),
        "teachers": record.get("teachers", []),
        "batch_size": record.get("global_batch_size"),
        "started_from": record.get("base_model") or config.get("init_from"),
        "of_drawn_alone": synthetic
        and bool(config)
        and not any((record.get("base_model"), config.get("init_from"), config.get("teacher"))),
        "dataset_name": dataset_name,
        "dataset_id": data.get("hub_id"),
        "synthetic": synthetic,
        "official": official,
        "ferplus": ferplus,
        "of_fer2013": official or ferplus,
        "results": results,
        "splits": splits,
        "shown": shown,
        # Where no test image is also in train, the numbers without such images are the same ones.
        "dedup": dedup if dedup and dedup["n"] < splits["test"]["n"] else None,
        "leaks_counted": dedup is not None,
        "contest_name": {"test": "PrivateTest", "validation": "PublicTest"} if official or ferplus else {},
        "mistakes": _frequent_mistakes(splits[shown]) if shown else [],
        "recalls": _recalls(splits[shown]) if shown else [],
    }


def _is_official(numbers: dict, split: str) -> bool:
    """Whether a split has the class counts of the official FER2013."""
    per_class = numbers["per_class"]
    found = tuple(per_class[name]["support"] for name in EMOTIONS if name in per_class)
    return len(per_class) == len(EMOTIONS) and found == OFFICIAL_COUNTS[split]


def _frequent_mistakes(numbers: dict) -> list[dict]:
    """The three confusions that take the largest shares of their true class."""
    names, mistakes = list(numbers["per_class"]), []
    for true, row in zip(names, numbers["confusion_matrix"], strict=True):
        mistakes += [
            {"true": true, "predicted": predicted, "share": count / sum(row)}
            for predicted, count in zip(names, row, strict=True)
            if predicted != true and count
        ]
    return sorted(mistakes, key=lambda mistake: -mistake["share"])[:3]


def _recalls(numbers: dict) -> list[dict]:
    """The classes that have images, the best recognized first."""
    present = [{"name": name, **of_class} for name, of_class in numbers["per_class"].items() if of_class["support"]]
    return sorted(present, key=lambda of_class: -of_class["recall"])


# --- metadata --------------------------------------------------------------------------------------------------------


def _metadata(facts: dict) -> ModelCardData:
    tags = ["facial-expression-recognition", "emotion-recognition", "timm"]
    tags += ["fer2013"] * facts["of_fer2013"] + ["ferplus"] * facts["ferplus"]
    tags += ["synthetic-data"] * facts["synthetic"] + ["fer-hub"]
    evaluated = {}
    if facts["splits"]:
        evaluated = {
            "metrics": ["accuracy", "f1"],
            "model_name": facts["architecture"] or "unnamed",
            "eval_results": _eval_results(facts),
        }
    return ModelCardData(
        **_license(facts),
        library_name="timm" if facts["architecture"] and not facts["is_own"] else "fer_hub",
        pipeline_tag="image-classification",
        tags=tags,
        datasets=[facts["dataset_id"]] if facts["dataset_id"] else None,
        base_model=facts["base_model"],
        **evaluated,
    )


def _license(facts: dict) -> dict:
    """The weights' licence: that of the code only where no one else's pictures and weights went into them."""
    if facts["of_drawn_alone"]:
        return {"license": "apache-2.0"}
    if facts["of_fer2013"] and facts["config"]:
        return {"license": "other", "license_name": "fer2013-images-unclear", "license_link": FER2013_TERMS}
    return {"license": "other", "license_name": "not-stated"}


def _eval_results(facts: dict) -> list[EvalResult]:
    if facts["official"]:
        kind, name = facts["dataset_id"] or "fer2013", "FER2013"
    elif facts["ferplus"]:
        kind, name = "ferplus", "FER2013 with the labels of FER+"
    elif facts["synthetic"]:
        kind, name = "synthetic", "drawn faces (synthetic)"
    else:
        kind, name = facts["dataset_id"] or "other", _line(facts["dataset_name"] or "not named")
    if facts["config"].get("max_eval_samples"):
        name += ", a sample"
    rows = [(f"{name}, {split}", split, None, numbers) for split, numbers in facts["splits"].items()]
    if facts["dedup"]:
        label = "without images that are also in train"
        rows.insert(1, (f"{name}, test {label}", "test", label, facts["dedup"]))
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Facial expression recognition",
            dataset_type=kind,
            dataset_name=row_name,
            dataset_config=subset,
            dataset_split=split,
            dataset_revision=facts["config"].get("dataset_revision"),
            metric_type=metric,
            metric_name=metric_name,
            metric_value=float(numbers[key]),  # numpy's own floats would need an unsafe YAML reader
        )
        for row_name, split, subset, numbers in rows
        for metric, metric_name, key in (("accuracy", "accuracy", "accuracy"), ("f1", "macro-F1", "macro_f1"))
    ]


# --- values in Markdown: names come from users and must not become markup --------------------------------------------


def _line(value: object) -> str:
    """One printable line."""
    text = " ".join(str(value).split()).encode("utf-8", "replace").decode()
    return "".join(character if character.isprintable() else "?" for character in text)


def _text(value: object) -> str:
    """Plain words in a sentence or a table's cell."""
    # An underscore between letters is no markup, and names are full of them.
    return re.sub(r"([\\`*{}\[\]<>()#+!|~&$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", _line(value))


def _code(value: object) -> str:
    """A code span, fenced by more backticks than it holds. Not for tables, where a bar ends the cell."""
    text = _line(value)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " * ("`" in text)
    return f"{fence}{space}{text}{space}{fence}"


def _block(value: str, language: str) -> str:
    """A code block, fenced likewise."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", value)), default=0))
    return f"{fence}{language}\n{value.encode('utf-8', 'replace').decode()}\n{fence}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "less than a second"

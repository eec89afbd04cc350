"""`FERModel`: a timm network, its label names and its preprocessing; what everybody loads, saves and predicts with.

A model folder is `config.json` (timm's keys at top level) and `model.safetensors` (bare timm keys), beside records of
these weights: results, training, card, figures. Stock timm architectures are saved with three input channels, so that
loaders which hand over RGB (timm, transformers) see the gray model exactly: each channel's weights are the gray weights
times its share of luma.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn

import fer_hub.models.after_fork  # noqa: F401 (lets models answer in forked processes)
from fer_hub import images
from fer_hub.atomic_files import write_atomically, write_json, write_text
from fer_hub.errors import UserError
from fer_hub.hub import card, model_folder
from fer_hub.hub.locate import locate
from fer_hub.hub.push import push_model_files
from fer_hub.images import SIZE
from fer_hub.labels import EMOTIONS
from fer_hub.models import config as model_config
from fer_hub.models import network, weights, weights_file
from fer_hub.models.network import OWN_PREFIX
from fer_hub.models.paper_cnn import LUMA
from fer_hub.untrusted import MAX_RECORD, parse_json, read_file

logger = logging.getLogger(__name__)

BATCH = 64  # images in one forward pass of `predict`; bounds memory


class FERModel(nn.Module, PyTorchModelHubMixin):
    """A facial expression classifier over 48x48 gray images.

    Of the mixin only the interface is left: its own loading is not strict and reads pickles, and its own push replaces
    the card.

    Args:
        architecture: `fer_paper_cnn` or any timm name.
        label_names: the classes, in the order of the logits.
        mean: of the pixels in 0..1, subtracted from them.
        std: of the pixels in 0..1, divides them.
        in_chans: channels of the network; gray images are repeated for more than one.
        model_args: further arguments of the architecture; saved with the model.
        drop_rate: dropout in training; not saved.
        drop_path_rate: stochastic depth in training; not saved.
        pretrained: start from timm's weights (fetched from the Hub); for one channel timm sums the first layer over
            the colours, which equals repeating the gray image on three channels.

    Raises:
        UserError: an unknown architecture, one that does not take 48x48 images, or weights that cannot be fetched.
    """

    def __init__(
        self,
        architecture: str = "fer_paper_cnn",
        label_names: Sequence[str] = EMOTIONS,
        mean: float = 0.0,
        std: float = 1.0,
        in_chans: int = 1,
        model_args: Mapping | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        pretrained: bool = False,
    ):
        super().__init__()
        self.architecture = architecture
        self.label_names = tuple(label_names)
        self.mean, self.std = mean, std
        self.in_chans = in_chans
        self.model_args = network.arguments(architecture, model_args or {})
        self.network = network.create(
            architecture, len(self.label_names), in_chans, self.model_args, drop_rate, drop_path_rate, pretrained
        )
        self.to(memory_format=torch.channels_last)  # up to twice as fast in `predict` (docs/speed.md)
        self.temperature: float | None = None  # a record: it is folded into the weights already
        self.abstention_threshold: float | None = None  # below it, the best probability is too low to be told
        self.folder: Path | None = None  # where the model was loaded from, with the records of its weights
        self._name = architecture  # what messages call it
        self._fetched: dict[tuple[str, str], str] = {}  # the commit that it came from, by repository and branch

    @torch.inference_mode()
    def predict(
        self, pictures: object, channel_order: str = "rgb", on_error: str = "raise"
    ) -> list[dict[str, float] | None]:
        """Probabilities of pictures that show one face each, cut closely.

        Args:
            pictures: one or any number of them, of any size, as `images.each` takes: paths, bytes, PIL images, arrays
                (H, W), (H, W, C), (N, H, W) or (N, H, W, C), tensors (C, H, W) or (N, C, H, W); uint8 0-255 or float
                0-1. Read one batch at a time: an iterator of a million needs no more memory than one of 64.
            channel_order: of arrays and tensors in colour: "rgb", or "bgr" as OpenCV has them.
            on_error: "raise" stops at the first picture that cannot be read; "skip" gives None for it, with a warning
                in the log, and goes on.

        Returns:
            For each picture, also for a single one, a dict of emotion -> probability in 0..1, in the order of
            `label_names`; they sum to 1.

        Raises:
            UserError: something is not a picture; the message says which.
            TypeError: an upload that has to be awaited first.
        """
        images.require_on_error(on_error)
        was_training, device = self.training, next(self.parameters()).device
        self.eval()
        try:
            found, rest = [], images.each(pictures)
            while batch := list(islice(rest, BATCH)):
                squares = []
                for number, picture in enumerate(batch, start=len(found)):
                    try:
                        squares.append(images.to_gray_square(picture, channel_order))
                    except UserError as error:
                        if on_error == "raise":
                            raise UserError(f"picture {number} (from 0): {error}") from error
                        logger.warning("picture %d (from 0) is skipped: %s", number, error)
                        squares.append(None)
                read = [square for square in squares if square is not None]
                rows = iter(self._probabilities(np.stack(read), device) if read else ())
                found += [None if square is None else next(rows) for square in squares]
        finally:
            self.train(was_training)
        return found

    def _probabilities(self, squares: np.ndarray, device: torch.device) -> list[dict[str, float]]:
        rows = self(torch.from_numpy(squares).to(device)).float().softmax(1)
        if not rows.isfinite().all():
            raise UserError(
                f"{self._name} gives probabilities that are not numbers: its weights are damaged or not of this "
                "architecture. Fetch it again, or take another model."
            )
        return [dict(zip(self.label_names, row, strict=True)) for row in rows.tolist()]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of gray images.

        Args:
            images: uint8 (B, 48, 48), 0-255.

        Returns:
            float (B, C), in the order of `label_names`; of the type of the weights, after `half()` or `double()` too.
        """
        x = images.unsqueeze(1).to(torch.float32).div_(255)
        if (self.mean, self.std) != (0.0, 1.0):
            x = x.sub_(self.mean).div_(self.std)
        weights = next(self.network.parameters())
        return self.network(x.expand(-1, self.in_chans, -1, -1).to(weights.dtype))

    @property
    def num_parameters(self) -> int:
        """Parameters that a training changes."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def config(self) -> dict:
        """What config.json holds; the network is described as it is saved."""
        channels = 1 if self.architecture.startswith(OWN_PREFIX) else 3
        stock = self.network.pretrained_cfg
        return {
            "architecture": self.architecture,
            "num_classes": len(self.label_names),
            "num_features": self.network.num_features,
            "label_names": list(self.label_names),
            "model_args": self.model_args,
            "pretrained_cfg": {
                "input_size": [channels, SIZE, SIZE],
                "fixed_input_size": stock["fixed_input_size"],
                "interpolation": "bicubic",
                "crop_pct": 1.0,
                "crop_mode": "squash",
                "mean": [self.mean] * channels,
                "std": [self.std] * channels,
                "num_classes": len(self.label_names),
                "pool_size": None,
                "first_conv": stock["first_conv"],
                "classifier": stock["classifier"],
            },
            "temperature": self.temperature,
            "abstention_threshold": self.abstention_threshold,
        }

    def saved_state_dict(self) -> dict[str, torch.Tensor]:
        """The network's weights as model.safetensors holds them: bare timm keys, stock architectures in RGB."""
        state = {key: tensor.detach().cpu().contiguous() for key, tensor in self.network.state_dict().items()}
        if self.in_chans == 1 and not self.architecture.startswith(OWN_PREFIX):
            for key in self._first_conv_keys():
                state[key] = state[key] * torch.tensor(LUMA).view(1, 3, 1, 1)
        return state

    def load_saved_state_dict(self, state: Mapping[str, torch.Tensor], where: str) -> None:
        """Loads weights as `saved_state_dict` gives them; every key must be there, and no other.

        Raises:
            UserError: a missing, unknown or wrongly shaped tensor, one of another type, or one with values that are
                not finite; the message names it.
        """
        gray = self.in_chans == 1 and not self.architecture.startswith(OWN_PREFIX)
        try:
            fitted = weights.fit(state, self.network.state_dict(), self._first_conv_keys() if gray else ())
        except ValueError as error:
            raise UserError(f"{where} does not fit {self.architecture}: {error}.") from error
        self.network.load_state_dict(fitted)

    def replace_head(self, label_names: Sequence[str]) -> None:
        """Puts a freshly initialized last layer for other classes in place."""
        self.label_names = tuple(label_names)
        self.network.reset_classifier(len(self.label_names))

    def save_config(self, folder: str | Path) -> None:
        """Writes config.json, creating the folder where needed."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", self.config)

    def save_weights(self, folder: str | Path, metadata: Mapping[str, str] | None = None) -> None:
        """Replaces model.safetensors in one step: a reader sees the old file or the new one.

        Args:
            folder: an existing folder.
            metadata: strings for the file's header, beside `format: pt`.
        """
        header = {"format": "pt", **(metadata or {})}
        state, path = self.saved_state_dict(), Path(folder) / model_folder.WEIGHTS
        write_atomically(path, lambda temporary: weights_file.save(state, temporary, header))

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes a complete model folder: `from_pretrained`, timm and `fer-hub push` open it.

        Results, training record, figures, card and ONNX files of the folder that the model came from go along while the
        weights are still those; of changed weights they would not be true, so a bare card is written instead, and a
        warning says so. Another model that stands in `folder` is replaced, with its records.

        Args:
            folder: a model folder, or one without files of these names; created where needed.

        Raises:
            UserError: the folder cannot be written, or has files of these names and no model.
        """
        folder = Path(os.path.expanduser(folder))
        is_model = all((folder / file).is_file() for file in model_folder.REQUIRED)
        if not is_model and folder.is_dir() and model_folder.records(folder):
            named = model_folder.records(folder)[0].relative_to(folder)
            raise UserError(f"{folder} holds {named} and no model: saving there would replace it. Name a new folder.")
        origin = self.folder
        if origin and not (origin.is_dir() and self.equals(origin)):
            change = "the model is no longer that of" if origin.is_dir() else "there is no longer a folder"
            logger.warning("%s %s: its results and card are not saved.", change, origin)
            origin = None
        self._save_files(folder, origin)

    def _save_files(self, folder: Path, origin: Path | None) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (origin and origin.samefile(folder)):
                for stale in model_folder.records(folder):
                    stale.unlink()
                self.save_config(folder)
                self.save_weights(folder)
                for file in model_folder.records(origin) if origin else ():
                    copy = folder / file.relative_to(origin)
                    copy.parent.mkdir(exist_ok=True)
                    shutil.copyfile(file, copy)
            text = folder / model_folder.CARD
            if not text.exists():
                known = {"architecture": self.architecture, "num_parameters": self.num_parameters}
                write_text(text, card.render({}, known))
            elif self._fetched and not origin.samefile(folder):
                for repo_id, _ in self._fetched:
                    text.write_bytes(card.without_repository(text.read_bytes(), repo_id))
        except OSError as error:
            raise UserError(f"cannot save to {folder}: {error.strerror or error}. Name another folder.") from error

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, revision: str | None = None, token: str | None = None
    ) -> str:
        """Publishes the model as `save_pretrained` writes it, in one commit (`push_model_files`).

        Args:
            repo_id: `user/name`; created where it does not exist.
            private: whether a new repository is private.
            revision: a branch; default: main.
            token: default: the stored login.

        Returns:
            The repository's address.

        Raises:
            UserError: the Hub refuses this user or name, or has a newer commit than the model was fetched from.
            HubError: the Hub could not take it now; the message says what is there.
        """
        if self.folder and not self.folder.is_dir():
            raise UserError(f"{self.folder}, with the results and card of this model, is gone: load the model again.")
        branch = revision or "main"
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            options = ", private=True" * private + (f', revision="{revision}"' if revision else "")
            pushed = push_model_files(
                model_folder.read_complete(folder),
                repo_id,
                private=private,
                revision=revision,
                token=token,
                parent=self._fetched.get((repo_id, branch)),
                retry=f'model.push_to_hub("{repo_id}"{options})',
            )
        self._fetched[repo_id, branch] = pushed.commit
        return pushed.url

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        in_chans: int | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> "FERModel":
        """Opens a model.

        Args:
            name: a shipped name, an existing folder or a Hub id (`user/name`), tried in this order.
            revision: branch, tag or commit of a Hub id.
            token: for private repositories; default: the stored login.
            cache_dir: of downloads; default: huggingface_hub's.
            local_files_only: do not ask the network.
            in_chans: 1 folds a three-channel network to gray, for training; default: as saved.
            drop_rate: dropout, for training.
            drop_path_rate: stochastic depth, for training.

        Returns:
            The model in eval mode, float32.

        Raises:
            UserError: nothing is there, or it is not a complete model; the message names what is missing.
        """
        folder, commit = locate(str(name), revision, token, cache_dir, local_files_only)
        saved = model_config.read(folder, str(name))
        try:
            model = cls(
                saved.architecture,
                saved.label_names,
                saved.mean,
                saved.std,
                in_chans or saved.in_chans,
                saved.model_args,
                drop_rate,
                drop_path_rate,
            )
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        state = weights.read(folder / model_folder.WEIGHTS, str(name))
        model.load_saved_state_dict(state, f"{name}: model.safetensors")
        model.temperature, model.abstention_threshold = saved.temperature, saved.abstention_threshold
        model.folder, model._name = folder, str(name)
        if commit:
            branch = "main" if revision in (None, commit) else revision
            model._fetched[str(name), branch] = commit
        return model.eval()

    def equals(self, folder: Path) -> bool:
        """Whether the folder holds and describes this very model."""
        try:
            theirs = weights.read(folder / model_folder.WEIGHTS, str(folder))
            config = parse_json(read_file(folder / "config.json", MAX_RECORD))
        except ValueError:
            return False
        if not isinstance(config, dict):
            return False
        ours = self.saved_state_dict()
        same = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key].to(ours[key])) for key in ours)
        # Folders that were saved before there were thresholds have none.
        return same and {"abstention_threshold": None} | config == json.loads(json.dumps(self.config))

    def _first_conv_keys(self) -> list[str]:
        first = self.network.pretrained_cfg["first_conv"]
        return [f"{name}.weight" for name in ([first] if isinstance(first, str) else first)]

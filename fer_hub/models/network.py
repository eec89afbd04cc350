"""A timm name -> a network for 48x48 images, or words on why there is none."""

import difflib
import inspect
from collections.abc import Mapping

import timm
import torch
from torch import nn

import fer_hub.models.paper_cnn  # noqa: F401 (registers fer_paper_cnn with timm)
import fer_hub.models.vgg  # noqa: F401 (registers fer_vgg)
from fer_hub.errors import UserError
from fer_hub.images import SIZE

OWN_PREFIX = "fer_"  # architectures of this project are registered under it and stay gray
# What `create` and `timm.create_model` take themselves: as an architecture's arguments they could name other weights,
# even pickles.
RESERVED = {"num_classes", "in_chans", "drop_rate", "drop_path_rate", *inspect.signature(timm.create_model).parameters}


def arguments(architecture: str, model_args: Mapping) -> dict:
    """The architecture's further arguments, with the image size where it must be told.

    Raises:
        UserError: an unknown architecture, one that cannot be made gray, or an argument that is not its own.
    """
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), 3)
        hint = f"Did you mean {', '.join(close)}? " if close else ""
        raise UserError(
            f"unknown architecture {architecture!r}. {hint}"
            "All names: python -c 'import timm; print(timm.list_models())'"
        )
    stock = timm.get_pretrained_cfg(architecture)
    if not stock.first_conv:
        raise UserError(f"{architecture} does not name its first layer, so it cannot be made gray; choose another.")
    if taken := RESERVED & model_args.keys():
        raise UserError(f"model_args {', '.join(sorted(taken))} are not for the architecture: leave them out.")
    needs_size = stock.fixed_input_size and not architecture.startswith(OWN_PREFIX)
    return {**({"img_size": SIZE} if needs_size else {}), **model_args}


def create(
    architecture: str,
    num_classes: int,
    in_chans: int,
    model_args: Mapping,
    drop_rate: float,
    drop_path_rate: float,
    pretrained: bool,
) -> nn.Module:
    """A network in training mode; the arguments are those of `FERModel`, `model_args` as `arguments` gives them.

    Raises:
        UserError: it does not take these arguments or 48x48 images, or its pretrained weights cannot be fetched.
    """
    given = {**({"drop_path_rate": drop_path_rate} if drop_path_rate else {}), **model_args}
    try:
        network = timm.create_model(
            architecture,
            pretrained=pretrained,
            num_classes=num_classes,
            in_chans=in_chans,
            drop_rate=drop_rate,
            **given,
        )
    except Exception as error:
        refused = isinstance(error, TypeError | AssertionError)
        if pretrained and not refused:
            reason = str(error).strip().split("\n")[0]
            raise UserError(
                f"the pretrained weights of {architecture} cannot be fetched: {reason}\n"
                "  without them:          leave out --pretrained\n"
                "  from a folder of ours: --init_from PATH/TO/best"
            ) from error
        if not (refused or given):
            raise
        what, advice = (f" with {given}", ", or other arguments") if given else ("", "")
        raise UserError(
            f"{architecture} cannot be built for {SIZE}x{SIZE} images{what}: {error}. Choose another{advice}."
        ) from error
    if reason := _refusal(network, in_chans, SIZE):
        raise UserError(f"{architecture} does not take {SIZE}x{SIZE} images: {reason}. Choose another.")
    return network.train()


def require_crops(network: nn.Module, in_chans: int, side: int, name: str) -> None:
    """Makes sure that a network takes pieces of images too; leaves it in eval mode.

    Raises:
        UserError: it does not; the message calls it `name`.
    """
    if reason := _refusal(network, in_chans, side):
        raise UserError(
            f"--crop_size {side}: {name} does not take {side}x{side} images ({reason}). Take whole ones, --crop_size "
            f"{SIZE}, or an architecture that pools over the whole image before its last layer, such as resnet18."
        )


def _refusal(network: nn.Module, in_chans: int, side: int) -> str:
    """What a network on the CPU says to a square image; empty where it takes it."""
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, in_chans, side, side))
    except Exception as error:  # each architecture fails in its own way
        return str(error).strip() or repr(error)
    return ""

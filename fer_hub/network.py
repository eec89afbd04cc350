"""A timm name -> a network for 48x48 images, or words on why there is none."""

import difflib
from collections.abc import Mapping

import timm
import torch
from torch import nn

import fer_hub.paper_cnn  # noqa: F401 (registers fer_paper_cnn with timm)
import fer_hub.small_cnn  # noqa: F401 (registers fer_small_cnn)
from fer_hub.errors import UserError
from fer_hub.images import SIZE

OWN_PREFIX = "fer_"  # architectures of this project are registered under it and stay gray


def arguments(architecture: str, model_args: Mapping) -> dict:
    """The architecture's further arguments, with the image size where it must be told.

    Raises:
        UserError: an unknown architecture, or one that cannot be made gray.
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
        UserError: it does not take 48x48 images, or its pretrained weights cannot be fetched.
    """
    try:
        network = timm.create_model(
            architecture,
            pretrained=pretrained,
            num_classes=num_classes,
            in_chans=in_chans,
            drop_rate=drop_rate,
            **({"drop_path_rate": drop_path_rate} if drop_path_rate else {}),
            **model_args,
        )
    except (TypeError, AssertionError) as error:
        raise UserError(f"{architecture} cannot be built for {SIZE}x{SIZE} images: {error}. Choose another.") from error
    except Exception as error:
        if not pretrained:
            raise
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"the pretrained weights of {architecture} cannot be fetched: {reason}\n"
            "  without them:          leave out --pretrained\n"
            "  from a folder of ours: --init_from PATH/TO/best"
        ) from error
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, in_chans, SIZE, SIZE))
    except Exception as error:  # each architecture fails in its own way
        raise UserError(f"{architecture} does not take {SIZE}x{SIZE} images: {error}. Choose another.") from error
    return network.train()

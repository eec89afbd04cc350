"""model.safetensors of a model folder -> tensors that a network computes with."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

from fer_hub.errors import UserError

FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


def read(path: Path, name: str) -> dict[str, torch.Tensor]:
    """Read the tensors of a model that the user knows as `name`; raises UserError where the file is damaged."""
    try:
        return load_file(path)
    except Exception as error:  # of a type that PyTorch lacks it is AttributeError or KeyError
        raise UserError(f"{name}: {path.name} is not readable: {error!r}. Fetch it again.") from error


def fit(
    state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], folded: Collection[str]
) -> dict[str, torch.Tensor]:
    """Make the saved tensors those of a network.

    Args:
        state: as saved; floats may have another precision than the network's.
        own: the network's tensors, for their names, shapes and types.
        folded: names of first layers that are saved for three colours, and summed to one.

    Returns:
        Tensors of `own`'s names, shapes and types, all of them finite.

    Raises:
        ValueError: a tensor is missing, unknown, of another shape or type, or not finite; the message names it.
    """
    faults = [f"{key} is missing" for key in own if key not in state]
    faults += [f"{key} is unknown" for key in state if key not in own]
    for key in own:
        if key not in state:
            continue
        shape = [own[key].shape[0], 3, *own[key].shape[2:]] if key in folded else list(own[key].shape)
        if state[key].dtype != own[key].dtype and not {state[key].dtype, own[key].dtype} <= FLOATS:
            faults.append(f"{key} is of {_told(state[key].dtype)}, expected {_told(own[key].dtype)}")
        elif list(state[key].shape) != shape:
            faults.append(f"{key} is {tuple(state[key].shape)}, expected {tuple(shape)}")
    if faults:
        raise ValueError("; ".join(faults[:5]))
    fitted = {key: state[key].to(tensor.dtype) for key, tensor in own.items()}
    fitted |= {key: fitted[key].sum(1, keepdim=True) for key in folded}
    # As the network computes with them: float64 holds what float32 does not.
    faults = [f"{key} has values that are not finite" for key in own if not fitted[key].isfinite().all()]
    if faults:
        raise ValueError("; ".join(faults[:5]))
    return fitted


def _told(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

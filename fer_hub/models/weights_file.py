"""model.safetensors, byte for byte the same for equal tensors and metadata."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file


def save(state: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whose bytes depend on its content alone.

    safetensors sorts the tensors but writes the metadata in random order: an identical model would have another hash,
    and be pushed as a change.

    Args:
        state: contiguous tensors on the CPU.
        path: the file; an old one is overwritten in place.
        metadata: strings for the header.

    Raises:
        SafetensorError, OSError: the file cannot be written.
    """
    save_file(dict(state), path, dict(metadata))
    # The format: the length of the header in eight bytes, the header as JSON, padded with spaces, and the tensors.
    with path.open("rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(metadata.items()))
        # Compact and unescaped, as safetensors writes it: in another order it has the same length.
        ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
        file.seek(8)
        file.write(ordered)

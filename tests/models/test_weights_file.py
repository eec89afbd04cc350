"""model.safetensors: equal content, equal bytes."""

import json

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fer_hub.models import weights_file


def test_equal_content_gives_equal_bytes(tmp_path):
    """With six strings the library's own order is the sorted one in one of 720 files."""
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.rand(5, 3, generator=generator) for name in ("b.weight", "a.weight", "ö")}
    state |= {"half": torch.rand(7).half(), "count": torch.tensor(3), "empty": torch.zeros(0, 2)}
    metadata = {"format": "pt", "epoch": "3", "eval_loss": "1.25", "a": 'q"\\\n\x01\x7f', "é": "ü\u2028", "z": ""}
    path, again = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    weights_file.save(state, path, metadata)
    weights_file.save(dict(reversed(state.items())), again, dict(reversed(metadata.items())))
    assert path.read_bytes() == again.read_bytes()

    loaded = load_file(path)
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[key], state[key]) for key in state)
    with safe_open(path, "pt") as file:
        assert file.metadata() == metadata
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header["__metadata__"]) == sorted(metadata)

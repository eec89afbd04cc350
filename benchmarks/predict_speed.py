"""Milliseconds that the shipped models take for a face on one core, beside ONNX Runtime with the same weights.

    pip install -r requirements-dev.txt
    python benchmarks/predict_speed.py

`predict` is the whole call, a 48x48 array in, a dict of probabilities out; PyTorch and ONNX Runtime have one thread
each. All take turns in one process. The default format is PyTorch's for weights, which FERModel does not use. Medians
of 200 calls with one face, of 20 with 64. Run nothing else meanwhile.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # the checkout need not be installed

from fer_hub import FERModel
from fer_hub.hub.locate import shipped_names
from fer_hub.models import onnx_export, onnx_session

torch.set_num_threads(1)  # of ONNX Runtime, too: its sessions take the same number
drawn = np.random.default_rng(0).integers(0, 256, (64, 48, 48), dtype=np.uint8)

print(f"{'model':15}{'faces':>7}{'predict':>10}{'default format':>16}{'ONNX Runtime':>14}")
for name in shipped_names():
    model = FERModel.from_pretrained(name)
    default = FERModel.from_pretrained(name).to(memory_format=torch.contiguous_format)
    with tempfile.TemporaryDirectory() as folder:
        onnx_export.export_onnx(model, Path(folder) / "model.onnx")
        session = onnx_session.open_session(Path(folder) / "model.onnx")
    for count, repetitions in ((1, 200), (64, 20)):
        faces = drawn[:count]
        calls = (
            lambda model=model, faces=faces: model.predict(faces),
            lambda default=default, faces=faces: default.predict(faces),
            lambda session=session, faces=faces: onnx_session.run(session, faces),
        )
        times = tuple([] for _ in calls)
        for repetition in range(-3, repetitions):
            for call, taken in zip(calls, times, strict=True):
                started = time.perf_counter()
                call()
                if repetition >= 0:  # the first ones warm up
                    taken.append(1000 * (time.perf_counter() - started) / count)
        ours, plain, onnx = map(statistics.median, times)
        print(f"{name:15}{count:7}{ours:7.2f} ms{plain:13.2f} ms{onnx:11.2f} ms")

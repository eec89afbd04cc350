"""Our model and optimizer over random tensors and nothing else, batch 64: prints images per second.

What train.py's loop costs beyond this is its data path, logging and metrics.
"""

import os
import time

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as train.py does

import torch
from torch.nn import functional as F

from fer_hub.models.model import FERModel
from fer_hub.training import hardware

STEPS, BATCH = 400, 64

hardware.tune_allocator()
torch.set_num_threads(hardware.resolve_threads(None, 1))
dtype = {"bf16": torch.bfloat16}.get(hardware.resolve_precision(None, None, torch.device("cpu")))
torch.manual_seed(0)
model = FERModel(drop_rate=0.5)
optimizer = torch.optim.Adagrad(model.parameters(), 0.05, initial_accumulator_value=0.1, fused=True)
batches = [(torch.randint(0, 256, (BATCH, 48, 48), dtype=torch.uint8), torch.randint(0, 7, (BATCH,))) for _ in range(8)]
for step in range(20 + STEPS):
    if step == 20:
        started = time.perf_counter()
    images, labels = batches[step % len(batches)]
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        logits = model(images)
    F.cross_entropy(logits.float(), labels).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
print(STEPS * BATCH / (time.perf_counter() - started))

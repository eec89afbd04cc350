"""Which images a step sees, and the seed of its random numbers: functions of seed, epoch and step alone."""

import numpy as np
import torch
from accelerate import Accelerator


def epoch_order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of an epoch's images: int64 (count,), a permutation that depends on seed and epoch alone."""
    generator = torch.Generator().manual_seed(step_seed(seed, epoch))
    return torch.randperm(count, generator=generator)


def step_seed(*numbers: int) -> int:
    """One seed from several small numbers, as different as numpy's SeedSequence makes them."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def own_parts(batch: torch.Tensor, accumulation: int, accelerator: Accelerator) -> tuple[torch.Tensor, ...]:
    """This process's rows of a batch, in as many non-empty parts as each process has."""
    own = batch[accelerator.process_index :: accelerator.num_processes]
    return own.tensor_split(min(accumulation, len(batch) // accelerator.num_processes))

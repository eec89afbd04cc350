"""The recipe's optimizer."""

from functools import partial

import torch
from timm.optim import Muon, muon, param_groups_weight_decay
from torch import nn

from fer_hub.recipes import TrainConfig
from fer_hub.training import hardware

_NEWTON_SCHULZ = muon.zeropower_via_newtonschulz


def create_optimizer(network: nn.Module, config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    """Adagrad as the paper's recipe has it, SGD with Nesterov momentum, AdamW, or Muon.

    Muon (Jordan et al. 2024) gives all directions of a weight's momentum the same length, at the size of AdamW's steps
    (Liu et al. 2025). Biases, normalization, and shapes that timm finds unsuitable (a first convolution of gray images)
    learn by NAdamW, at the same learning rate.

    Weight decay leaves biases and normalization (parameters of one dimension) alone; Adagrad's takes all parameters.
    """
    fused = device.type == "cpu" or None
    if config.optimizer == "adagrad":
        return torch.optim.Adagrad(
            network.parameters(),
            lr=config.learning_rate,
            initial_accumulator_value=config.initial_accumulator_value,
            weight_decay=config.weight_decay,
            fused=fused,
        )
    groups = param_groups_weight_decay(network, config.weight_decay)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=True, fused=fused)
    if config.optimizer == "muon":
        if not hardware.computes_bf16(device):
            # timm orthogonalizes in bfloat16 and has no argument for it. Emulated bfloat16 takes 4 s of a 5 s step on a
            # CPU without avx512_bf16 or AMX (1.8 million parameters); float32 takes 0.3 s.
            muon.zeropower_via_newtonschulz = partial(_NEWTON_SCHULZ, dtype=torch.float32)
        return Muon(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)

"""PyTorch in a forked process: importing this module lets it answer.

OpenMP's threads do not survive a fork, and GNU's OpenMP does not notice: where the parent has computed with two
threads, the first layer that a child computes with two waits for the second one for ever. gunicorn with `--preload`,
pools of `multiprocessing` on Linux and data loaders all fork.

So processes that are forked from this one compute with one PyTorch thread each. It costs them the speed-up of further
threads in large batches; a single face is faster with one thread. A child that asks for more with
`torch.set_num_threads` may wait for ever again: start such a process with `spawn`.
"""

import os

import torch


def _use_one_thread() -> None:
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_use_one_thread)

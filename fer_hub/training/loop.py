"""The training loop, read straight down: data, model, epochs, best checkpoint, results.

Order, dropout and augmentation are functions of (seed, epoch, step), never of a loader's state: a run that was
killed and resumed equals one that was not, bit for bit on a CPU.
"""

import math
import signal
import time
from contextlib import nullcontext
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, broadcast
from timm.utils import ModelEmaV3
from tqdm.auto import tqdm

from fer_hub.atomic_files import write_json
from fer_hub.errors import UserError
from fer_hub.evaluation.measure import compute_logits, summarize
from fer_hub.labels import EMOTIONS
from fer_hub.recipes import TrainConfig, learning_rate, per_device_batch_size
from fer_hub.training import augment, checkpoint, console, hardware
from fer_hub.training.batches import epoch_order, own_parts, step_seed
from fer_hub.training.experiment_trackers import require_tracker, start_trackers
from fer_hub.training.initial_model import create_model
from fer_hub.training.loss import balanced_weights, training_loss
from fer_hub.training.optimizer import create_optimizer
from fer_hub.training.record import create_record
from fer_hub.training.results import (
    draw_curves,
    history_row,
    is_better,
    measure_best,
    remove_results,
    save_best,
    summarize_run,
    write_history,
    write_results,
)
from fer_hub.training.resume import goes_on, state_to_resume, with_length
from fer_hub.training.signals import Interrupted, StopSignals
from fer_hub.training.splits import load_splits
from fer_hub.training.teachers import ask, ensemble_of_all, load_teachers, require_classes

# Losses stay on a GPU for this many steps: reading each one would make it wait. A loss that is not finite, and a signal
# to stop, are noticed this many steps late at most; on a CPU, whose steps may take a second, after the step.
CHECK_EVERY = 10
DRAWING_SHARE = 0.1  # of the time: curves are drawn after each epoch, but where epochs take seconds less often


def train(config: TrainConfig, command: str) -> dict | None:
    """Trains, keeps the best checkpoint by validation, and writes what a run leaves in `output_dir`.

    Args:
        config: the run; with `resume_from_checkpoint` in it, goes on from there.
        command: as the user typed it, for train_config.json.

    Returns:
        The summary that all_results.json holds; None where a finished run was asked to resume.

    Raises:
        UserError: anything that the user can mend, before the first epoch wherever it can be known then.
        Interrupted: after SIGINT or SIGTERM, with the state saved.
    """
    output = Path(config.output_dir)
    torch.backends.cudnn.allow_tf32 = False  # evaluations are in float32; training has bf16 where there is TF32
    datasets.disable_progress_bars()  # the loop's own is enough, and datasets' name the splits that --no_test hides
    if config.with_tracking:
        require_tracker(config.report_to)
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),  # unless told, accelerate joins no process group on a CPU
        mixed_precision="no",  # autocast is ours: training in bf16, every evaluation in float32
        log_with=config.report_to if config.with_tracking else None,
        project_config=ProjectConfiguration(project_dir=str(output), logging_dir=str(output / "logs")),
    )
    with checkpoint.own_folder(output, accelerator):
        return _train(config, command, output, accelerator)


def _train(config: TrainConfig, command: str, output: Path, accelerator: Accelerator) -> dict | None:
    device, processes = accelerator.device, accelerator.num_processes
    say = print if accelerator.is_main_process else lambda *_: None
    state = state_to_resume(config, output, say)
    config = with_length(config, state)

    threads, precision = hardware.threads_and_precision(config, state, accelerator)
    torch.set_num_threads(threads)
    per_device = per_device_batch_size(config, processes)
    batch_size = per_device * processes * config.gradient_accumulation_steps

    # --- data, after what can be wrong without it ---
    tried = create_model(config, EMOTIONS, lambda _: None)  # again below, for the classes of the data
    if accelerator.is_main_process:
        checkpoint.require_space(output, checkpoint.bytes_of_run(config, tried.num_parameters))
    del tried
    teachers = load_teachers(config, device)
    with accelerator.main_process_first():  # the others read what the first has cached
        splits = load_splits(config)
    require_classes(config, teachers, splits.label_names)
    if device.type == "cpu":
        hardware.tune_allocator()  # only now: what loading has freed went back to the system
    images, labels = splits.train.images.to(device), splits.train.labels.to(device)
    targets = splits.train_targets(augment.mixes(config) or config.cache_teachers).to(device)
    class_weights = balanced_weights(targets, len(splits.label_names)) if config.class_weights else None
    # An incomplete last batch is used too, unless it has fewer images than there are processes.
    steps_per_epoch = len(splits.train) // batch_size + (len(splits.train) % batch_size >= processes)
    total_steps = config.max_train_steps or config.num_train_epochs * steps_per_epoch

    # --- model ---
    torch.manual_seed(config.seed)
    network = create_model(config, splits.label_names, say).to(device)
    model = accelerator.prepare_model(network)
    average = ModelEmaV3(network, config.ema_decay, use_warmup=True) if config.ema_decay else None
    judged = average.module if average else network  # what is evaluated, selected and saved
    optimizer = create_optimizer(network, config, device)
    autocast_dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    record = create_record(
        config, command, network, teachers, splits, device, processes, batch_size, threads, precision
    )
    progress = {"step": 0, "totals": [0.0, 0.0, 0], "history": [], "best": None, "seconds": 0.0, "images": 0}
    best_weights = None  # in each state too, so that whatever happens to best/ can be mended
    if state:
        progress = {key: state[key] for key in progress}
        if not goes_on(state, record, total_steps, output, say):
            return None
        accelerator.wait_for_everyone()  # all have read best/ and the results
        best_weights = state.get("best_weights")
        if best_weights and accelerator.is_main_process:
            network.network.load_state_dict(best_weights)
            network.save_config(output / "best")
            save_best(network, output, progress["best"])
        network.load_state_dict(state["model"])
        if average:
            average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty where the run has not been in fp16 so far
            scaler.load_state_dict(state["scaler"])

    if config.cache_teachers:  # beside the labels, so that what blends images blends both; takes minutes, so only now
        opinions = ensemble_of_all(teachers, images, config.distillation_temperature, accelerator)
        targets = torch.cat([targets, opinions.to(device)], 1)

    def save_state() -> None:
        if not all(parameter.isfinite().all() for parameter in network.parameters()):
            raise _diverged("a weight is not finite", epoch, progress["step"] - first, output)
        if accelerator.is_main_process:
            parts = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
            if average:
                parts["average"] = average.state_dict()
            state = {**parts, **progress, "best_weights": best_weights, "record": record}
            checkpoint.save_state(output / "checkpoints", state)

    if accelerator.is_main_process:
        network.save_config(output / "best")
        remove_results(output)
        for folder in (output, output / "best"):
            write_json(folder / "train_config.json", record)
    if config.with_tracking:
        start_trackers(accelerator, config)
    say(console.banner(record, splits, per_device, steps_per_epoch, total_steps))

    # --- epochs ---
    bar = tqdm(total=total_steps, initial=progress["step"], unit="step", leave=False,
               disable=None if accelerator.is_main_process else True)  # fmt: skip
    check_every = 1 if device.type == "cpu" else CHECK_EVERY
    begun, drawing = time.perf_counter(), 0.0
    with StopSignals() as stop:
        while progress["step"] < total_steps:
            epoch = progress["step"] // steps_per_epoch
            first, end = epoch * steps_per_epoch, min((epoch + 1) * steps_per_epoch, total_steps)
            order = epoch_order(len(splits.train), config.seed, epoch).to(device)
            recent: list[torch.Tensor] = []
            model.train()
            started = time.perf_counter()
            for step in range(progress["step"], end):
                rate = learning_rate(config, step, total_steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                draws = step_seed(config.seed, epoch, step, accelerator.process_index)
                torch.manual_seed(draws)
                generator = np.random.default_rng(draws)
                batch = order[(step - first) * batch_size :][:batch_size]
                parts = own_parts(batch, config.gradient_accumulation_steps, accelerator)
                sums = torch.zeros(2, device=device)  # loss and correct predictions of this process's share
                for rows in parts:
                    inputs, wanted = augment.change(images[rows], targets[rows], config, generator)
                    wanted, opinion = wanted.chunk(2, 1) if config.cache_teachers else (wanted, None)
                    with nullcontext() if rows is parts[-1] else accelerator.no_sync(model):
                        with torch.autocast(device.type, autocast_dtype, enabled=autocast_dtype is not None):
                            logits = model(inputs)
                            if teachers and not config.cache_teachers:
                                opinion = ask(teachers, inputs, config.distillation_temperature)
                        loss = training_loss(logits, wanted, opinion, config, class_weights)
                        # The mean over the whole batch; DDP divides by the processes, which is taken back here.
                        scaler.scale(loss * (processes / len(batch))).backward()
                    sums += torch.stack([loss.detach(), (logits.argmax(1) == labels[rows]).sum()])
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad(set_to_none=True)

                recent.append(sums)
                progress["step"] += 1
                if average:
                    average.update(network, progress["step"])
                progress["images"] += len(batch)
                progress["totals"][2] += len(batch)
                # The state at an epoch's end is saved below, with the epoch's evaluation in it.
                at_end = progress["step"] == end
                save_now = config.checkpointing_steps != "epoch" and progress["step"] % config.checkpointing_steps == 0
                if len(recent) == check_every or save_now or at_end:
                    stopped = _check(recent, progress, stop.received, epoch, first, output, accelerator)
                    bar.update(progress["step"] - bar.n)
                    if (save_now or stopped) and not at_end:
                        progress["seconds"] += time.perf_counter() - started
                        save_state()
                        started = time.perf_counter()
                        if stopped:
                            bar.close()
                            raise Interrupted(stopped)
            progress["seconds"] += time.perf_counter() - started

            hardware.release_free_memory()  # blocks of training rarely fit those of an evaluation
            broadcast(list(judged.buffers()))  # BatchNorm's statistics: each process has seen its own images
            now = summarize(
                compute_logits(judged, splits.validation.images, accelerator),
                splits.validation.labels,
                judged.label_names,
            )
            if not math.isfinite(now["loss"]):
                raise _diverged(f"validation loss is {now['loss']}", epoch, end - first, output)
            progress["history"].append(history_row(epoch + 1, rate, progress, now))
            progress["totals"] = [0.0, 0.0, 0]
            is_best = progress["best"] is None or is_better(now, progress["best"], config.metric_for_best_model)
            if is_best:
                progress["best"] = {"epoch": epoch + 1, "loss": now["loss"], "accuracy": now["accuracy"]}
            if accelerator.is_main_process:
                if is_best:
                    best_weights = {key: value.cpu().clone() for key, value in judged.network.state_dict().items()}
                    save_best(judged, output, progress["best"])
                write_history(output, progress["history"])
            save_state()
            accelerator.log(progress["history"][-1], step=progress["step"])
            bar.clear()
            say(console.epoch_line(progress["history"][-1], -(-total_steps // steps_per_epoch), is_best))
            if accelerator.is_main_process and drawing <= DRAWING_SHARE * (time.perf_counter() - begun):
                started = time.perf_counter()
                draw_curves(output, record, progress["history"], progress["best"]["epoch"])
                drawing += time.perf_counter() - started
            # A signal may have come during the evaluation.
            stopped = stopped or _check(recent, progress, stop.received, epoch, first, output, accelerator)
            if stopped:
                bar.close()
                raise Interrupted(stopped)
    bar.close()

    # --- results, of the best checkpoint as everybody will load it ---
    accelerator.wait_for_everyone()
    hardware.release_free_memory()
    results = measure_best(output, splits, accelerator)
    summary = summarize_run(record, results, progress)
    if accelerator.is_main_process:
        write_results(output, record, results, summary, progress["history"])
        say(console.closing_lines(summary, output, weighted=config.class_weights is not None))
    accelerator.end_training()
    return summary


# --- steps of the loop ---------------------------------------------------------------------------------------------


def _check(recent, progress, stop_signal, epoch, first, output, accelerator) -> int:
    """Adds the recent steps to the totals; returns the signal that asks to stop (0: none), agreed by all processes.

    Raises:
        UserError: a loss is not finite.
    """
    asked = torch.tensor([0.0, float(stop_signal > 0)], device=accelerator.device)
    *sums, (_, stop) = accelerator.reduce(torch.stack([*recent, asked]), "sum").tolist()
    for index, (loss, correct) in enumerate(sums):
        if not math.isfinite(loss):
            step = progress["step"] - len(sums) + index + 1 - first
            raise _diverged(f"loss is {loss}", epoch, step, output)
        progress["totals"][0] += loss
        progress["totals"][1] += correct
    recent.clear()
    return (stop_signal or signal.SIGTERM) if stop else 0


def _diverged(what: str, epoch: int, step: int, output: Path) -> UserError:
    return UserError(
        f"{what} in epoch {epoch + 1}, step {step} of the epoch: training diverged. "
        f"The last good state is in {output}/checkpoints. Start anew with a lower --learning_rate, "
        "or with --mixed_precision no."
    )

"""How long a picture takes: finding its face, cutting it out, classifying it; alone and beside another busy process.

    pip install -r requirements-dev.txt
    python benchmarks/recognizer_speed.py

One photo of 640x480 with one face, for one and two threads of PyTorch and of onnxruntime; the threads of onnxruntime
either spin while they wait or sleep (with one thread nothing waits). Each setting is a process of its own. The busy
process counts as fast as it can. At the end: a new process until its first result. Run nothing else meanwhile.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = [  # threads of PyTorch, threads of onnxruntime, whether these spin
    (torch_threads, *onnx) for torch_threads in (1, 2) for onnx in ((1, False), (2, True), (2, False))
]
STAGES = ("detect", "crop", "classify", "all")
FIRST = (
    "import sys; from PIL import Image; image = Image.open(sys.argv[1]); from fer_hub import EmotionRecognizer; "
    "assert len(EmotionRecognizer.from_pretrained()(image)) == 1"
)


def photo():
    """The upper part of scikit-image's astronaut, 640x480; a face of about 150x190 pixels."""
    from PIL import Image
    from skimage import data

    return Image.fromarray(data.astronaut()[:307, 20:430]).resize((640, 480), Image.Resampling.BICUBIC)


def measure(torch_threads: int, onnx_threads: int, spinning: bool, repetitions: int) -> dict[str, list[float]]:
    """The milliseconds of each stage, in this process."""
    import onnxruntime
    import torch

    from fer_hub import EmotionRecognizer
    from fer_hub.recognition.detector import RetinaFace, _weights, crop

    class Detector(RetinaFace):
        """With other threads than the default detector."""

        def __init__(self):
            super().__init__()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = onnx_threads
            options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
            self._session = onnxruntime.InferenceSession(_weights(), options, providers=["CPUExecutionProvider"])

    torch.set_num_threads(torch_threads)
    recognizer, image = EmotionRecognizer.from_pretrained(detector=Detector()), photo()
    times = {stage: [] for stage in STAGES}
    for repetition in range(-5, repetitions):  # the first ones warm up
        started = time.perf_counter()
        (found,) = recognizer.detector(image)
        detected = time.perf_counter()
        square = crop(image, found)
        cut = time.perf_counter()
        recognizer.model.predict(square)
        classified = time.perf_counter()
        recognizer(image)
        done = time.perf_counter()
        if repetition >= 0:
            taken = (detected - started, cut - detected, classified - cut, done - classified)
            for stage, seconds in zip(STAGES, taken, strict=True):
                times[stage].append(1000 * seconds)
    return times


@contextmanager
def busy_process():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def in_new_process(*settings) -> dict[str, list[float]]:
    command = [sys.executable, __file__, "--measure", json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def print_table(title: str, repetitions: int) -> None:
    print(f"\n{title}: milliseconds, median (5th to 95th percentile) of {repetitions}\n")
    print(f"{'torch':>7}{'onnxruntime':>14}" + "".join(f"{stage:>24}" for stage in STAGES))
    for torch_threads, onnx_threads, spinning in SETTINGS:
        times = in_new_process(torch_threads, onnx_threads, spinning, repetitions)
        cells = []
        for stage in STAGES:
            low, *_, high = statistics.quantiles(times[stage], n=20, method="inclusive")
            cells.append(f"{statistics.median(times[stage]):.1f} ({low:.1f} to {high:.1f})")
        onnx = f"{onnx_threads}{', spinning' if spinning else ''}"
        print(f"{torch_threads:>7}{onnx:>14}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


def start_to_first_result(starts: int) -> list[float]:
    """Seconds of new processes; the first start, which may read from the disk, is left out."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "photo.png")
        photo().save(path)
        for _ in range(starts + 1):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", FIRST, path], check=True, cwd=ROOT)
            seconds.append(time.perf_counter() - started)
    return seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)  # one setting, in this process
    arguments = parser.parse_args()
    if arguments.measure:
        sys.path.insert(0, str(ROOT))  # the checkout need not be installed
        print(json.dumps(measure(*arguments.measure)))
        return

    print_table("Alone", arguments.repetitions)
    with busy_process():
        print_table("Beside one busy process", arguments.repetitions)
    seconds = start_to_first_result(arguments.starts)
    print(f"\nNew process until its first result: {statistics.median(seconds):.1f} s, "
          f"median of {len(seconds)} ({min(seconds):.1f} to {max(seconds):.1f})")  # fmt: skip


if __name__ == "__main__":
    main()

"""Training speed on a CPU: train.py against a bare loop of ours and against Keras, in one run.

    python3 -m venv peers && peers/bin/pip install -r benchmarks/peers.txt
    python benchmarks/train_speed.py --keras_python peers/bin/python --dataset_name data/fer2013

Each round times the three after one another, each in a process of its own; ratios are taken within a round, and their
medians are what to quote. Run nothing else meanwhile.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def train_speed(dataset_name: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/run"
        run(sys.executable, str(ROOT / "train.py"), "--dataset_name", dataset_name, "--output_dir", output,
            "--max_train_steps", "420", "--no_test")  # fmt: skip
        return json.loads(Path(output, "all_results.json").read_text())["train_images_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keras_python", required=True, help="the Python of the environment with benchmarks/peers.txt")
    parser.add_argument("--dataset_name", default="synthetic")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    rounds = []
    for _ in range(arguments.rounds):
        ours = train_speed(arguments.dataset_name)
        bare = float(run(sys.executable, str(ROOT / "benchmarks/bare_loop.py")))
        keras = float(run(arguments.keras_python, str(ROOT / "benchmarks/keras_loop.py")))
        rounds.append({"train.py": ours, "bare loop": bare, "Keras": keras})
        rounds[-1] |= {"train.py / Keras": ours / keras, "train.py / bare loop": ours / bare}
        print("  ".join(f"{name} {value:,.2f}" for name, value in rounds[-1].items()), flush=True)
    print(f"\nmedian of {len(rounds)} rounds (lowest to highest); images/s, or ratios within a round")
    for name in rounds[0]:
        values = sorted(row[name] for row in rounds)
        print(f"  {name:22}{statistics.median(values):10,.2f}   ({values[0]:,.2f} to {values[-1]:,.2f})")


if __name__ == "__main__":
    main()

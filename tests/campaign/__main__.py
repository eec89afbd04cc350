"""`python -m tests.campaign [DOOR ...]`: all cases of all doors, or of these, and a table of what became of them."""

import logging
import os
import sys
import tempfile
import time

CACHE = tempfile.mkdtemp(prefix="fer-hub-campaign-")
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": CACHE,
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
tempfile.tempdir = CACHE  # one folder to remove at the end

import shutil  # noqa: E402

import datasets  # noqa: E402
import torch  # noqa: E402

from . import judge  # noqa: E402
from .doors import DOORS  # noqa: E402


def main(chosen: list[str]) -> int:
    """Run the doors; returns 1 where something is wrong, crashed or hung."""
    unknown = [name for name in chosen if name not in DOORS]
    if unknown:
        print(f"no door {unknown[0]}: {', '.join(DOORS)}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    logging.disable(logging.WARNING)
    rows, found = [], []
    for name in chosen or DOORS:
        started = time.perf_counter()
        counts, faults = judge.run(DOORS[name])
        seconds = time.perf_counter() - started
        rows.append((name, counts.total(), *(counts[verdict] for verdict in judge.VERDICTS), f"{seconds:.0f}"))
        found += [f"{name}: {fault}" for fault in faults]
        print(f"{name}: {counts.total():,} cases in {seconds:.0f} s", file=sys.stderr)
    header = ("door", "tried", "right", "refused clearly", "wrong", "crashed", "hung", "s")
    total = ("all", *(sum(row[place] for row in rows) for place in range(1, 7)), "")
    print("\n".join(found))
    for row in (header, *rows, total):
        print(
            "| "
            + " | ".join(f"{cell:>{width}}" for cell, width in zip(row, (10, 6, 6, 15, 6, 7, 5, 4), strict=True))
            + " |"
        )
    return int(bool(found))


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    finally:
        shutil.rmtree(CACHE, ignore_errors=True)
    sys.exit(status)

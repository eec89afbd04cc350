"""A sample of the campaign: a few cases of each door, judged as the whole of it."""

import itertools
import tempfile

import pytest

from .doors import DOORS
from .judge import Case, judge

# Of each door: every how many-th case, and how many of them.
SAMPLE = {
    "configs": (23, 40), "records": (61, 6), "commands": (13, 3), "label_maps": (5, 40), "cards": (5, 45),
    "weights": (19, 7), "pictures": (131, 40), "no_files": (5, 22), "tables": (9, 15), "names": (9, 9),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_a_sample_is_right_or_refused_clearly(door, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    step, count = SAMPLE[door]
    faults, tried = [], 0
    for case in itertools.islice(DOORS[door](), 0, step * count, step):
        verdict, fault = judge(case)
        tried += 1
        if verdict not in ("right", "refused"):
            faults.append(f"{verdict}: {case.name}: {fault}")
    assert not faults and tried >= 3


def test_the_judge_sees_what_is_wrong():
    def fail(error):
        raise error

    def wait():
        while True:
            pass

    assert judge(Case("", lambda: {"a": [0.5, float("nan")]}))[0] == "wrong"
    assert judge(Case("", lambda: 1, bad=True))[0] == "wrong"
    assert judge(Case("", lambda: fail(KeyError("x"))))[0] == "crashed"
    assert judge(Case("", wait), limit=0.1)[0] == "hung"

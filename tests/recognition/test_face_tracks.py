"""Faces keep their numbers, and their probabilities move slowly."""

import copy
import math

import numpy as np
import pytest

from fer_hub import UserError
from fer_hub.recognition.face import Face
from fer_hub.recognition.face_tracks import MAX_GAP, TrackedFace, Tracker


def face(box, happy=1.0, score=0.9):
    return Face({"happy": happy, "sad": 1 - happy}, box, score, False, np.zeros((48, 48), np.uint8))


def at(left, happy=1.0, top=0):
    return face((left, top, left + 100, top + 100), happy)


def numbers(tracked):
    return [one.track for one in tracked]


def test_moving_faces_keep_their_numbers():
    tracker = Tracker()
    for step in range(20):
        assert numbers(tracker.update([at(30 * step), at(30 * step, top=300)], step / 25)) == [1, 2]
    assert numbers(tracker.update([at(600, top=300), at(600)], 0.8)) == [2, 1]  # the detector's order does not matter


def test_the_result_is_the_given_face_with_a_number():
    given = at(10, 0.25)
    (tracked,) = Tracker().update([given], 0.0)
    assert isinstance(tracked, TrackedFace) and isinstance(tracked, Face)
    assert (tracked.box, tracked.detection_score, tracked.probabilities) == (given.box, 0.9, given.probabilities)
    assert tracked.crop is given.crop
    assert tracked.to_dict() == given.to_dict() | {"track": 1}


def test_the_best_pairs_win_together():
    tracker = Tracker()
    tracker.update([at(0), at(60)], 0.0)
    # Best first would give the one at 35 to that at 60 (overlap .6, and .48 to that at 0), and nothing to the other.
    assert numbers(tracker.update([at(110), at(35)], 0.04)) == [2, 1]


def test_faces_that_hardly_overlap_are_others():
    tracker = Tracker()
    tracker.update([at(0)], 0.0)
    assert numbers(tracker.update([at(75)], 0.04)) == [1]  # 25 / 175 = .14
    assert numbers(tracker.update([at(75 + 85)], 0.08)) == [2]  # 15 / 185 = .08
    assert numbers(tracker.update([at(1000)], 0.12)) == [3]
    assert numbers(tracker.update([face((5, 5, 5, 5))], 0.16)) == [4]  # without area


@pytest.mark.parametrize(("gap", "number"), [(MAX_GAP, 1), (MAX_GAP + 0.01, 2)])
def test_a_track_lives_through_a_short_gap_measured_in_time(gap, number):
    for pictures in (1, 10):  # between
        tracker = Tracker()
        tracker.update([at(0)], 5.0)
        for picture in range(pictures):
            assert tracker.update([], 5.0 + gap * (picture + 1) / (pictures + 1)) == []
        assert numbers(tracker.update([at(0)], 5.0 + gap)) == [number]


def test_pictures_far_apart_are_compared_all_the_same():
    tracker = Tracker()
    assert [numbers(tracker.update([at(0)], 60.0 * minute)) for minute in range(3)] == [[1], [1], [1]]


def test_smoothing_halves_the_distance_in_a_half_life():
    tracker = Tracker(half_life=0.5)
    assert tracker.update([at(0, 0.8)], 0.0)[0].probabilities["happy"] == 0.8  # the first stands as it is
    assert tracker.update([at(0, 0.0)], 0.5)[0].probabilities["happy"] == pytest.approx(0.4)
    (last,) = tracker.update([at(0, 0.0)], 1.5)
    assert last.probabilities == pytest.approx({"happy": 0.1, "sad": 0.9}) and last.emotion == "sad"


def test_smoothing_means_the_same_at_every_frame_rate():
    ends = []
    for rate in (5, 25, 100):
        tracker = Tracker()
        tracker.update([at(0, 1.0)], 0.0)
        for step in range(1, rate + 1):
            (tracked,) = tracker.update([at(0, 0.0)], step / rate * 0.6)
        ends.append(tracked.probabilities["happy"])
    assert ends == pytest.approx([2 ** (-0.6 / 0.25)] * 3)


def test_smoothing_goes_on_after_a_gap_with_the_time_that_passed():
    tracker = Tracker(half_life=0.5)
    tracker.update([at(0, 1.0)], 0.0)
    tracker.update([], 0.5)
    assert tracker.update([at(0, 0.0)], 1.0)[0].probabilities["happy"] == pytest.approx(0.25)


def test_no_half_life_is_no_smoothing():
    tracker = Tracker(half_life=0)
    tracker.update([at(0, 0.8)], 0.0)
    assert tracker.update([at(0, 0.3)], 0.0)[0].probabilities["happy"] == pytest.approx(0.3)


def test_uncertain_follows_the_smoothed_probabilities():
    tracker = Tracker(half_life=0.5, threshold=0.7)
    assert not tracker.update([at(0, 0.9)], 0.0)[0].uncertain
    assert tracker.update([at(0, 0.1)], 0.5)[0].uncertain  # .5 now, although .9 of the picture is sad
    assert not tracker.update([at(0, 0.1)], 2.0)[0].uncertain
    assert not Tracker().update([at(0, 0.5)], 0.0)[0].uncertain


def test_a_copy_has_a_life_of_its_own():
    tracker = Tracker()
    tracker.update([at(0, 1.0)], 0.0)
    other = copy.deepcopy(tracker)
    other.update([at(500), at(0, 0.0)], 0.1)
    (tracked,) = tracker.update([at(0, 0.5)], 0.25)
    assert tracked.track == 1 and tracked.probabilities["happy"] == pytest.approx(0.75)
    assert numbers(tracker.update([at(500)], 0.3)) == [2]


def test_what_was_given_out_does_not_change_later():
    tracker = Tracker()
    given = at(0, 1.0)
    (before,) = tracker.update([given], 0.0)
    tracker.update([at(0, 0.0)], 0.2)
    assert before.probabilities == given.probabilities == {"happy": 1.0, "sad": 0.0}


def test_the_state_is_bounded():
    tracker, sizes = Tracker(), []
    for step in range(500):  # each time somebody new
        tracker.update([at(1000 * step)], step / 10)
        sizes.append(len(copy.deepcopy(vars(tracker))["_tracks"]))
    assert max(sizes) <= 12 and tracker.update([at(0)], 50.0)[0].track == 501


@pytest.mark.parametrize("time", [0.99, float("nan")])
def test_time_does_not_run_backwards(time):
    tracker = Tracker()
    tracker.update([at(0)], 1.0)
    with pytest.raises(UserError, match=r"new Tracker\(\)"):
        tracker.update([at(0)], time)
    assert numbers(tracker.update([at(0)], 1.0)) == [1]


@pytest.mark.parametrize("half_life", [-1, math.nan])
def test_half_lives_are_not_negative(half_life):
    with pytest.raises(UserError, match="half_life"):
        Tracker(half_life)

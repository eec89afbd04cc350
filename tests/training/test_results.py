"""What a run leaves beside its weights."""

from fer_hub.training.results import is_better


def test_an_epoch_is_better_by_the_metric_that_was_asked_for():
    less_lost, more_right = {"loss": 1.0, "accuracy": 0.5}, {"loss": 2.0, "accuracy": 0.6}
    for now, best, metric in ((less_lost, more_right, "loss"), (more_right, less_lost, "accuracy")):
        assert is_better(now, best, metric) and not is_better(best, now, metric)
        assert not is_better(now, now, metric)  # the first of equals stays

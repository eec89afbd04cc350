"""What figures show."""

from fer_hub.evaluation import plots


def test_the_curves_mark_the_checkpoint_that_was_kept(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    # The lowest loss is that of another epoch than the highest accuracy.
    rows = [(1, 1.2, 0.5), (2, 1.0, 0.6), (3, 1.1, 0.7)]
    history = [
        {"epoch": epoch, "train_loss": loss, "train_accuracy": share, "eval_loss": loss, "eval_accuracy": share}
        for epoch, loss, share in rows
    ]
    plots.plot_curves(history, 3, "a run", tmp_path / "curves.png")
    marked = [
        line.get_xdata() for axes in drawn[0].axes for line in axes.lines if line.get_label() == "best checkpoint"
    ]
    assert marked == [[3, 3], [3, 3]]

"""Faces over time -> a figure, and the same in words."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import IO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fer_hub import colors, fonts
from fer_hub.recognition.face_tracks import MAX_GAP
from fer_hub.recognition.video import Frame

MAX_FACES = 4  # more panels would be too low to read
MAX_CHANGES = 8  # told of each face
MIN_STAY = 0.5  # seconds that an expression must come first to be told
_NAMED = 0.3  # probability from which an area is high enough for its name


@dataclass
class _Track:
    """The frames in which a face was seen: from when to when each stands, in seconds, and what the face showed."""

    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    shown: list[dict[str, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(self.ends) - sum(self.starts)

    def runs(self) -> list[slice]:
        """The stretches without a gap."""
        gaps = [at for at in range(1, len(self.starts)) if self.starts[at] > self.ends[at - 1]]
        cuts = [0, *gaps, len(self.starts)]
        return [slice(first, last) for first, last in pairwise(cuts)]


def plot(frames: Iterable[Frame | dict], label_names: Sequence[str], file: str | Path | IO[bytes]) -> None:
    """Draws the probabilities of each face's expressions over time, as areas that add up to 1.

    A picture's probabilities stand until the next recognized one, yet for no more than a second or three usual
    distances; where a face was not found nothing is drawn. The four faces that were seen longest get a panel each, and
    the others are told in number. Unlike the clip this keeps the results of all frames, some kilobytes for each face.

    Args:
        frames: in the order of time; a `Clip`, its frames, or `frames` of its JSON.
        label_names: the model's, in its order: areas are stacked so, the first one lowest.
        file: PNG, a path or an open file.
    """
    tracks, omitted, (first, last) = _longest(frames)
    palette = colors.of(label_names)
    figure = Figure(figsize=(10, 1.2 + 1.8 * max(len(tracks), 1)), layout="constrained")
    panels = figure.subplots(max(len(tracks), 1), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (number, track) in zip(panels, tracks.items(), strict=False):
        for run in track.runs():
            _stack(axes, track, run, palette)
        _name_areas(axes, track, label_names, (first, last))
        axes.set(xlim=(first, last), ylim=(0, 1), ylabel=f"face {number}\nprobability")
    panels[-1].set_xlabel("time (s)")
    if not tracks:
        panels[0].text(0.5, 0.5, "no face was found", ha="center", va="center", transform=panels[0].transAxes)
    if omitted:
        figure.suptitle(f"not shown: {_faces(omitted)} seen for a shorter time", fontsize=9)
    shown = dict(zip(label_names, fonts.for_figures(label_names), strict=True))
    areas = [Patch(color=palette[name], label=shown[name]) for name in reversed(label_names)]
    figure.legend(handles=areas, loc="outside right center", frameon=False)
    fonts.finish(figure)
    figure.savefig(file, dpi=120, format="png")


def describe(frames: Iterable[Frame | dict]) -> str:
    """Says in words what `plot` shows: when each face was seen, what it showed mostly, and how that changed.

    Args:
        frames: as for `plot`.

    Returns:
        A line for each of the four faces that were seen longest. Expressions that came first for less than half a
        second, and changes after the eighth, are not told one by one.
    """
    tracks, omitted, _ = _longest(frames)
    lines = [_sentence(number, track) for number, track in tracks.items()] or ["No face was found."]
    if omitted:
        lines.append(f"Not described: {_faces(omitted)} seen for a shorter time.")
    return "\n".join(lines)


def _longest(frames: Iterable[Frame | dict]) -> tuple[dict[int, _Track], int, tuple[float, float]]:
    """The tracks that were seen longest, by number; how many are left out; from when to when all frames stand."""
    records = [frame if isinstance(frame, dict) else frame.to_dict() for frame in frames]
    times = [record["time"] for record in records]
    usual = (float(np.median(np.diff(times))) if len(times) > 1 else 0) or 0.04
    hold = max(MAX_GAP, 3 * usual)  # where a damaged part of the video was left out, a picture does not stand for it
    ends = [min(following, time + hold) for time, following in pairwise(times)] + [time + usual for time in times[-1:]]
    tracks = defaultdict(_Track)
    for record, start, end in zip(records, times, ends, strict=True):
        for face in record["faces"]:
            track = tracks[face["track"]]
            track.starts.append(start)
            track.ends.append(end)
            track.shown.append(face["probabilities"])
    longest = sorted(tracks, key=lambda number: -tracks[number].seconds)[:MAX_FACES]
    span = (times[0], ends[-1]) if times else (0.0, 1.0)
    return {number: tracks[number] for number in sorted(longest)}, len(tracks) - len(longest), span


def _stack(axes: Axes, track: _Track, run: slice, palette: dict[str, str]) -> None:
    times = [*track.starts[run], track.ends[run][-1]]
    below = np.zeros(len(times))
    for name, color in palette.items():
        height = [shown[name] for shown in track.shown[run]]
        above = below + [*height, height[-1]]
        axes.fill_between(times, below, above, step="post", color=color, linewidth=0)
        below = above


def _name_areas(axes: Axes, track: _Track, label_names: Sequence[str], span: tuple[float, float]) -> None:
    """Writes each name once, where its area is highest: colours alone do not tell it to everybody."""
    middles = (np.array(track.starts) + track.ends) / 2
    low, high = np.quantile(span, (0.05, 0.95))  # a name further out would be cut off
    inner = np.flatnonzero((middles >= low) & (middles <= high))
    for place, (name, text) in enumerate(zip(label_names, fonts.for_figures(label_names), strict=True)):
        best = max(inner, key=lambda at: track.shown[at][name], default=None)
        if best is not None and (height := track.shown[best][name]) >= _NAMED:
            below = sum(track.shown[best][other] for other in label_names[:place])
            box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1.5}
            style = {"ha": "center", "va": "center", "fontsize": 8, "bbox": box}
            axes.text(middles[best], below + height / 2, text, **style)


def _sentence(number: int, track: _Track) -> str:
    seen = [f"{track.starts[run][0]:.1f} to {track.ends[run][-1]:.1f} s" for run in track.runs()]
    more = f" and {len(seen) - MAX_CHANGES} more times" if len(seen) > MAX_CHANGES else ""
    emotions = [max(shown, key=shown.get) for shown in track.shown]
    seconds = defaultdict(float)
    for emotion, start, end in zip(emotions, track.starts, track.ends, strict=True):
        seconds[emotion] += end - start
    most = max(seconds, key=seconds.get)
    share = f"{seconds[most] / (track.seconds or 1):.0%}".replace("%", " %")
    changes = _changes(track, emotions) or [(most, track.starts[0])]
    told = ", ".join(f"{name} from {start:.1f} s" for name, start in changes[:MAX_CHANGES])
    if len(changes) > MAX_CHANGES:
        told += f", and {len(changes) - MAX_CHANGES} more changes"
    return f"Face {number}, {', '.join(seen[:MAX_CHANGES])}{more}: mostly {most} ({share} of the time); {told}."


def _changes(track: _Track, emotions: list[str]) -> list[tuple[str, float]]:
    """Which expression came first from when on; without those that were over in less than MIN_STAY."""
    changes = []
    for name, group in groupby(range(len(emotions)), emotions.__getitem__):
        places = list(group)
        start, end = track.starts[places[0]], track.ends[places[-1]]
        if end - start >= MIN_STAY and (not changes or changes[-1][0] != name):
            changes.append((name, start))
    return changes


def _faces(count: int) -> str:
    return f"{count} face{'s' if count > 1 else ''}"

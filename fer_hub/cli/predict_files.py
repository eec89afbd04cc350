"""Files and folders -> the faces in their pictures and videos: as one dict, as text, and as files.

Pictures are read one at a time and not kept. A file that cannot be read becomes an entry of the results, and the others
go on.
"""

import csv
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from fer_hub import images
from fer_hub.atomic_files import write_atomically, write_json, write_text
from fer_hub.cli import media_files
from fer_hub.cli.media_files import Source
from fer_hub.errors import UserError, printable
from fer_hub.hub.locate import DEFAULT_MODEL
from fer_hub.recognition.recognizer import EmotionRecognizer
from fer_hub.recognition.video import Frame, Frames, to_csv, to_json
from fer_hub.recognition.video_reader import require_part


def predict(
    inputs: Sequence[str],
    model: str = DEFAULT_MODEL,
    output: str | None = None,
    every: int = 1,
    crop: bool = False,
    max_faces: int | None = None,
    min_face_size: float = 0,
    start: float = 0.0,
    end: float | None = None,
    as_video: bool = False,
    fps: float | None = None,
) -> dict:
    """Finds the faces of pictures and videos and tells their expressions.

    Progress and what goes wrong are shown on standard error.

    Args:
        inputs: paths of pictures, videos and folders; `media_files.listed` says how folders are searched.
        model: a shipped name, an existing folder or a Hub id.
        output: a folder that gets an annotated copy of each picture, under its path below the folder that was given;
            NAME.csv, NAME.json, a timeline NAME.png and an annotated NAME.mp4 of each video; predictions.csv with a
            row for each face of all pictures, and predictions.json with what is returned. Where two results would have
            one name, the later one becomes NAME_2. It must be new or empty, or hold the results of an earlier call.
        every: recognizes each `every`-th picture of a video.
        crop: each picture is one face already, cut closely. Videos are refused then.
        max_faces: as for `EmotionRecognizer`.
        min_face_size: as for `EmotionRecognizer`.
        start: seconds of each video from which it is looked at.
        end: seconds of each video before which it is looked at; None for all.
        as_video: the pictures of a folder, and of each of its subfolders, are the frames of a clip.
        fps: pictures per second of such a folder; default: 25.

    Returns:
        As JSON takes it: "model"; "files", a dict for each, in the order of `inputs`; "failed", how many of them could
        not be read, or not to their end. A picture has "file", "width", "height" (pixels, upright) and "faces", as
        `Face.to_dict` gives them; a video has "file", "duration" (seconds, None where the file does not tell),
        "frames_seen", "problem" and "tracks": for each face that was followed "track", "frames", "start" and "end"
        (seconds), "emotion", "shares" (of its frames, by emotion) and "uncertain" (share of its frames). With `output`
        both have "written", the paths of their results. What cannot be read has "file" and "error".

    Raises:
        UserError: no file to look at, no such model, nothing between start and end, fps without folders of frames, or
            an output folder that would mix with other files.
    """
    if every < 1:
        raise UserError(f"every {every} is not a whole number from 1 on: 10 recognizes each tenth picture of a video.")
    if fps is not None and not as_video:
        raise UserError("--fps is for folders of frames: add --as_video. A video has times of its own.")
    require_part(start, end, None)
    options = {"every": every, "start": start, "end": end}
    sources = media_files.listed(inputs, as_video)
    folder = None if output is None else Path(os.path.expanduser(output))
    if folder:
        sources = media_files.with_results(sources, inputs, folder)
    recognizer = EmotionRecognizer.from_pretrained(model, max_faces=max_faces, min_face_size=min_face_size)
    found = {"model": model, "files": [], "failed": 0}
    if folder:
        _write_tables(folder, found, recognizer)  # now: they mark the folder as ours, should this call be broken off
    with tqdm(total=len(sources), unit="file", leave=False, disable=None if len(sources) > 1 else True) as bar:
        for source in sources:
            entry = _looked(recognizer, source, options | {"fps": fps} if source.is_folder else options, crop)
            found["files"].append(entry)
            problem = entry.get("error") or entry.get("problem")
            if problem:
                found["failed"] += 1
                told = problem if source.file in problem else f"{source.file}: {problem}"
                tqdm.write(f"error: {printable(told)}", file=sys.stderr)
            bar.update()
    if folder:
        _write_tables(folder, found, recognizer)
    return found


def as_text(found: dict) -> str:
    """What `predict` has found, for people: a line for each face. Errors are not repeated."""
    lines = []
    for entry in found["files"]:
        told = _video_told(entry) if "tracks" in entry else _picture_told(entry) if "faces" in entry else ()
        lines += [f"{printable(entry['file'])}: {line}" for line in told]
    if found["failed"]:
        lines.append(f"{found['failed']} of {_counted(len(found['files']), 'file')} could not be read, or only in part")
    return "\n".join(lines)


# --- looking -------------------------------------------------------------------------------------------------------


def _looked(recognizer: EmotionRecognizer, source: Source, options: dict, crop: bool) -> dict:
    if source.error:
        return {"file": source.file, "error": source.error}
    if crop and source.is_video:
        return {"file": source.file, "error": f"{source.file} is a video: --crop is for pictures of one face each."}
    try:
        for result in source.results[:1]:
            _make_folder(result.parent)
        entry = _video(recognizer, source, options) if source.is_video else _picture(recognizer, source, crop)
    except UserError as error:  # also where a result cannot be written: that may be so of this one alone
        return {"file": source.file, "error": str(error)}
    return entry | {"written": [str(result) for result in source.results]} if source.results else entry


def _picture(recognizer: EmotionRecognizer, source: Source, crop: bool) -> dict:
    picture = images.read(source.file)
    faces = recognizer(picture, crop=crop)
    for result in source.results:
        _save(recognizer.draw(picture, faces), result)
    found = [face.to_dict() for face in faces]
    return {"file": source.file, "width": picture.width, "height": picture.height, "faces": found}


def _save(picture: Image.Image, path: Path) -> None:
    form = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    write_atomically(path, lambda temporary: picture.save(temporary, form, quality=95))


def _video(recognizer: EmotionRecognizer, source: Source, options: dict) -> dict:
    table, record, graph, annotated = source.results or [None] * len(media_files.OF_VIDEO)
    clip = recognizer.video(source.file, annotated=annotated, **options)
    frames_seen, tracks, kept = 0, {}, Frames()
    with tqdm(total=clip.seconds, unit="s", unit_scale=True, leave=False, disable=None) as bar:
        for frame in clip:
            frames_seen += 1
            _add_to(tracks, frame)
            if annotated:  # three files are made of them; without their crops faces are small
                kept.append(replace(frame, faces=[replace(face, crop=None) for face in frame.faces]))
            bar.update(frame.time - options["start"] - bar.n)
    labels, kept.problem = recognizer.model.label_names, clip.problem
    if annotated:
        from fer_hub.recognition import timeline  # brings matplotlib

        to_csv(kept, table)
        to_json(kept, record)
        write_atomically(graph, lambda temporary: timeline.plot(kept, labels, temporary))
    return {
        "file": source.file,
        "duration": clip.duration,
        "frames_seen": frames_seen,
        "problem": clip.problem,
        "tracks": [_summary(number, track, labels) for number, track in tracks.items()],
    }


def _add_to(tracks: dict[int, dict], frame: Frame) -> None:
    for face in frame.faces:
        track = tracks.setdefault(face.track, {"start": frame.time, "emotions": Counter(), "uncertain": 0})
        track["end"] = frame.time
        track["emotions"][face.emotion] += 1
        track["uncertain"] += face.uncertain


def _summary(number: int, track: dict, labels: Sequence[str]) -> dict:
    frames = track["emotions"].total()
    return {
        "track": number,
        "frames": frames,
        "start": round(track["start"], 6),
        "end": round(track["end"], 6),
        "emotion": max(labels, key=track["emotions"].__getitem__),
        "shares": {name: track["emotions"][name] / frames for name in labels},
        "uncertain": track["uncertain"] / frames,
    }


# --- writing and telling -------------------------------------------------------------------------------------------


def _write_tables(folder: Path, found: dict, recognizer: EmotionRecognizer) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    box = ["left", "top", "right", "bottom"]
    labels = recognizer.model.label_names
    writer.writerow(["file", "face", "emotion", "uncertain", *box, "detection_score", *labels])
    for entry in found["files"]:
        for number, face in enumerate(entry.get("faces", []), start=1):
            told = face["emotion"], int(face["uncertain"]), *face["box"], face["detection_score"]
            writer.writerow([printable(entry["file"]), number, *told, *face["probabilities"].values()])
    _make_folder(folder)
    table_file, record = (folder / name for name in media_files.TABLES)
    write_text(table_file, table.getvalue())
    write_json(record, found)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}. Name another one.") from error


def _picture_told(entry: dict) -> Iterator[str]:
    for face in entry["faces"]:
        best = f"{face['emotion']} {_percent(face['probabilities'][face['emotion']])}"
        yield f"{f'uncertain ({best})' if face['uncertain'] else best}, box {', '.join(map(str, face['box']))}"
    if not entry["faces"]:
        yield "no face found"


def _video_told(entry: dict) -> Iterator[str]:
    length = "length unknown" if entry["duration"] is None else f"{entry['duration']:.1f} s"
    faces = _counted(len(entry["tracks"]), "face") if entry["tracks"] else "no face found"
    yield f"{length}, {_counted(entry['frames_seen'], 'frame')} looked at, {faces}"
    for track in entry["tracks"]:
        mostly = f"mostly {track['emotion']} ({_percent(track['shares'][track['emotion']])} of its frames)"
        doubt = f", uncertain in {_percent(track['uncertain'])}" if track["uncertain"] else ""
        yield f"face {track['track']}, {track['start']:.1f} to {track['end']:.1f} s: {mostly}{doubt}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"

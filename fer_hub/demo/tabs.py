"""The tabs of the page, a function for each: it lays out its fields and says what happens.

Those called `predict` within them are the page's API: their arguments have the names that programs use.
"""

import base64
import io
import re
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from fer_hub import images
from fer_hub.demo import markup, uploads
from fer_hub.demo.guard import MAX_FILE_SIZE, MAX_FILES, MAX_UPLOAD
from fer_hub.errors import UserError
from fer_hub.recognition.face import Face
from fer_hub.recognition.face_tracks import Tracker
from fer_hub.recognition.recognizer import EmotionRecognizer
from fer_hub.recognition.video import Clip, Frame, Frames, to_csv, to_json

EXAMPLES = Path(__file__).parents[1] / "examples"
SOURCE_OF_EXAMPLES = "Example photo: Eileen Collins, NASA, public domain. The other example faces are drawn."

HEIGHT = 400  # pixels of a picture on the page: what was found in it stands in sight below
MAX_VIDEO = 120  # seconds of video
MAX_WORK = 300  # seconds of computing for one video, which is then given up
LIVE_VISITORS = 4  # cameras at once; the next one waits
LIVE_TURN = 120  # seconds that one of them may hold its place
LIVE_SIDE = 640  # pixels of the longer side of a camera's picture
LIVE_EVERY = 0.05  # seconds between two pictures of a camera, at least; slower machines take what they can


class Recognizers(dict[str, EmotionRecognizer]):
    """By the names under which visitors can choose them."""

    def __missing__(self, name: str | None):
        raise uploads.told("choose a model.")


def image(recognizers: Recognizers, model: gr.Dropdown) -> None:
    """One picture: boxes, table, bars, heat maps, JSON."""

    def recognize(picture: bytes | None, name: str) -> list[Face]:
        if picture is None:
            raise uploads.told("no picture came: upload one.")
        with uploads.telling():
            return recognizers[name](picture)

    def show(picture: bytes | None, name: str):
        if picture is None:  # it was taken away
            return None, "", None, ""
        found = recognize(picture, name)
        drawn = recognizers[name].draw(picture, found)
        drawn.thumbnail((1600, 1600))
        html = markup.faces(found, recognizers[name].model.label_names)
        return drawn, html, [face.to_dict() for face in found], ""

    def heat_maps(picture: bytes | None, name: str) -> str:
        from fer_hub.recognition import explain  # takes half a second, which the first visitor need not wait for

        network = recognizers[name].model
        maps = []
        with uploads.telling():
            for face in recognize(picture, name):
                heat = explain.heat_map(network, face.crop, face.emotion)
                maps.append((face, explain.overlay(face.crop, heat), explain.describe(heat)))
        return markup.heat_maps(maps)

    def predict(picture: bytes | None, model: str) -> list[dict]:
        """The faces of a picture: emotion, probabilities, box, detection_score, uncertain of each."""
        return [face.to_dict() for face in recognize(picture, model)]

    with gr.Row():
        picture = uploads.picture(label="Picture", sources=["upload", "clipboard", "webcam"], buttons=[], height=HEIGHT)
        drawn = gr.Image(
            label="Faces", format="jpeg", interactive=False, buttons=["download", "fullscreen"], height=HEIGHT
        )
    gr.Examples([[str(EXAMPLES / "astronaut.webp")], [str(EXAMPLES / "group.png")]], picture, label="Examples")
    gr.Markdown(SOURCE_OF_EXAMPLES)
    results = gr.HTML(label="Expressions")
    look = gr.Button("Where does the model look?")
    heat = gr.HTML(label="Heat maps")
    with gr.Accordion("JSON", open=False):
        faces = gr.JSON(label="Faces")
    gr.on(
        [picture.change, model.change], show, [picture, model], [drawn, results, faces, heat],
        concurrency_limit=2, api_visibility="private", show_progress="minimal",
    )  # fmt: skip
    look.click(heat_maps, [picture, model], heat, concurrency_limit=2, api_visibility="private")
    _api("predict", predict, [picture, model], faces)


@dataclass
class _Camera:
    """What the page remembers of a visitor's camera: the faces of the last second, and when pictures came."""

    tracker: Tracker
    name: str
    times: deque = field(default_factory=lambda: deque(maxlen=30))

    def rate(self) -> float:
        """Frames per second over the last thirty."""
        return (len(self.times) - 1) / max(self.times[-1] - self.times[0], 1e-6) if len(self.times) > 1 else 0.0


def live(recognizers: Recognizers, model: gr.Dropdown) -> None:
    """A camera: the faces drawn on its pictures, with calm bars."""

    def look(picture: bytes | None, camera: _Camera | None, name: str):
        if picture is None:
            return "", None
        recognizer, now = recognizers[name], time.monotonic()
        network = recognizer.model
        if camera is None or camera.name != name or now - camera.times[-1] > 2:  # stopped and started again
            camera = _Camera(Tracker(threshold=network.abstention_threshold), name)
        with uploads.telling():
            frame = images.read(picture).convert("RGB")
        frame.thumbnail((LIVE_SIDE, LIVE_SIDE))
        camera.times.append(now)
        found = camera.tracker.update(recognizer(frame), now)
        html = markup.live(recognizer.draw(frame, found), found, network.label_names, camera.rate())
        return html, camera

    gr.Markdown(
        f"Pictures are looked at one by one and not kept. A turn ends after {LIVE_TURN} seconds; press *record* again "
        "for another one. The bars follow with a delay of a quarter of a second, so that they do not flicker."
    )
    camera = gr.State()
    with gr.Row():
        picture = uploads.picture(
            label="Camera",
            sources=["webcam"],
            streaming=True,
            buttons=[],
            webcam_options=gr.WebcamOptions(
                mirror=True, constraints={"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}
            ),
        )
        shown = gr.HTML(label="Faces")
    picture.stream(
        look, [picture, camera, model], [shown, camera],
        stream_every=LIVE_EVERY, time_limit=LIVE_TURN, concurrency_limit=LIVE_VISITORS,
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip


def video(recognizers: Recognizers, model: gr.Dropdown) -> None:
    """A video: the timeline, tables and the annotated file."""

    def frames(clip: Clip) -> Iterator[Frame]:
        """All of them, or an error where that takes too long."""
        deadline = time.monotonic() + MAX_WORK
        for frame in clip:
            require_short(frame.time)  # a camera's recording does not state its duration
            yield frame
            if time.monotonic() > deadline:
                raise UserError(f"this video takes more than {MAX_WORK} seconds to look at: take a larger step.")

    def opened(path: Path | None, every: float, name: str, **options) -> Clip:
        if path is None:
            raise uploads.told("no video came: upload one.")
        clip = recognizers[name].video(path, every=int(every), **options)
        require_short(clip.duration or 0)
        return clip

    def require_short(seconds: float) -> None:
        if seconds > MAX_VIDEO:
            raise UserError(
                f"the video is longer than the {MAX_VIDEO} seconds that this page takes: cut it, or use "
                "`fer-hub predict` on your own computer."
            )

    def show(path: Path | None, every: float, name: str, progress=gr.Progress()):  # noqa: B008 (gradio's way)
        from fer_hub.recognition import timeline  # likewise

        def report(done: float, total: float | None) -> None:
            progress((done, total) if total else None, desc=f"{done:.1f} s of the video", unit="s")

        with uploads.telling(path), tempfile.TemporaryDirectory() as folder:
            stem = Path(folder) / "faces"
            annotated, table, record = (stem.with_suffix(ending) for ending in (".mp4", ".csv", ".json"))
            clip = opened(path, every, name, progress=report, annotated=annotated)
            seen = Frames(frames(clip))
            seen.problem = clip.problem
            to_csv(seen, table)
            to_json(seen, record)
            figure = io.BytesIO()
            timeline.plot(seen, recognizers[name].model.label_names, figure)
            html = markup.timeline(figure.getvalue(), timeline.describe(seen), clip.problem)
            yield html, str(annotated), [str(table), str(record)]  # copied by gradio before the folder goes

    def predict(video: Path | None, every: float, model: str) -> dict:
        """The faces of a video: frame, time and faces of every n-th picture, and what could not be read."""
        with uploads.telling(video):
            clip = opened(video, every, model)
            return {"frames": [frame.to_dict() for frame in frames(clip)], "problem": clip.problem}

    gr.Markdown(
        f"Up to {MAX_VIDEO} seconds and {MAX_FILE_SIZE // 2**20} MiB. The longer the step, the sooner it is done."
    )
    with gr.Row():
        with gr.Column():
            path = uploads.video(
                label="Video",
                sources=["upload", "webcam"],
                buttons=[],
                webcam_options=gr.WebcamOptions(mirror=False),  # the recording itself is not mirrored
            )
            every = gr.Slider(1, 30, value=3, step=1, label="Step: look at every n-th picture")
            start = gr.Button("Find expressions", variant="primary")
        annotated = gr.Video(label="With the faces drawn in", interactive=False, buttons=["download"])
    results = gr.HTML(label="Timeline")
    tables = gr.File(label="Results as CSV and JSON", interactive=False)
    found = gr.JSON(label="Faces", visible=False)
    start.click(
        show, [path, every, model], [results, annotated, tables],
        concurrency_limit=1, concurrency_id="video", api_visibility="private", show_progress_on=results,
    )  # fmt: skip
    _api("video", predict, [path, every, model], found, concurrency_limit=1, concurrency_id="video")


def crops(recognizers: Recognizers, model: gr.Dropdown) -> None:
    """Many faces that are cut out already."""

    def recognize(files: list[tuple[str, Path]], name: str) -> list[tuple[str, Face | str]]:
        """Each file's face, or what is wrong with the file."""
        if len(files) > MAX_FILES:
            raise uploads.told(f"{len(files)} files are too many at once: {MAX_FILES} at most.")
        found = []
        for file, path in files:
            try:
                found.append((file, recognizers[name](path.read_bytes(), crop=True)[0]))
            except UserError as error:
                found.append((file, str(error)))
        return found

    def show(files: list[tuple[str, Path]] | None, name: str) -> str:
        return markup.crops(recognize(files or [], name), recognizers[name].model.label_names)

    def predict(files: list[tuple[str, Path]] | None, model: str) -> list[dict]:
        """For each picture of one closely cut face: emotion, probabilities, uncertain; or error."""
        found = recognize(files or [], model)
        return [{"error": face} if isinstance(face, str) else face.to_dict() for _, face in found]

    gr.Markdown(
        "Pictures of **one face each, cut closely**: nothing is searched, the model looks at all of each picture, and "
        f"also answers where there is no face in it. {MAX_UPLOAD // 2**20} MiB at once at most."
    )
    files = uploads.files(label=f"Cut faces, up to {MAX_FILES}", file_types=["image"], height=HEIGHT // 2)
    drawn = [str(file) for file in sorted(EXAMPLES.glob("crop-*.png"))]
    gr.Examples([[drawn]], files, label="Examples", example_labels=[f"{len(drawn)} drawn faces"])
    results = gr.HTML(label="Expressions")
    found = gr.JSON(label="Faces", visible=False)
    gr.on(
        [files.change, model.change], show, [files, model], results,
        concurrency_limit=2, api_visibility="private", show_progress="minimal",
    )  # fmt: skip
    _api("predict_crops", predict, [files, model], found)


def about(recognizers: Recognizers, model: gr.Dropdown) -> None:
    """The model card."""

    def card(name: str) -> str:
        """The model's card with its figures in place, without the metadata for machines."""
        folder = recognizers[name].model.folder
        try:
            text = (folder / "README.md").read_text(encoding="utf-8")
        except FileNotFoundError:
            return "This model has no card: nothing is known of its quality and its limits."
        text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)

        def in_place(link: re.Match) -> str:
            content = (folder / link[2]).read_bytes()
            return f"![{link[1]}](data:image/png;base64,{base64.b64encode(content).decode()})"

        return re.sub(r"!\[([^\]]*)\]\((figures/[\w.-]+\.png)\)", in_place, text)

    text = gr.Markdown(card(next(iter(recognizers))))
    model.change(card, model, text, api_visibility="private", show_progress="hidden")


def _api(name: str, function, inputs: list, output: gr.JSON, **options) -> None:
    """A call for programs alone: /name of gradio_client."""
    gr.Button(visible=False).click(function, inputs, output, api_name=name, **{"concurrency_limit": 2} | options)

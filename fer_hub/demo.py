"""The Gradio page: a closely cut face in, the probabilities of its expressions out. `app.py` only launches it."""

import base64
import binascii
from functools import partial
from pathlib import Path

import gradio as gr

from fer_hub import images
from fer_hub.errors import UserError
from fer_hub.locate import DEFAULT_MODEL
from fer_hub.model import FERModel

TITLE = "FER Hub: facial expressions"
INTRODUCTION = f"""# {TITLE}

Give a picture of **one face, cut closely**: the model looks at all of the picture, and does not search for faces in it.
"""
LIMITS = """An expression is not an emotion: the model tells what a face shows, not what the person feels. Every picture
gets an answer, one without a face as well.

**Prohibited:** in the European Union, inferring the emotions of people at work or in education is forbidden, except for
medical or safety reasons (AI Act, Art. 5(1)(f)). Do not use this page for it.
"""
MAX_FILE_SIZE = 10 * 2**20  # bytes
KEPT = 600  # seconds that an upload stays on disk, at most twice as long
MAX_WAITING = 32  # people in the queue; one more is asked to come back later


def build(model: FERModel) -> gr.Blocks:
    """The page of a model."""

    def predict_crop(face: bytes | None) -> dict[str, float] | None:
        """The probability of each expression for a picture of one closely cut face."""
        if face is None:  # the picture was taken away
            return None
        try:
            return model.predict(images.read(face))[0]
        except UserError as error:
            raise _told(str(error)) from error

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            face = _picture_field()
            expressions = gr.Label(label="Expression", num_top_classes=len(model.label_names))
        gr.Markdown(LIMITS)
        face.change(predict_crop, face, expressions, api_name="predict_crop", show_progress="hidden")
    return page.queue(max_size=MAX_WAITING)


def launch(model: str | None = None, host: str | None = None, port: int | None = None, share: bool = False) -> None:
    """Serves the page until it is stopped.

    Args:
        model: a shipped name, a folder or a Hub id; default: `DEFAULT_MODEL`.
        host: address to listen on; default: GRADIO_SERVER_NAME, which a Space sets, or this machine alone.
        port: default: GRADIO_SERVER_PORT, or the first free one from 7860.
        share: also give the page a public address, through gradio's servers.

    Raises:
        UserError: there is no such model, or the port is taken.
    """
    page = build(FERModel.from_pretrained(model or DEFAULT_MODEL))
    try:
        page.launch(
            server_name=host,
            server_port=port,
            share=share,
            theme=gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")),
            run_history=False,  # it would keep the faces in the visitor's browser
            enable_monitoring=False,
            max_file_size=MAX_FILE_SIZE,
            footer_links=["api", "gradio"],
        )
    except OSError as error:
        reason = str(error).split(". ")[0].rstrip(".")
        raise UserError(
            f"the page cannot be served: {reason}. Another address or port: python app.py --host 127.0.0.1 --port 7870"
        ) from error


def _picture_field() -> gr.Image:
    """An image field that hands over the file's own bytes, and fetches nothing.

    Its methods are replaced in place: for a subclass, gradio writes a .pyi file beside this one.
    """
    field = gr.Image(label="A closely cut face", sources=["upload", "clipboard", "webcam"], buttons=[])
    keep = field.async_move_resource_to_block_cache

    async def keep_uploads_only(place):
        if str(place).startswith(("http://", "https://")):  # gradio would fetch it for whoever names it
            raise _told("this page fetches nothing from the web: upload the file itself.")
        return await keep(place)

    field.async_move_resource_to_block_cache = keep_uploads_only
    field.preprocess = partial(_bytes_of, uploads=Path(field.GRADIO_CACHE))
    return field


def _bytes_of(payload, uploads: Path) -> bytes | None:
    """What was uploaded, pasted or photographed; None where there is nothing.

    Gradio's own way decodes whatever size a file claims, and opens any path that comes without its mark for files.
    """
    if payload is None:
        return None
    if payload.url and payload.url.startswith("data:"):
        try:
            return base64.b64decode(payload.url.partition(",")[2])
        except binascii.Error as error:
            raise _told("the picture did not arrive whole: send it again.") from error
    if payload.path is None or not Path(payload.path).resolve().is_relative_to(uploads.resolve()):
        raise _told("no picture came: upload a file.")
    return Path(payload.path).read_bytes()


def _told(reason: str) -> gr.Error:
    """An error that the visitor sees, and that is no traceback in the log."""
    return gr.Error(reason[:1].upper() + reason[1:], print_exception=False)

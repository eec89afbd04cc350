"""Fields of the page that take a visitor's files, and nothing else: no address and no path of the server.

Gradio's own fields fetch http addresses that a client names, open paths that come without its mark for files, and
decode pictures of whatever size a file claims. Their methods are replaced in place: for a subclass, gradio writes a
.pyi file beside this one.
"""

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import gradio as gr

from fer_hub.errors import UserError


def picture(**options) -> gr.Image:
    """An image field whose handler gets the file's own bytes, or None; options as for gr.Image."""
    field = _guarded(gr.Image(**options))
    field.preprocess = partial(_bytes_of, uploads=Path(field.GRADIO_CACHE))
    return field


def video(**options) -> gr.Video:
    """A video field whose handler gets the path of the uploaded file, or None; options as for gr.Video."""
    field = _guarded(gr.Video(**options))
    field.preprocess = partial(_path_of, uploads=Path(field.GRADIO_CACHE))
    return field


def files(**options) -> gr.File:
    """A field for several files whose handler gets a list of (name, bytes), or None; options as for gr.File."""
    field = _guarded(gr.File(file_count="multiple", **options))
    uploads = Path(field.GRADIO_CACHE)

    def named_bytes(payload) -> list[tuple[str, bytes]] | None:
        if payload is None:
            return None
        return [(file.orig_name or Path(file.path).name, _bytes_of(file, uploads)) for file in payload.root]

    field.preprocess = named_bytes
    return field


@contextmanager
def telling() -> Iterator[None]:
    """Shows what a UserError says to the visitor, without a traceback in the log."""
    try:
        yield
    except UserError as error:
        raise told(str(error)) from error


def told(reason: str) -> gr.Error:
    """An error that the visitor sees, and that is no traceback in the log."""
    return gr.Error(reason[:1].upper() + reason[1:], print_exception=False)


def _guarded(field: gr.Image | gr.Video | gr.File):
    """Refuses addresses before gradio fetches them."""
    keep = field.async_move_resource_to_block_cache

    async def keep_uploads_only(place):
        if str(place).startswith(("http://", "https://")):
            raise told("this page fetches nothing from the web: upload the file itself.")
        return await keep(place)

    field.async_move_resource_to_block_cache = keep_uploads_only
    return field


def _bytes_of(payload, uploads: Path) -> bytes | None:
    """What was uploaded, pasted or photographed."""
    if payload is None:
        return None
    if payload.url and payload.url.startswith("data:"):
        try:
            return base64.b64decode(payload.url.partition(",")[2])
        except binascii.Error as error:
            raise told("the picture did not arrive whole: send it again.") from error
    return _path_of(payload, uploads).read_bytes()


def _path_of(payload, uploads: Path) -> Path | None:
    if payload is None:
        return None
    if payload.path is None or not Path(payload.path).resolve().is_relative_to(uploads.resolve()):
        raise told("no file came: upload one.")
    return Path(payload.path)

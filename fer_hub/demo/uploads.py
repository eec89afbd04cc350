"""Fields of the page that take a visitor's files, and nothing else: no address and no path of the server.

Gradio's own fields fetch http addresses that a client names, open paths that come without its mark for files, and
decode pictures of whatever size a file claims.
"""

import base64
from abc import ABCMeta
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr

from fer_hub.demo.guard import MAX_FILE_SIZE
from fer_hub.errors import UserError


def picture(**options) -> gr.Image:
    """An image field whose handler gets the file's own bytes, or None; options as for gr.Image."""
    return _guarded(gr.Image, _bytes_of)(**options)


def video(**options) -> gr.Video:
    """A video field whose handler gets the path of the uploaded file, or None; options as for gr.Video."""
    return _guarded(gr.Video, _path_of)(**options)


def files(**options) -> gr.File:
    """A field for several files whose handler gets a list of (name, path), or None; options as for gr.File.

    Paths, because a client may name the same upload a thousand times: all of it at once would fill the memory.
    """
    return _guarded(gr.File, _named_paths)(file_count="multiple", **options)


@contextmanager
def telling(upload: Path | None = None) -> Iterator[None]:
    """Shows what a UserError says to the visitor, without the place of the upload, and no traceback in the log."""
    try:
        yield
    except UserError as error:
        raise told(str(error).replace(str(upload), "the file") if upload else str(error)) from error


def told(reason: str) -> gr.Error:
    """An error that the visitor sees, and that is no traceback in the log."""
    return gr.Error(reason[:1].upper() + reason[1:], print_exception=False)


def _guarded(kind: type, taken: Callable) -> type:
    """One of gradio's fields that refuses addresses before they are fetched, and hands over what `taken` makes of it.

    As a class: where gradio changes a field, which a click on an example does, the visitor gets a new one of its class
    and loses what was replaced in the old one. Made past gradio's own metaclass, which would write a .pyi file beside
    this one.
    """

    async def keep_uploads_only(field, place):
        if str(place).startswith(("http://", "https://")):
            raise told("this page fetches nothing from the web: upload the file itself.")
        return await kind.async_move_resource_to_block_cache(field, place)

    def preprocess(field, payload):
        return None if payload is None else taken(payload, Path(field.GRADIO_CACHE))

    members = {"async_move_resource_to_block_cache": keep_uploads_only, "preprocess": preprocess}
    return ABCMeta.__new__(type(kind), kind.__name__, (kind,), members | {"__module__": kind.__module__})


def _named_paths(payload, uploads: Path) -> list[tuple[str, Path]]:
    return [(file.orig_name or Path(file.path).name, _path_of(file, uploads)) for file in payload.root]


def _bytes_of(payload, uploads: Path) -> bytes:
    """What was uploaded, pasted or photographed."""
    if payload.url and payload.url.startswith("data:"):
        try:
            content = base64.b64decode(payload.url.partition(",")[2])
        except ValueError as error:  # binascii.Error is one, letters that are not ASCII are another
            raise told("the picture did not arrive whole: send it again.") from error
        if len(content) > MAX_FILE_SIZE:
            raise told(f"the picture is too large: {MAX_FILE_SIZE // 2**20} MiB at most.")
        return content
    return _path_of(payload, uploads).read_bytes()


def _path_of(payload, uploads: Path) -> Path:
    path = Path(payload.path or "")
    if not (path.is_file() and path.resolve().is_relative_to(uploads.resolve())):
        raise told("no file came: upload one.")
    return path

"""The Gradio page with its tabs, and how it is served. `app.py` only launches it.

It keeps nothing of a visitor: uploads are deleted after minutes, there is no history, no flagging and no statistics.
"""

import ssl
import warnings
from collections.abc import Sequence

import gradio as gr
import torch

from fer_hub.demo import guard, markup, tabs, temporary_files
from fer_hub.demo.calls import Page
from fer_hub.errors import UserError
from fer_hub.hub.locate import DEFAULT_MODEL, shipped_names
from fer_hub.recognition.recognizer import EmotionRecognizer

TITLE = "FER Hub: facial expressions"
INTRODUCTION = f"""# {TITLE}

Finds the faces of a picture, a camera or a video and tells what each of them shows, in probabilities.
"""
LIMITS = """**An expression is not an emotion:** the model tells what a face shows, not what a person feels. It is often
wrong; the tab *About* says how often.

**Prohibited:** in the European Union, inferring the emotions of people at work or in education is forbidden, except for
medical or safety reasons (AI Act, Art. 5(1)(f)). Do not use this page for it.

Nothing that you show is kept: uploads are deleted after twenty minutes at most.
"""
KEPT = 600  # seconds that an upload stays on disk, at most twice as long
MAX_WAITING = 32  # people in the queue; one more is asked to come back later
# A camera goes on when another tab is opened, unseen: its button is pressed for the visitor.
STOP_CAMERA = """() => {
    for (const button of document.querySelectorAll("button")) if (button.textContent.trim() == "Stop") button.click();
}"""


def build(recognizers: dict[str, EmotionRecognizer]) -> gr.Blocks:
    """The page.

    Args:
        recognizers: by the names under which visitors can choose them; the first is the default.
    """
    recognizers = tabs.Recognizers(recognizers)
    with Page(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION)
        # Gradio refuses what is not among the choices, so visitors cannot make the server load anything.
        model = gr.Dropdown(list(recognizers), value=next(iter(recognizers)), label="Model")
        for name in ("Image", "Live", "Video", "Crops", "About"):
            with gr.Tab(name) as tab:
                getattr(tabs, name.lower())(recognizers, model)
            if name != "Live":
                tab.select(None, js=STOP_CAMERA, api_visibility="private")
        gr.Markdown(LIMITS)
    return page.queue(max_size=MAX_WAITING)


def launch(
    models: Sequence[str] = (),
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    ssl_certfile: str | None = None,
    ssl_keyfile: str | None = None,
) -> None:
    """Serves the page until it is stopped.

    Args:
        models: shipped names, folders or Hub ids that visitors can choose, besides the shipped models; the first is
            the default. Without any it is `DEFAULT_MODEL`.
        host: address to listen on; default: GRADIO_SERVER_NAME, which a Space sets, or this machine alone.
        port: default: GRADIO_SERVER_PORT, or the first free one from 7860.
        share: also give the page a public address, through gradio's servers.
        ssl_certfile: path of a certificate (PEM); with `ssl_keyfile` the page is served by https.
        ssl_keyfile: path of its private key (PEM), without a password.

    Raises:
        UserError: there is no such model, the port is taken, or the certificate cannot be used.
    """
    _require_certificate(ssl_certfile, ssl_keyfile)
    # PyTorch's threads spin while they wait: a second one gains little here, and beside another busy process it makes
    # a call take many times longer (docs/recognizer.md).
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata: a visitor's pictures are no lines of the log
    first = EmotionRecognizer.from_pretrained((models or [DEFAULT_MODEL])[0])
    recognizers = {(models or [DEFAULT_MODEL])[0]: first}
    for name in [*models[1:], *shipped_names()]:
        if name not in recognizers:
            recognizers[name] = EmotionRecognizer.from_pretrained(name, detector=first.detector)
    with temporary_files.folder() as folder:
        page = build(recognizers)
        try:
            with temporary_files.deleting_old(folder, KEPT):
                page.launch(
                    server_name=host,
                    server_port=port,
                    share=share,
                    ssl_certfile=ssl_certfile,
                    ssl_keyfile=ssl_keyfile,
                    ssl_verify=False,  # of gradio's question to its own server, which a self-signed one would fail
                    theme=gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")),
                    css=markup.CSS,
                    run_history=False,  # it would keep the faces in the visitor's browser
                    enable_monitoring=False,
                    max_file_size=guard.MAX_FILE_SIZE,
                    footer_links=["api", "gradio"],
                    app_kwargs=guard.options(guard.names_of(host, share)),
                )
        except OSError as error:
            reason = str(error).split(". ")[0].rstrip(".")
            raise UserError(
                f"the page cannot be served: {reason}. Another address or port: "
                "python app.py --host 127.0.0.1 --port 7870"
            ) from error
        finally:
            page.close(verbose=False)


def _require_certificate(certfile: str | None, keyfile: str | None) -> None:
    """Raises UserError where the server could not use them; it would look for a free port instead, for minutes."""
    if certfile is None and keyfile is None:
        return
    if certfile is None or keyfile is None:
        raise UserError("a certificate and its key belong together: --ssl_certfile cert.pem --ssl_keyfile key.pem")
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certfile, keyfile, password="")  # nosec B106  # or OpenSSL asks in the terminal
    except OSError as error:  # ssl.SSLError is one
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise UserError(
            f"the certificate {certfile} with the key {keyfile} cannot be used: {reason}. Both are PEM files, the key "
            f"without a password."
        ) from error

"""Serves the demo page: `python app.py`, then open the address that it prints."""

import argparse
import sys

from fer_hub.errors import UserError


def main() -> int:
    """Runs until it is stopped; returns the exit status."""
    parser = argparse.ArgumentParser(description="Serves the demo page.", allow_abbrev=False)
    parser.add_argument(
        "--model",
        nargs="+",
        default=[],
        help="shipped names, folders or Hub ids (user/name) that visitors can choose, the first one by default; "
        "default: fer-small",
    )
    parser.add_argument("--host", help="address to listen on (default: GRADIO_SERVER_NAME, or this machine alone)")
    parser.add_argument("--port", type=_port, help="default: GRADIO_SERVER_PORT, or the first free one from 7860")
    parser.add_argument("--share", action="store_true", help="also give it a public address, through gradio's servers")
    parser.add_argument("--ssl_certfile", help="certificate (PEM), to serve by https: a phone's camera needs it")
    parser.add_argument("--ssl_keyfile", help="its private key (PEM), without a password")
    given = parser.parse_args()
    try:
        from fer_hub.demo.page import launch  # takes seconds, which --help can do without

        launch(given.model, given.host, given.port, given.share, given.ssl_certfile, given.ssl_keyfile)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 1 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

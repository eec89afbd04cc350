"""`fer-hub` in this process."""

import contextlib
import io
import json

from fer_hub.cli.arguments import main
from fer_hub.errors import UserError


def command(*arguments: str) -> dict | str:
    """Run `fer-hub` in this process; what it printed, as JSON where that was asked for.

    Raises:
        UserError: with its message, where it ends so.
        RuntimeError: it ends otherwise, or says nothing.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(list(arguments))
    said = err.getvalue()
    if status == 0:
        return json.loads(out.getvalue(), parse_constant=_refuse) if "--json" in arguments else out.getvalue()
    if status != 2 or not said.strip():
        raise RuntimeError(f"exit status {status}, {said[-300:]}")
    raise UserError(said.strip())


def _refuse(name: str):
    raise RuntimeError(f"{name} in JSON")

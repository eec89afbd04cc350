"""The exceptions whose message is for people: command lines print it alone, where a traceback would hide it."""

import re

# A message fits a screen, whatever a stranger's file put into it.
MAX_LINES = 24
MAX_CHARACTERS = 80 * MAX_LINES
# What a terminal obeys instead of showing it (but line end and tab), what reverses text, and halves of UTF-16 pairs,
# which UTF-8 cannot hold; names of files that are not UTF-8 have such halves.
_NOT_SHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(ValueError):
    """A mistake that the user can mend: the message says what is wrong, where, and the line that fixes it.

    Command lines exit with status 2. The message is made fit to be shown: control characters are escaped, and the
    middle of a long one is left out.
    """

    def __init__(self, message: object = ""):
        super().__init__(printable(_shortened(str(message))))


class HubError(UserError):
    """The Hub could not do what it was asked, and nothing in the command is wrong.

    Command lines exit with status 1: the same line may succeed later.
    """


def printable(text: str) -> str:
    """Return the text with escapes in place of characters that must not reach a terminal or cannot be UTF-8."""
    return _NOT_SHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _shortened(text: str) -> str:
    """Return the beginning, which says what is wrong, and the end, which says how to mend it."""
    if len(text) > MAX_CHARACTERS:
        text = f"{text[:1300]} [... {len(text) - 1700:,} characters are left out ...] {text[-400:]}"
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        lines = [*lines[:14], f"[... {len(lines) - 20:,} lines are left out ...]", *lines[-6:]]
    return "\n".join(lines)

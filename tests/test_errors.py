"""Messages for people: no longer than a screen, and nothing in them that a terminal obeys."""

import pickle

import pytest

from fer_hub.errors import MAX_CHARACTERS, MAX_LINES, HubError, UserError, printable


@pytest.mark.parametrize("kind", [UserError, HubError])
@pytest.mark.parametrize(
    "filling",
    ["x" * 2_900_000, "line\n" * 5000, "\x00" * 10_000, "\n" * 100_000, "é" * 5000, "a\n" + "b" * 10_000],
    ids=["long line", "many lines", "control characters", "empty lines", "not ASCII", "short and long"],
)
def test_a_message_fits_a_screen_and_keeps_its_ends(kind, filling):
    message = str(kind(f"config.json is wrong: {filling}. Fetch it again."))
    assert message.count("\n") < MAX_LINES and len(message.replace(r"\x00", "0")) <= MAX_CHARACTERS
    assert message.startswith("config.json is wrong: ") and message.endswith(". Fetch it again.")
    assert "left out" in message


def test_short_messages_are_not_touched():
    text = "no model at ü: 'a\\x1b'.\n  a second line,\twith a tab: 日本語 👨‍👩‍👧"
    assert str(UserError(text)) == text
    assert str(UserError(UserError(text))) == text and str(pickle.loads(pickle.dumps(UserError(text)))) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\rb\x00", r"a\rb\x00"),
        ("\x9b31m", r"\x9b31m"),
        ("photo\udcff.jpg", r"photo\udcff.jpg"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
    ],
)
def test_control_characters_are_escaped(text, shown):
    assert printable(text) == str(UserError(text)) == shown

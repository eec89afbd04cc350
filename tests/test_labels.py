"""The order of the emotions, and the words that stand for them."""

import pytest

from fer_hub.errors import UserError
from fer_hub.labels import ALIASES, EMOTIONS, canonical_name, label_of


@pytest.mark.parametrize(
    ("label", "name"), list(enumerate(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")))
)
def test_order_is_that_of_fer2013_csv(label, name):
    assert len(EMOTIONS) == 7
    assert EMOTIONS[label] == name
    assert label_of(name) == label


@pytest.mark.parametrize(
    ("name", "emotion"),
    [
        ("anger", "angry"),
        ("disgusted", "disgust"),
        ("fearful", "fear"),
        ("happiness", "happy"),
        ("joy", "happy"),
        ("sadness", "sad"),
        ("surprised", "surprise"),
        ("neutrality", "neutral"),
    ],
)
def test_aliases(name, emotion):
    assert canonical_name(name) == emotion
    assert label_of(name) == EMOTIONS.index(emotion)


@pytest.mark.parametrize("name", ["SAD", "Sadness", " sad", "sad\n", "\tSADNESS "])
def test_case_and_surrounding_blanks_do_not_matter(name):
    assert canonical_name(name) == "sad"
    assert label_of(name) == 4


def test_no_alias_hides_an_emotion():
    assert not set(ALIASES) & set(EMOTIONS)
    assert set(ALIASES.values()) <= set(EMOTIONS)


@pytest.mark.parametrize("name", ["contempt", "", "sa d", "3"])
@pytest.mark.parametrize("function", [canonical_name, label_of])
def test_unknown_name_is_refused_with_the_known_ones(function, name):
    with pytest.raises(UserError) as caught:
        function(name)
    message = str(caught.value)
    assert f"unknown emotion {name!r}" in message
    for known in (*EMOTIONS, *ALIASES):
        assert known in message

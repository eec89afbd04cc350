"""The order of the emotions, and the words that stand for them."""

import pytest

from fer_hub.errors import UserError
from fer_hub.labels import ALIASES, EMOTIONS, canonical_name, match


@pytest.mark.parametrize(
    ("label", "name"), list(enumerate(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")))
)
def test_order_is_that_of_fer2013_csv(label, name):
    assert len(EMOTIONS) == 7
    assert EMOTIONS[label] == name


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


@pytest.mark.parametrize("name", ["SAD", "Sadness", " sad", "sad\n", "\tSADNESS "])
def test_case_and_surrounding_blanks_do_not_matter(name):
    assert canonical_name(name) == "sad"


def test_no_alias_hides_an_emotion():
    assert not set(ALIASES) & set(EMOTIONS)
    assert set(ALIASES.values()) <= set(EMOTIONS)


@pytest.mark.parametrize("name", ["contempt", "", "sa d", "3"])
def test_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(UserError) as caught:
        canonical_name(name)
    message = str(caught.value)
    assert f"unknown emotion {name!r}" in message
    for known in (*EMOTIONS, *ALIASES):
        assert known in message


@pytest.mark.parametrize(
    ("names", "others", "expected"),
    [
        (("angry", "happy"), ("Happiness", "Anger", "sad"), {"angry": "Anger", "happy": "Happiness"}),
        (("Cat", "dog"), ("cat ", "Dog"), {"Cat": "cat ", "dog": "Dog"}),
        (("anger", "angry"), ("angry", "anger"), {"anger": "anger", "angry": "angry"}),  # the same spelling comes first
        (("anger", "angry"), ("angry", "Anger"), {"angry": "angry"}),  # which one would it be?
        (("angry",), ("anger", "Anger"), {}),
        (("contempt",), EMOTIONS, {}),
    ],
)
def test_classes_are_matched_by_what_they_mean(names, others, expected):
    assert match(names, others) == expected

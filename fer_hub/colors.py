"""One colour for each expression, the same in every picture, figure and page; colour-blind people tell them apart.

The colours are those of Okabe and Ito 2008, "Color Universal Design", without black. The gray for neutral is dark: a
middle one is the purple of fear to people with deuteranopia. Colours are never the only sign: every box and line also
carries its name.
"""

from collections.abc import Sequence

from fer_hub.labels import key

_OF_EMOTION = {
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#F0E442",
    "sad": "#0072B2",
    "surprise": "#E69F00",
    "neutral": "#606060",
    "contempt": "#56B4E9",
}


def of(label_names: Sequence[str]) -> dict[str, str]:
    """The colour of each class, `#RRGGBB`.

    "Anger" has that of angry. Classes that are not among FER2013's and FER+'s take the colours that are left, in their
    order; more than eight classes share colours.
    """
    meanings = {name: key(name) for name in label_names}
    palette = [color for name, color in _OF_EMOTION.items() if name not in meanings.values()]
    palette = palette or list(_OF_EMOTION.values())
    unknown = [name for name, meaning in meanings.items() if meaning not in _OF_EMOTION]
    return {
        name: _OF_EMOTION.get(meaning) or palette[unknown.index(name) % len(palette)]
        for name, meaning in meanings.items()
    }

"""The types that parsed JSON must have, written down as such a value is: what was checked can be relied on."""

from types import UnionType
from typing import get_args


def require_shape(value: object, shape: object, where: str) -> None:
    """Make sure that what was parsed has the types that are expected.

    Args:
        value: as `parse_json` gives it.
        shape: a type or a union of types, where `float` takes whole numbers, too, and only `bool` takes bools;
            `[shape]`, a list of any length; a tuple of shapes, a list of this length; `{str: shape}`, an object with
            any keys; `{"key": shape, "key?": shape}`, an object with these keys, of which the second may be missing,
            and any other ones.
        where: what the message calls the value.

    Raises:
        ValueError: it has not; the message names the place.
    """
    if isinstance(shape, type | UnionType):
        if not _is_of(value, shape):
            raise ValueError(f"{where} is {_told(value)}, expected {_names(shape)}")
    elif isinstance(shape, list | tuple):
        if not isinstance(value, list):
            raise ValueError(f"{where} is {_told(value)}, expected a list")
        shapes = shape if isinstance(shape, tuple) else shape * len(value)
        if len(shapes) != len(value):
            raise ValueError(f"{where} has {len(value)} values, expected {len(shapes)}")
        for place, (inner, expected) in enumerate(zip(value, shapes, strict=True)):
            require_shape(inner, expected, f"{where}[{place}]")
    else:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {_told(value)}, expected an object")
        for name, expected in shape.items():
            if name is str:
                for key, inner in value.items():
                    require_shape(inner, expected, f"{where}.{key[:40]}")
            elif name.removesuffix("?") in value:
                require_shape(value[name.removesuffix("?")], expected, f"{where}.{name.removesuffix('?')}")
            elif not name.endswith("?"):
                raise ValueError(f"{where}.{name} is missing")


def _is_of(value: object, shape: object) -> bool:
    kinds = get_args(shape) or (shape,)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (isinstance(value, int) and float in kinds)


def _names(shape: object) -> str:
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object",
             list: "a list", type(None): "null"}  # fmt: skip
    return " or ".join(words[kind] for kind in get_args(shape) or (shape,))


def _told(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."

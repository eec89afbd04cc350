"""How a data set is read where it does not speak for itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """What the flags say about a data set.

    Attributes:
        image_column: the column of the pictures; None: found by its type or name.
        label_column: the column of the labels; None: `label`, `labels` or `emotion`.
        group_column: the column whose groups, such as persons, stay on one side when validation is split off.
        skip_unreadable: leave pictures out that cannot be read, instead of refusing the data set.
    """

    image_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    skip_unreadable: bool = False


AS_FOUND = Reading()

"""Numbers as Markdown tables, and into a page between two markers, so that no table of results is typed by hand."""

from collections.abc import Sequence
from pathlib import Path

from fer_hub.atomic_files import write_atomically
from fer_hub.errors import UserError


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table whose columns are aligned in a terminal too; without a line break at its end.

    Args:
        header: the columns.
        rows: as many cells each; line breaks become spaces, bars and comment signs are escaped.
    """
    cells = [[_cell(value) for value in row] for row in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def require_place(file: str | Path, name: str) -> tuple[str, str]:
    """Finds the lines `<!-- results:NAME -->` and `<!-- /results:NAME -->` of a Markdown file.

    Args:
        file: a Markdown file.
        name: of the markers.

    Returns:
        The text before the place, and the text behind it; the markers belong to the place.

    Raises:
        UserError: the file cannot be read, a marker is missing or stands there twice, or the end comes before the
            start.
    """
    file, (start, end) = Path(file), _markers(name)
    try:
        text = file.read_bytes().decode()  # not read_text, which would change the ends of lines
    except OSError as error:
        raise UserError(f"cannot open {file}: {error.strerror}. Name a Markdown file.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not text in UTF-8. Save it as such.") from error
    for marker in (start, end):
        if text.count(marker) != 1:
            raise UserError(
                f"{file} has {marker} {text.count(marker)} times, once is needed. "
                f"Mark the table's place by the lines {start} and {end}."
            )
    if text.index(end) < text.index(start):
        raise UserError(f"{file}: {end} stands before {start}. Swap them.")
    return text[: text.index(start)], text[text.index(end) + len(end) :]


def write_table(file: str | Path, name: str, table: str) -> bool:
    """Replaces what stands between the markers of `require_place`; all else stays, byte for byte.

    Args:
        file: a Markdown file.
        name: of the markers.
        table: as from `markdown`.

    Returns:
        Whether the file changed; the same table again changes nothing.

    Raises:
        UserError: as `require_place`, or the file cannot be written.
    """
    head, tail = require_place(file, name)
    before, (start, end) = Path(file).read_bytes(), _markers(name)
    line_end = "\r\n" if b"\r\n" in before else "\n"
    after = (head + line_end.join([start, *table.splitlines(), end]) + tail).encode()
    if after != before:
        write_atomically(Path(file), lambda temporary: temporary.write_bytes(after))
    return after != before


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- results:{name} -->", f"<!-- /results:{name} -->"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|").replace("<!--", "&lt;!--")

"""Numbers as Markdown tables, and into a page between two markers, so that no table of results is typed by hand."""

from collections.abc import Sequence
from pathlib import Path

from fer_hub.errors import UserError
from fer_hub.files import write_atomically


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


def write_table(file: str | Path, name: str, table: str) -> bool:
    """Replaces what stands between `<!-- results:NAME -->` and `<!-- /results:NAME -->`; all else stays, byte for byte.

    Args:
        file: a Markdown file.
        name: of the markers.
        table: as from `markdown`.

    Returns:
        Whether the file changed; the same table again changes nothing.

    Raises:
        UserError: the file cannot be read or written, a marker is missing or stands there twice, or the end comes
            before the start.
    """
    file, start, end = Path(file), f"<!-- results:{name} -->", f"<!-- /results:{name} -->"
    try:
        before = file.read_bytes().decode()  # not read_text, which would change the ends of lines
    except OSError as error:
        raise UserError(f"cannot open {file}: {error.strerror}. Name a Markdown file.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not text in UTF-8. Save it as such.") from error
    for marker in (start, end):
        if before.count(marker) != 1:
            raise UserError(
                f"{file} has {marker} {before.count(marker)} times, once is needed. "
                f"Mark the table's place by the lines {start} and {end}."
            )
    if before.index(end) < before.index(start):
        raise UserError(f"{file}: {end} stands before {start}. Swap them.")
    line_end = "\r\n" if "\r\n" in before else "\n"
    head, tail = before[: before.index(start)], before[before.index(end) :]
    after = head + line_end.join([start, *table.splitlines()]) + line_end + tail
    if after != before:
        write_atomically(file, lambda temporary: temporary.write_bytes(after.encode()))
    return after != before


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|").replace("<!--", "&lt;!--")

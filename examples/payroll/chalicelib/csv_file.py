"""Reads an uploaded CSV file into rows, each with its line number. What cannot be read is refused, in words."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from chalicelib.errors import FileRefused

COLUMNS = ("employee", "account", "month", "hours", "rate")

# A row: its line number, and its fields.
Row = tuple[int, list[str]]

_CORRECT = "Correct it, and upload the file again."


def read(content: bytes, most: int) -> list[Row]:
    """Return the rows below the header, each with its fields in the order of COLUMNS if it has as many.

    FileRefused if the file as a whole is no such file, or has more rows than `most`.
    """
    # strict: a quote in the wrong place is an error, and does not swallow the lines below it.
    lines = _numbered(csv.reader(io.StringIO(_text(content), newline=""), strict=True))
    order = _order([name.strip() for name in next(lines, (1, []))[1]])
    rows = [(line, _sorted(fields, order)) for line, fields in lines]
    if not rows:
        raise FileRefused("The file has no employees, only a header. Add a line for each, and upload it again.")
    if len(rows) > most:
        raise FileRefused(f"The file has {len(rows)} employees, and at most {most} fit. Upload it in parts.")
    return rows


def _text(content: bytes) -> str:
    """Return the text. Excel begins a file with a byte order mark, which is no part of the first column's name."""
    if not content.strip():
        raise FileRefused("The file is empty. Upload the file with the hours.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise FileRefused("The file is not a CSV file in UTF-8. Save it as CSV in UTF-8, and upload that.")
    return text


def _numbered(reader: Any) -> Iterator[Row]:
    """Yield the rows that are not blank, each with the line at which it begins: a quoted field may have several.

    Spreadsheets write a blank row as commas.
    """
    begins = 1
    try:
        for fields in reader:
            if any(map(str.strip, fields)):
                yield begins, fields
            begins = reader.line_num + 1
    except csv.Error:
        raise FileRefused(f"Line {begins} is not CSV: check its quotes. {_CORRECT}") from None


def _order(header: list[str]) -> list[int]:
    """Return where in a row each column is."""
    if sorted(header) == sorted(COLUMNS):
        return [header.index(column) for column in COLUMNS]
    missing = [column for column in COLUMNS if column not in header]
    # The header of a wrong file may be anything, also somebody's name: it is not repeated.
    found = f"{_listed(missing)} missing" if missing else f"there are {len(header)} columns"
    raise FileRefused(f"The columns must be {_listed(COLUMNS)}, separated by commas: {found}. {_CORRECT}")


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _sorted(fields: list[str], order: list[int]) -> list[str]:
    return [fields[at].strip() for at in order] if len(fields) == len(order) else fields

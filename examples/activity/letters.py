"""Letters as PDF, rendered page by page. No I/O here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from fpdf import FPDF

# In millimetres, and in points.
_MARGIN, _LINE, _FONT_SIZE = 25, 6, 11

# PDF's own fonts have the characters of this encoding. For others, add a TrueType font:
# https://py-pdf.github.io/fpdf2/Unicode.html
_ENCODING = "latin-1"

# The same letter has the same bytes, whoever renders it, and whenever.
_CREATED = datetime(2000, 1, 1, tzinfo=UTC)


class LetterRejected(Exception):
    """The letter cannot be rendered, however often it is tried; the text says why."""


@dataclass(frozen=True)
class Letter:
    """A letter, and the key that it gets in the bucket."""

    id: str
    key: str
    pages: tuple[str, ...]


def parse(task_input: str) -> Letter:
    """Return the letter of a task's input. LetterRejected if there is none in it, or one that no font here can show."""
    try:
        content = json.loads(task_input)
        found = content["letter"]
        letter = Letter(found["id"], content["key"], tuple(found["pages"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LetterRejected(f"the task's input is no letter: {error!r}") from None
    if not isinstance(found["pages"], list) or not all(isinstance(text, str) for text in letter.pages):
        raise LetterRejected("the letter's pages are no list of texts")
    for number, text in enumerate(letter.pages, start=1):
        _check(text, number)
    return letter


def _check(text: str, number: int) -> None:
    try:
        text.encode(_ENCODING)
    except UnicodeEncodeError as error:
        lacking = text[error.start]
        raise LetterRejected(f"page {number}: the font lacks {lacking!r} (U+{ord(lacking):04X})") from None


class Rendering:
    """A letter while it is being rendered. What is half done is in memory only, so a dead worker leaves nothing."""

    def __init__(self, letter: Letter) -> None:
        self._letter = letter
        self._pdf = FPDF()
        self._pdf.alias_nb_pages("")  # otherwise, "{nb}" in a letter becomes the number of its pages
        self._pdf.set_creation_date(_CREATED)
        self._pdf.set_margin(_MARGIN)
        self._pdf.set_font("helvetica", size=_FONT_SIZE)

    def pages(self) -> Iterator[int]:
        """Render one page after the other; yield the number of each when it is done."""
        for number, text in enumerate(self._letter.pages, start=1):
            self._pdf.add_page()
            self._pdf.multi_cell(0, _LINE, text)
            yield number

    def document(self) -> bytes:
        """Return the whole PDF."""
        return bytes(self._pdf.output())

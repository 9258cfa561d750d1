"""Links to lines of code: what stands in the link, in backquotes, is on the line that it leads to."""

import re
from pathlib import Path

_LINK = re.compile(r"\[`(?P<text>[^`\n]+)`\]\((?P<file>[^)#\s]+)#L\d+\)")


def corrected(document: Path) -> str:
    """Return a document with each link leading to the first line of its file that contains the link's text.

    ValueError names a text that its file does not contain.
    """

    def correct(link: re.Match[str]) -> str:
        text, file = link["text"], link["file"]
        return f"[`{text}`]({file}#L{_line(text, document.parent / file)})"

    return _LINK.sub(correct, document.read_text(encoding="utf-8"))


def _line(text: str, file: Path) -> int:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if text in line:
            return number
    raise ValueError(f"{file.name} has no line with: {text}")

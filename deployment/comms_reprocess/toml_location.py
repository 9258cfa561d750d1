"""Finds the line of a key in `application.toml`, so that people know what to change."""

import re

_KEY = re.compile(r"sources\[(?P<number>\d+)\](?:\.(?P<key>\w+))?|(?P<table>reprocess|auth)(?:\.(?P<name>\w+))?")
_TABLE = re.compile(r"\s*\[+\s*(\w+)")


def line_of(text: str, message: str) -> int | None:
    """Return the number of the line that an error message is about, counted from 1; None if it names no key."""
    named = _KEY.search(message)
    if not named:
        return None
    table, key = named["table"] or "sources", named["key"] or named["name"]
    return _find_line(text.splitlines(), table, int(named["number"] or 0), key)


def _find_line(lines: list[str], table: str, number: int, key: str | None) -> int | None:
    """Return the line of a key in a table; if the key is missing, that of the table."""
    found, inside, seen = None, False, -1
    for line_number, line in enumerate(lines, 1):
        header = _TABLE.match(line)
        if header:
            seen += header[1] == table and "." not in line.split("]")[0]
            inside = header[1] == table and seen == number
            found = line_number if inside and found is None else found
        elif inside and key and re.match(rf"\s*{key}\s*=", line):
            return line_number
    return found

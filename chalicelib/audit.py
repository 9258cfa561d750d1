"""The line in the log that says who changed what: ids and a token's name only."""

import json
import sys


def write(what: str, by: str, **about: object) -> None:
    """Write one line of JSON; Lambda keeps what a function prints in its log."""
    sys.stdout.write(json.dumps({"audit": what, "by": by, **about}) + "\n")

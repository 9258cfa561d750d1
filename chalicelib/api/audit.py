"""The audit line in the log for every change that somebody makes: ids, numbers and the name of a token only."""

import json
import sys


def log_change(route: str, by: str, **details: object) -> None:
    """Write one line of JSON; Lambda puts what a function prints into its log."""
    sys.stdout.write(json.dumps({"audit": route, "by": by, **details}) + "\n")

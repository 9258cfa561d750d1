"""Where the examples are."""

from pathlib import Path

EXAMPLES = Path(__file__).parent


def names() -> list[str]:
    """Return the names of all examples, which are those of their folders."""
    return sorted(file.parent.name for file in EXAMPLES.glob("*/description.py"))

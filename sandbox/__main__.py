"""`python -m sandbox demo|serve|fire|chaos`: what the Makefile's targets of the same names run."""

import logging
import sys

from sandbox import chaos, demo, serve

_COMMANDS = {"demo": demo.main, "serve": serve.serve, "fire": serve.fire, "chaos": chaos.main}


def main() -> int:
    """Run the command that is named; return its exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in _COMMANDS:  # noqa: PLR2004 (the program and one command)
        print(f"usage: python -m sandbox {'|'.join(_COMMANDS)}")
        return 2
    # moto logs each error that a state machine catches, pages long; what matters is in the functions' log.
    moto = logging.getLogger("moto")
    moto.addHandler(logging.NullHandler())
    moto.propagate = False
    return _COMMANDS[sys.argv[1]]()


if __name__ == "__main__":
    sys.exit(main())

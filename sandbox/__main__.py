"""The command line `python -m sandbox`, which the Makefile uses."""

import logging
import sys

from sandbox import demo, serve
from sandbox.chaos import experiment

_COMMANDS = {"demo": demo.main, "serve": serve.serve, "fire": serve.fire, "chaos": experiment.main}

_USAGE = """usage: python -m sandbox COMMAND

  demo    run the main job from end to end, in about a minute
  serve   run the whole system until Ctrl-C
  fire    fire the schedule of a running `serve`
  chaos   break everything at once for a minute, then check that nothing was lost or sent twice"""


def main() -> int:
    """Run the command in sys.argv and return its exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in _COMMANDS:  # noqa: PLR2004 (the program and one command)
        print(_USAGE)
        return 2
    # moto logs pages about each error that a state machine catches; what matters is in the functions' log.
    moto = logging.getLogger("moto")
    moto.addHandler(logging.NullHandler())
    moto.propagate = False
    return _COMMANDS[sys.argv[1]]()


if __name__ == "__main__":
    sys.exit(main())

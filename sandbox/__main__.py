"""The command line `python -m sandbox`, which the Makefile uses."""

import argparse
import logging
import sys
from pathlib import Path

from sandbox import demo, screenshots, serve
from sandbox.chaos import experiment


def main() -> int:
    """Run the command in sys.argv and return its exit code."""
    options = _parser().parse_args()
    # moto logs pages about each error that a state machine catches; what matters is in the functions' log.
    moto = logging.getLogger("moto")
    moto.addHandler(logging.NullHandler())
    moto.propagate = False
    exit_code: int = options.run(options)
    return exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="The whole system on this machine.")
    commands = parser.add_subparsers(required=True, metavar="command")
    add = commands.add_parser
    add("demo", help="run the main job from end to end, in about a minute").set_defaults(run=lambda _: demo.main())
    served = add("serve", help="run the whole system until Ctrl-C")
    served.add_argument("application", nargs="?", type=Path, help="an application.toml, to use your own application")
    served.set_defaults(run=lambda options: serve.serve(options.application))
    add("fire", help="fire the schedule of a running `serve`").set_defaults(run=lambda _: serve.fire())
    pictures = add("screenshots", help="take pictures of the page's screens for the documents")
    pictures.set_defaults(run=lambda _: screenshots.main())
    chaos = add("chaos", help="break everything at once for a minute, then check that nothing was lost or sent twice")
    chaos.set_defaults(run=lambda _: experiment.main())
    return parser


if __name__ == "__main__":
    sys.exit(main())

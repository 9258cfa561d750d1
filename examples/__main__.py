"""`make example NAME=...` and `make examples`: run examples from end to end on an embedded AWS."""

import argparse
import importlib
import logging
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from examples import folders
from sandbox.deployed import Deployed
from sandbox.project import ROOT

_FILES = ROOT / ".sandbox" / "examples"
_INTERRUPTED = 130  # as a shell says of a program that Ctrl-C has ended


def main() -> int:
    """Run the demos of the examples in sys.argv, or of all; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples", description="Run examples from end to end.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    names = parser.parse_args().names or folders.names()
    if unknown := sorted(set(names) - set(folders.names())):
        parser.error(f"there is no example {unknown[0]!r}; there are {', '.join(folders.names())}")
    _silence_moto()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    return next(filter(None, (guarded(name, _FILES / name, partial(_run, name)) for name in names)), 0)


def _silence_moto() -> None:
    """Keep moto from logging pages about each error that a state machine catches."""
    moto = logging.getLogger("moto")
    moto.addHandler(logging.NullHandler())
    moto.propagate = False


def _interrupt(*_: object) -> NoReturn:
    """End the demo. From now on, nothing interrupts what stops its processes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def guarded(name: str, folder: Path, run: Callable[[], None]) -> int:
    """Run a demo; return the exit code. What goes wrong is one sentence here, and the whole of it in `folder`."""
    try:
        run()
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 (whatever it is, a person reads it)
        log = folder / "error.log"
        folder.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
        print(f"\n{name} went wrong: {_last_line(error)}. The rest is in {log}.", file=sys.stderr)
        return 1
    return 0


def _last_line(error: Exception) -> str:
    """Return the end of what an error says: of deploy.py, it is the reason."""
    lines = str(error).strip().splitlines()
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _run(name: str) -> None:
    """Run an example's demo on an empty AWS. The demo itself configures and deploys the project."""
    folder, began = _FILES / name, time.monotonic()
    demo = importlib.import_module(f"examples.{name}.demo")
    print(f"== {name}: {demo.__doc__}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    with Deployed(folder, source=folders.EXAMPLES / name) as deployed:
        demo.run(deployed)
    took = f"{time.monotonic() - began:.0f} s"
    print(f"\nEverything went as it should, in {took}. Logs: {folder.relative_to(ROOT)}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""How the demos talk: numbered steps, what happens in each and why, and what they wait for."""

import textwrap
import time
from collections.abc import Callable, Mapping

from sandbox.deployed import Deployed

_WIDTH, _INDENT = 110, "   "
_PATIENCE_S, _PAUSE_S = 90.0, 0.2


class DemoFailed(Exception):
    """Something did not happen as it should. The text is a sentence without a full stop."""


class Story:
    """Prints a demo's steps."""

    def __init__(self) -> None:
        self._steps = 0

    def step(self, title: str, why: str) -> None:
        """Begin a step: what is done, and what that is good for."""
        self._steps += 1
        print(f"\n{self._steps}. {title}")
        self.say(why)

    def say(self, text: str) -> None:
        """Say something, in lines of equal length."""
        print(textwrap.fill(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT), flush=True)

    def quote(self, text: str) -> None:
        """Show a text as it is, such as a mail or a file."""
        for line in text.strip().splitlines():
            print(f"{_INDENT}| {line}".rstrip(), flush=True)

    def wait(self, what: str, condition: Callable[[], object], seconds: float = _PATIENCE_S) -> None:
        """Wait until something is true, and say how long it took. DemoFailed if it takes too long."""
        print(f"{_INDENT}Waiting until {what} ... ", end="", flush=True)
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                print("in vain")
                raise DemoFailed(f"waited {seconds:.0f} seconds in vain until {what}")
            time.sleep(_PAUSE_S)
        print(f"{time.monotonic() - began:.0f} s", flush=True)

    def check(self, what: str, found: object, expected: object) -> None:
        """Go on if something is as it should be. Otherwise DemoFailed says how it differs."""
        if found != expected:
            raise DemoFailed(f"{what}: expected {expected!r}, found {found!r}")

    def deploy(self, deployed: Deployed, variables: Mapping[str, str]) -> None:
        """Take the first step of every demo."""
        self.step("Deploy it", "deploy.py does what it would do to your account, but to an AWS on this machine.")
        deployed.configure(variables)
        printed = deployed.deploy().splitlines()
        self.say("It says: " + next(line for line in printed if line.startswith("Done:")))

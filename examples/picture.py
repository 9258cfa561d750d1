"""Draws the state machines of examples: `python -m examples.picture NAME...` writes `statemachine.svg`; default: all.

A dashed line is an error that is caught. A box around states is a Parallel or a Map.
"""

import hashlib
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs import graphviz
from examples import folders

_SHAPES = {"Choice": "diamond", "Succeed": "oval", "Fail": "oval", "Wait": "hexagon", "Pass": "plain"}
_HEAD = """digraph {
  compound=true; rankdir=TB; ordering=out; nodesep=0.25; ranksep=0.35; bgcolor="white"
  node [fontname="Helvetica", fontsize=11, shape=box, style="rounded,filled", fillcolor="#eef3fb", color="#3b5b92"]
  edge [fontname="Helvetica", fontsize=9, color="#444444"]
  graph [fontname="Helvetica", fontsize=11]
"""

_LINE = 12  # characters

State = dict[str, Any]


def dot(definition: dict[str, Any]) -> str:
    """Return a state machine as a graph in Graphviz's language."""
    lines = [*_machine(definition, "start"), *_edges(definition["States"])]
    return _HEAD + "\n".join(f"  {line}" for line in lines) + "\n}\n"


def _machine(machine: dict[str, Any], start: str) -> Iterator[str]:
    """Yield the nodes of a state machine, or of a branch or Map in one."""
    yield f'"{start}" [shape=circle, label="", width=0.15, fillcolor="#3b5b92"]'
    first = machine["StartAt"]
    yield _edge(start, first, machine["States"][first])
    for name, state in machine["States"].items():
        yield from _node(name, state)


def _node(name: str, state: State) -> Iterator[str]:
    inner = _inner(state)
    if not inner:
        shape, fill = _SHAPES.get(state["Type"], "box"), _fill(state["Type"])
        yield f'"{name}" [label="{_words(name)}", shape={shape}, fillcolor="{fill}"]'
        return
    yield f'subgraph "cluster_{name}" {{'
    yield f'label="{_words(name)} ({state["Type"]})"; style=rounded; color="#3b5b92"'
    for number, machine in enumerate(inner):
        yield from _machine(machine, _start(name, number))
        yield from _ending(machine["States"], _end(name))
    yield "}"
    for machine in inner:
        yield from _edges(machine["States"])


def _ending(states: dict[str, State], end: str) -> Iterator[str]:
    """Yield what nobody sees: an end below all states of a box, so that what follows is drawn below it."""
    yield f'"{end}" [style=invis, shape=point]'
    for name, state in states.items():
        if not list(_transitions(state)) or state.get("End"):
            yield f'"{_source(name, state)}" -> "{end}" [style=invis]'


def _edges(states: dict[str, State]) -> Iterator[str]:
    """Yield the edges between the states of one level."""
    for name, state in states.items():
        for target, style in _transitions(state):
            yield _edge(_source(name, state), target, states[target], _tail(name, state) + style)


def _transitions(state: State) -> Iterator[tuple[str, str]]:
    """Yield each state that may follow, once, and what is special about its line."""
    caught = {each["Next"] for each in state.get("Catch", [])}
    usual = {each["Next"] for each in state.get("Choices", [])}
    usual |= {state[name] for name in ("Next", "Default") if name in state}
    for target in sorted(usual):
        yield target, ""
    for target in sorted(caught - usual):
        yield target, 'style=dashed, color="#b3261e"'


def _edge(source: str, target: str, state: State, attributes: str = "") -> str:
    head = f'lhead="cluster_{target}", ' if _inner(state) else ""
    return f'"{source}" -> "{_anchor(target, state)}" [{head}{attributes}]'


def _anchor(name: str, state: State) -> str:
    """Return the node that stands for a state: for a Parallel or a Map, the start of what is in the middle of it."""
    inner = _inner(state)
    return _start(name, len(inner) // 2) if inner else name


def _source(name: str, state: State) -> str:
    """Return the node from which a state's lines start: for a Parallel or a Map, its end."""
    return _end(name) if _inner(state) else name


def _tail(name: str, state: State) -> str:
    return f'ltail="cluster_{name}", ' if _inner(state) else ""


def _start(name: str, number: int) -> str:
    return f"{name} {number}"


def _end(name: str) -> str:
    return f"{name} end"


def _inner(state: State) -> list[dict[str, Any]]:
    """Return the state machines in a Parallel or a Map."""
    processor = state.get("ItemProcessor", state.get("Iterator"))
    return [processor] if processor else list(state.get("Branches", []))


def _words(name: str) -> str:
    """Return a state's name as words, on two lines if they are long."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return r"\n".join(textwrap.wrap(words, max(_LINE, len(words) // 2 + 2)))


def _fill(kind: str) -> str:
    return {"Fail": "#fbe9e7", "Succeed": "#e6f4ea", "Choice": "#fff8e1"}.get(kind, "#eef3fb")


def source_mark(definition: Path) -> str:
    """Return the comment by which a picture says what it was drawn from."""
    drawn_by = Path(__file__).read_bytes() + definition.read_bytes()
    return f"<!-- drawn from statemachine.json, SHA-256 {hashlib.sha256(drawn_by).hexdigest()} -->\n"


def draw(folder: Path) -> None:
    """Draw the state machine in a folder."""
    definition = folder / "statemachine.json"
    drawn = graphviz.svg(dot(json.loads(definition.read_text(encoding="utf-8"))))
    (folder / "statemachine.svg").write_text(drawn + source_mark(definition), encoding="utf-8")


def main() -> None:
    """Draw the state machines of the examples in sys.argv, or of all."""
    for name in sys.argv[1:] or folders.names():
        draw(folders.EXAMPLES / name)


if __name__ == "__main__":
    main()

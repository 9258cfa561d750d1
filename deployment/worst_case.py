"""Whether the worst case of a batch fits into its child workflow: refused before anything is deployed if not."""

from collections.abc import Iterator
from typing import Any

from chalicelib.errors import ConfigurationError

# The five minutes of an EXPRESS workflow (AWS Step Functions Developer Guide, "Quotas": maximum execution time).
LIMIT = 300

# What a Lambda needs beside the POSTs: to claim, to read the secret, to write the answer down. In seconds.
_BESIDE = 5

# The states of a child, and the Lambda that each calls. All of a batch are reprocessed at once (see
# chalicelib.executions.batch_size), so the worst case of a batch is that of one communication.
_CHILD = {"CheckSwitch": None, "Reprocess": "reprocess", "RecordBatch": "record"}


def states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every state of a definition with its name, those inside of Maps included."""
    for name, state in machine["States"].items():
        yield name, state
        yield from states(state.get("ItemProcessor", {"States": {}}))


def longest(state: dict[str, Any]) -> float:
    """Return how many seconds a Task can take: each try its timeout, each wait its longest."""
    waits, tries = 0.0, 1
    for retry in state["Retry"]:
        tries += retry["MaxAttempts"]
        waits += sum(retry["IntervalSeconds"] * retry["BackoffRate"] ** n for n in range(retry["MaxAttempts"]))
    return float(tries * state["TimeoutSeconds"] + waits)


def check(machine: dict[str, Any], lambda_timeouts: dict[str, int], post_timeout: float) -> None:
    """Raise ConfigurationError, with the arithmetic, if deadlines do not nest or a batch may outlast its child.

    `lambda_timeouts` are the seconds of each function, `post_timeout` those of reprocess.timeout in application.toml.
    """
    by_name = dict(states(machine))
    # Two POSTs: after a 401 the secret is read again.
    if 2 * post_timeout + _BESIDE > lambda_timeouts["reprocess"]:
        raise ConfigurationError(
            f"two POSTs of {post_timeout:g} s (there is a second one after a 401) and {_BESIDE} s beside them do not "
            f"fit into the {lambda_timeouts['reprocess']} s of the function reprocess: lower reprocess.timeout in "
            "application.toml"
        )
    for state, function in _CHILD.items():
        if function and lambda_timeouts[function] >= by_name[state]["TimeoutSeconds"]:
            raise ConfigurationError(
                f"{state} gives up after {by_name[state]['TimeoutSeconds']} s (statemachine.json), before its function "
                f"{function} does ({lambda_timeouts[function]} s, .chalice/config.json): give the state more time"
            )
    parts = {name: longest(by_name[name]) for name in _CHILD}
    if sum(parts.values()) >= LIMIT:
        sums = " + ".join(f"{name} {seconds:g}" for name, seconds in parts.items())
        raise ConfigurationError(
            f"a batch may take {sum(parts.values()):g} s ({sums}), and its child has {LIMIT} s: "
            "lower TimeoutSeconds or MaxAttempts in statemachine.json"
        )

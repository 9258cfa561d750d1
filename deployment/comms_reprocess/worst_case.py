"""Checks that the worst case of a batch fits into its child workflow, before anything is deployed."""

from collections.abc import Iterator
from typing import Any

from chalicelib.application.config_rules import BESIDES_POSTS
from chalicelib.errors import ConfigurationError
from chalicelib.ledger.pace import LATE_S, WINDOW_S

# In seconds: how long an EXPRESS workflow may take (AWS Step Functions Developer Guide, "Quotas").
LIMIT = 300

# In seconds: how long a throttled call takes. AWS refuses it before the function begins.
REFUSED = 0.5
_THROTTLED = ["Lambda.TooManyRequestsException"]

# The states of a child, and the Lambda that each calls. A batch is sent all at once (see
# chalicelib.settings.Settings.communications_per_batch), so its worst case is that of one communication.
_CHILD = {"BeginBatch": "begin", "Reprocess": "reprocess", "RecordBatch": "record"}


def states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every state of a definition with its name, including those inside Maps."""
    for name, state in machine["States"].items():
        yield name, state
        yield from states(state.get("ItemProcessor", {"States": {}}))


def longest(state: dict[str, Any]) -> float:
    """Return how many seconds a Task can take: all attempts at their timeout, and all waits at their longest."""
    timeout = float(state["TimeoutSeconds"])
    total = timeout
    for retry in state["Retry"]:
        attempt = REFUSED if retry["ErrorEquals"] == _THROTTLED else timeout
        total += sum(attempt + _wait(retry, number) for number in range(retry["MaxAttempts"]))
    return total


def _wait(retry: dict[str, Any], number: int) -> float:
    """Return the longest wait before a retry, in seconds; a retrier without a MaxDelaySeconds has no cap."""
    wait: float = retry["IntervalSeconds"] * retry["BackoffRate"] ** number
    cap: float = retry.get("MaxDelaySeconds", wait)
    return min(wait, cap)


def check(machine: dict[str, Any], lambda_timeouts: dict[str, int], post_timeout: float) -> None:
    """Raise ConfigurationError, with the arithmetic, if deadlines do not nest or a batch may outlast its child.

    `lambda_timeouts` are the functions' timeouts, `post_timeout` is reprocess.timeout in application.toml. In seconds.
    """
    by_name = dict(states(machine))
    # Two POSTs: after a 401 the secret is read again.
    if 2 * post_timeout + BESIDES_POSTS > lambda_timeouts["reprocess"]:
        raise ConfigurationError(
            f"two POSTs of {post_timeout:g} s (the second follows a 401) and {BESIDES_POSTS} s of other work do not "
            f"fit into the {lambda_timeouts['reprocess']} s timeout of the function reprocess: lower reprocess.timeout "
            "in application.toml"
        )
    for state, function in _CHILD.items():
        if lambda_timeouts[function] >= by_name[state]["TimeoutSeconds"]:
            raise ConfigurationError(
                f"{state} times out after {by_name[state]['TimeoutSeconds']} s (statemachine.json), before its "
                f"function {function} does ({lambda_timeouts[function]} s, .chalice/config.json): raise the first or "
                "lower the second"
            )
    # However often a batch asks for its turn: it gets one only if it has entered BeginBatch by then, and its last
    # communication waits for what is left of the window at most.
    parts = {name: longest(by_name[name]) for name in _CHILD} | {"waiting for its turn": WINDOW_S + LATE_S}
    if sum(parts.values()) >= LIMIT:
        sums = " + ".join(f"{name} {seconds:g}" for name, seconds in parts.items())
        raise ConfigurationError(
            f"a batch may take {sum(parts.values()):g} s ({sums}), but its child has {LIMIT} s: "
            "lower TimeoutSeconds or MaxAttempts in statemachine.json"
        )

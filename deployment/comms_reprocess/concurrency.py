"""Whether the account lets as many functions run at once as a stage needs."""

from collections.abc import Iterable

from botocore.exceptions import BotoCoreError, ClientError

from deployment.clients import Clients
from deployment.comms_reprocess import configuration
from deployment.stage import Stage


def warning(stage: Stage, clients: Clients) -> str | None:
    """Return what to do if the account's limit is too low; None if it is high enough.

    New accounts may have a limit of 10 (AWS Lambda Developer Guide, "Lambda quotas").
    """
    try:
        limit = clients("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    except (BotoCoreError, ClientError) as error:
        return f"Whether the account's concurrency is enough is not known: {error}"
    needed = _needed(configuration.settings(stage).concurrency, stage.description.functions, stage.reserved)
    if needed <= limit:
        return None
    return (
        f"Warning: this account runs {limit} functions at once, but a run needs up to {needed}: CONCURRENCY and one of "
        "each other function. What is above the limit is throttled and tried again, so runs are slow and may leave "
        'communications for later. Have "Concurrent executions" of AWS Lambda raised in Service Quotas, or lower '
        "CONCURRENCY in .chalice/config.json."
    )


def _needed(concurrency: int, functions: Iterable[str], reserved: set[str]) -> int:
    """Return how many executions a run needs of those that are not reserved for a function.

    Of `reprocess`, or in its place `begin` or `record`, up to `CONCURRENCY`; of each other function one. A second run
    at the same time needs as many again.
    """
    others = set(functions) - {"begin", "reprocess", "record"}
    return (0 if "reprocess" in reserved else concurrency) + len(others - reserved)

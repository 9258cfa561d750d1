"""What deploy.py deploys here: the functions, resources and permissions of comms-reprocess."""

import json
from functools import partial

from chalicelib import __version__
from chalicelib.names import Names
from deployment import definition
from deployment.comms_reprocess import (
    alarms,
    concurrency,
    configuration,
    function_policies,
    secret_policy,
    status,
    worst_case,
)
from deployment.comms_reprocess.page import page
from deployment.comms_reprocess.state_machine import state_machine
from deployment.comms_reprocess.storage import LEDGER, MANIFESTS
from deployment.description import DEPLOYER, Description, Function
from deployment.iam_policy import Json, allow
from deployment.stage import Stage

_FUNCTIONS = {
    "api_handler": Function("app.app"),
    "authorizer": Function(authorizer=True),
    # A failed collector notifies people itself, and runs again soon.
    "collector": Function(scheduled=True, retried=False),
    "begin": Function("app.begin_batch"),
    "reprocess": Function(),
    "record": Function("app.record_batch"),
    "report": Function("app.report_run"),
    "request_approval": Function(),
}


def describe(stage: Stage, names: Names) -> Description:
    """Return what comms-reprocess consists of. ConfigurationError names a setting that is wrong."""
    return Description(
        functions=_FUNCTIONS,
        permissions=partial(_permissions, stage, names),
        tables=[LEDGER],
        buckets=[MANIFESTS],
        topics=["succeeded", "failed"],
        alarms=alarms.alarms(names, configuration.settings(stage)),
        state_machine=state_machine(names),
        page=page(names, configuration.settings(stage)),
        version=__version__,
        follows_from="application.toml",
        check=partial(_check, stage),
        warning=partial(concurrency.warning, stage),
        status=partial(status.rows, stage),
        commands=("check", "token"),
    )


def _permissions(stage: Stage, names: Names) -> dict[str, list[Json]]:
    auth = configuration.application(stage).auth
    # `deploy` asks for the account's limit, which has no name.
    deployer = [*secret_policy.statements(auth), allow("lambda:GetAccountSettings", "*")]
    return function_policies.statements(names, auth) | {DEPLOYER: deployer}


def _check(stage: Stage) -> None:
    """Refuse mistakes in application.toml, and timeouts that cannot hold."""
    application = configuration.application(stage)
    machine = definition.read(stage.project, stage.description.state_machine)
    worst_case.check(json.loads(machine), stage.timeouts, application.reprocess.timeout)

#!/usr/bin/env python3
"""Deploy comms-reprocess: run `chalice deploy`, and create what it does not (table, bucket, topics, state machine ...).

With `--project`, deploy another project: a folder with .chalice/config.json, app.py, statemachine.json and a
description.py, which says what it consists of.

.venv/bin/python deploy.py check --stage dev
.venv/bin/python deploy.py plan --stage dev
.venv/bin/python deploy.py deploy --stage dev --notify someone@example.com
.venv/bin/python deploy.py status --stage dev
.venv/bin/python deploy.py token add --stage dev --name support --role operator
.venv/bin/python deploy.py token list --stage dev
.venv/bin/python deploy.py token revoke --stage dev --id 0123456789ab
.venv/bin/python deploy.py destroy --stage dev
.venv/bin/python deploy.py stage add prod
.venv/bin/python deploy.py stage update prod
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from chalicelib import __version__
from chalicelib.errors import ConfigurationError
from chalicelib.ledger.tokens import ROLES
from deployment import api, definition, destroy, functions, policies, resources, stages, status, template
from deployment.clients import Clients
from deployment.comms_reprocess import check, tokens
from deployment.functions import ChaliceFailed
from deployment.plan import Plan
from deployment.stage import Stage, current_location
from deployment.steps import StepFailed, summary, take

# Errors that end a command with one sentence.
_REFUSALS = (ConfigurationError, StepFailed, ChaliceFailed, ValueError, status.NotDeployed, destroy.Declined)

_Commands = argparse._SubParsersAction  # noqa: SLF001 (argparse has no public name for what add_subparsers returns)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 refused or failed, with the reason on standard error."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except _REFUSALS as error:
        print(f"deploy.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndeploy.py: interrupted. Run the same command again; it continues where it stopped.", file=sys.stderr)
        return 130
    return 0


def _on_stage(run: Callable[[Stage, argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    """Return a command that works on a stage in the account of the caller's credentials."""
    return lambda options: run(Stage(options.project, options.stage, current_location()), options)


def _on_comms_reprocess(
    command: str, run: Callable[[Stage, argparse.Namespace], None]
) -> Callable[[argparse.Namespace], None]:
    """Return a command on a stage that a project has only if its description says so."""

    def refuse_or_run(stage: Stage, options: argparse.Namespace) -> None:
        if command not in stage.description.commands:
            raise ConfigurationError(f"{stage.app_name} has no command {command!r}: it is for comms-reprocess only")
        run(stage, options)

    return _on_stage(refuse_or_run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploy.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"comms-reprocess {__version__}")
    checkout = argparse.ArgumentParser(add_help=False)
    checkout.add_argument(
        "--project", type=Path, default=Path(__file__).parent, help="the folder to deploy (default: this checkout)"
    )
    common = argparse.ArgumentParser(add_help=False, parents=[checkout])
    common.add_argument("--stage", required=True, help="a stage in .chalice/config.json")
    commands = parser.add_subparsers(required=True, metavar="command")
    checked = commands.add_parser("check", parents=[common], help="show what the application lists; changes nothing")
    checked.set_defaults(run=_on_comms_reprocess("check", _check))
    _add_deployment(commands, common)
    _add_tokens(commands, common)
    _add_stages(commands, checkout)
    return parser


def _add_deployment(commands: "_Commands[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    wanted = argparse.ArgumentParser(add_help=False)
    wanted.add_argument("--notify", action="append", default=[], metavar="EMAIL", help="who gets the mails; repeatable")
    wanted.add_argument(
        "--child-execution-type",
        default=definition.EXPRESS,
        choices=["EXPRESS", "STANDARD"],
        help="the type of the child workflows (default: EXPRESS, far cheaper; the sandbox needs STANDARD)",
    )
    plan = commands.add_parser("plan", parents=[common, wanted], help="show what deploy would do; changes nothing")
    plan.set_defaults(run=_on_stage(_plan))
    deploy = commands.add_parser("deploy", parents=[common, wanted], help="create or update everything; repeatable")
    deploy.set_defaults(run=_on_stage(_deploy))
    show = commands.add_parser("status", parents=[common], help="show what is deployed, and how it is doing")
    show.set_defaults(run=_on_stage(lambda stage, _: status.show(stage, Clients())))
    cloud = commands.add_parser("template", parents=[common], help="write a CloudFormation template")
    cloud.add_argument("--notify", action="append", default=[], metavar="EMAIL", help="who gets the mails; repeatable")
    cloud.add_argument("--out", type=Path, default=Path("template.json"), help="the file (default: template.json)")
    cloud.set_defaults(run=_on_stage(_template))
    remove = commands.add_parser("destroy", parents=[common], help="remove everything, after asking")
    remove.add_argument("--with-data", action="store_true", help="also remove the table and the bucket")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.set_defaults(run=_on_stage(_destroy))


def _add_tokens(commands: "_Commands[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    token = commands.add_parser("token", help="manage the tokens for the API")
    verbs = token.add_subparsers(required=True, metavar="verb")
    add = verbs.add_parser("add", parents=[common], help="create a token and show it once")
    add.add_argument("--name", required=True, help="its owner's name, shown with each run that they request")
    add.add_argument(
        "--role", required=True, choices=ROLES, help="viewers read, operators also act, approvers also approve"
    )
    add.add_argument("--days", type=int, default=90, help="how long it is valid (default: 90)")
    add.set_defaults(run=_on_comms_reprocess("token", tokens.add))
    listed = verbs.add_parser("list", parents=[common], help="list the tokens by id, without showing them")
    listed.set_defaults(run=_on_comms_reprocess("token", tokens.show))
    revoke = verbs.add_parser("revoke", parents=[common], help="revoke a token, with immediate effect")
    revoke.add_argument("--id", required=True, help="as shown by `token list`")
    revoke.set_defaults(run=_on_comms_reprocess("token", tokens.revoke))


def _add_stages(commands: "_Commands[argparse.ArgumentParser]", checkout: argparse.ArgumentParser) -> None:
    stage = commands.add_parser("stage", help="add a stage, or write its policies; needs no AWS account")
    verbs = stage.add_subparsers(required=True, metavar="verb")
    add = verbs.add_parser("add", parents=[checkout], help="add a stage to .chalice/config.json, with its policies")
    add.add_argument("name", help="the name of the new stage")
    add.add_argument("--like", help="the stage whose settings it gets (default: the first one)")
    add.set_defaults(run=stages.add)
    update = verbs.add_parser(
        "update", parents=[checkout], help="write the policies that follow from application.toml and config.json"
    )
    update.add_argument("name", help="a stage in .chalice/config.json")
    update.set_defaults(run=stages.update)


def _deploy(stage: Stage, options: argparse.Namespace) -> None:
    _check_files(stage)
    location = stage.names.location
    name = f"{stage.names.prefix} {stage.description.version}".rstrip()
    print(f"Deploying {name} to account {location.account}, {location.region}")
    clients = Clients()
    _warn(stage.description.warning(clients))
    chalice = partial(functions.ensure, clients, stage)
    steps = resources.steps(stage, clients, options.notify, options.child_execution_type, chalice)
    print(f"Done: {summary(take(steps))}.")
    if stage.description.has_api:
        print(f"API: {status.api_url(clients('apigateway'), stage)}")
    if stage.description.page:
        print(f"Page: {api.page_address(clients('apigateway'), stage)}/")


def _plan(stage: Stage, options: argparse.Namespace) -> None:
    _check_files(stage)
    location = stage.names.location
    print(f"What deploy would do to {stage.names.prefix} in account {location.account}, {location.region}")
    plan = Plan()
    _warn(stage.description.warning(plan.clients))
    compare = partial(functions.compare, plan.clients, stage)
    plan.show(resources.steps(stage, plan.clients, options.notify, options.child_execution_type, compare))


def _warn(warning: str | None) -> None:
    if warning:
        print(warning)


def _template(stage: Stage, options: argparse.Namespace) -> None:
    _check_files(stage)
    template.write(stage, options.notify, options.out.write_text)


def _check_files(stage: Stage) -> None:
    """Refuse what the project itself refuses, and outdated policies: nothing is changed yet."""
    stage.description.check()
    policies.check(stage)


def _check(stage: Stage, _: argparse.Namespace) -> None:
    problems = check.check(stage)
    if problems:
        raise StepFailed(f"{problems} problem(s) found; nothing was changed")
    print("\nNo problem found; nothing was changed.")


def _destroy(stage: Stage, options: argparse.Namespace) -> None:
    clients = Clients()
    steps = resources.steps(stage, clients, [], definition.EXPRESS, partial(functions.ensure, clients, stage))
    ask = _agree(stage) if options.yes else _ask
    destroy.destroy(steps, stage.names.prefix, with_data=options.with_data, ask=ask)


def _agree(stage: Stage) -> destroy.Ask:
    return lambda _question: stage.names.prefix


def _ask(question: str) -> str:
    try:
        return input(question)
    except EOFError:
        return ""


if __name__ == "__main__":
    sys.exit(main())

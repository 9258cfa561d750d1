#!/usr/bin/env python3
"""Deploy comms-reprocess: what `chalice deploy` does not do (table, bucket, topics, role, state machine), around it.

python deploy.py plan --stage dev
python deploy.py deploy --stage dev --notify someone@example.com
python deploy.py check --stage dev
python deploy.py status --stage dev
python deploy.py token add --stage dev --name support --role operator
python deploy.py token list --stage dev
python deploy.py token revoke --stage dev --id 0123456789ab
python deploy.py destroy --stage dev
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from chalicelib import configuration
from chalicelib.errors import ConfigurationError
from chalicelib.ledger.tokens import ROLES
from deployment import api, check, definition, destroy, everything, functions, status, template, tokens, worst_case
from deployment.clients import Clients
from deployment.functions import ChaliceFailed
from deployment.plan import Plan
from deployment.stage import Stage, place
from deployment.steps import StepFailed, summary, take

# What ends a command with one sentence.
_REFUSALS = (ConfigurationError, StepFailed, ChaliceFailed, ValueError, status.NotDeployed, destroy.Declined)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code: 0 done, 1 refused or failed, with a sentence on standard error."""
    options = _parser().parse_args(arguments)
    try:
        stage = Stage(options.project, options.stage, place())
        options.run(stage, options)
    except _REFUSALS as error:
        print(f"deploy.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndeploy.py: interrupted. What is done stays; run the same command again.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploy.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--stage", required=True, help="a stage of .chalice/config.json")
    common.add_argument("--project", type=Path, default=Path(__file__).parent, help="the checkout to deploy")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_deployment(commands, common)

    checked = commands.add_parser("check", parents=[common], help="ask the application what it lists; changes nothing")
    checked.set_defaults(run=_check)

    token = commands.add_parser("token", help="who may use the API").add_subparsers(required=True, metavar="verb")
    add = token.add_parser("add", parents=[common], help="make a token; it is shown this once")
    add.add_argument("--name", required=True, help="whose it is: shown with each run that it asks for")
    add.add_argument("--role", required=True, choices=ROLES)
    add.add_argument("--days", type=int, default=90, help="how long it is valid (default: 90)")
    add.set_defaults(run=tokens.add)
    shown = token.add_parser("list", parents=[common], help="show all tokens: never the tokens themselves")
    shown.set_defaults(run=tokens.show)
    revoke = token.add_parser("revoke", parents=[common], help="make a token worthless at once")
    revoke.add_argument("--id", required=True, help="as `token list` shows it")
    revoke.set_defaults(run=tokens.revoke)
    return parser


def _add_deployment(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    wanted = argparse.ArgumentParser(add_help=False)
    wanted.add_argument("--notify", action="append", default=[], metavar="EMAIL", help="who gets the mails")
    wanted.add_argument("--child-execution-type", default=definition.EXPRESS, choices=["EXPRESS", "STANDARD"])
    deploy = commands.add_parser("deploy", parents=[common, wanted], help="make or update everything; may be repeated")
    deploy.set_defaults(run=_deploy)
    look = commands.add_parser("plan", parents=[common, wanted], help="show what deploy would do; changes nothing")
    look.set_defaults(run=_plan)
    cloud = commands.add_parser("template", parents=[common], help="write a template for chalice package")
    cloud.add_argument("--notify", action="append", default=[], metavar="EMAIL", help="who gets the mails")
    cloud.add_argument("--out", type=Path, default=Path("template.json"), help="the file (default: template.json)")
    cloud.set_defaults(run=_template)
    show = commands.add_parser("status", parents=[common], help="show what is deployed, and how it goes")
    show.set_defaults(run=lambda stage, _: status.show(stage, Clients()))
    remove = commands.add_parser("destroy", parents=[common], help="remove it all; asks first")
    remove.add_argument(
        "--with-data", action="store_true", help="the table and the bucket too: what was sent is forgotten"
    )
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.set_defaults(run=_destroy)


def _deploy(stage: Stage, options: argparse.Namespace) -> None:
    _check_files(stage, options)
    print(f"Deploying {stage.names.prefix} to account {stage.names.place.account}, {stage.names.place.region}")
    clients = Clients()
    chalice = partial(functions.ensure, clients, stage)
    steps = everything.steps(stage, clients, options.notify, options.child_execution_type, chalice)
    print(f"Done: {summary(take(steps))}.")
    print(f"API: {api.url(api.find(clients('apigateway'), stage) or '', stage)}")


def _plan(stage: Stage, options: argparse.Namespace) -> None:
    _check_files(stage, options)
    print(f"What deploy would do to {stage.names.prefix} in {stage.names.place.account}, {stage.names.place.region}")
    plan = Plan()
    compare = partial(functions.compare, plan.clients, stage)
    plan.show(everything.steps(stage, plan.clients, options.notify, options.child_execution_type, compare))


def _template(stage: Stage, options: argparse.Namespace) -> None:
    _check_files(stage, options)
    template.write(stage, options.notify, options.out.write_text)


def _check_files(stage: Stage, options: argparse.Namespace) -> None:
    """Refuse what is wrong in application.toml, and times that cannot hold, before anything is touched."""
    application = configuration.read(stage.environment, _file(options), stage.settings.retention_ms)
    machine = definition.render(stage.project / "statemachine.json", definition.placeholders(stage.names))
    worst_case.check(json.loads(machine), stage.timeouts, application.reprocess.timeout)


def _check(stage: Stage, options: argparse.Namespace) -> None:
    problems = check.check(stage, _file(options))
    if problems:
        raise StepFailed(f"{problems} problem(s) found; nothing was changed")
    print("\nNo problem found; nothing was changed.")


def _file(options: argparse.Namespace) -> Path:
    file: Path = options.project / "chalicelib" / "application.toml"
    return file


def _destroy(stage: Stage, options: argparse.Namespace) -> None:
    clients = Clients()
    steps = everything.steps(stage, clients, [], definition.EXPRESS, partial(functions.ensure, clients, stage))
    destroy.destroy(
        steps, stage.names.prefix, with_data=options.with_data, ask=_agreed(stage) if options.yes else _answer
    )


def _agreed(stage: Stage) -> destroy.Ask:
    return lambda _question: stage.names.prefix


def _answer(question: str) -> str:
    try:
        return input(question)
    except EOFError:
        return ""


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Deploy comms-reprocess: what `chalice deploy` does not do (table, bucket, topics, role, state machine), around it.

python deploy.py deploy --stage dev --notify someone@example.com
python deploy.py check --stage dev
python deploy.py token add --stage dev --name support --role operator
python deploy.py token list --stage dev
python deploy.py token revoke --stage dev --id 0123456789ab
"""

import argparse
import json
import sys
from pathlib import Path

import boto3

from chalicelib import configuration
from chalicelib.errors import ConfigurationError
from chalicelib.ledger.tokens import ROLES
from deployment import bucket, check, definition, functions, machine, table, tokens, topics, worst_case
from deployment.functions import ChaliceFailed
from deployment.stage import Stage, place
from deployment.steps import Step, StepFailed, summary, take


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code: 0 done, 1 refused or failed, with a sentence on standard error."""
    options = _parser().parse_args(arguments)
    try:
        stage = Stage(options.project, options.stage, place())
        options.run(stage, options)
    except (ConfigurationError, StepFailed, ChaliceFailed, ValueError) as error:
        print(f"deploy.py: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploy.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--stage", required=True, help="a stage of .chalice/config.json")
    common.add_argument("--project", type=Path, default=Path(__file__).parent, help="the checkout to deploy")
    commands = parser.add_subparsers(required=True, metavar="command")

    deploy = commands.add_parser("deploy", parents=[common], help="make or update everything; may be repeated")
    deploy.add_argument("--notify", action="append", default=[], metavar="EMAIL", help="who gets the result mails")
    deploy.add_argument("--child-execution-type", default=definition.EXPRESS, choices=["EXPRESS", "STANDARD"])
    deploy.set_defaults(run=_deploy)

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


def _deploy(stage: Stage, options: argparse.Namespace) -> None:
    application = configuration.read(stage.environment, _file(options), stage.settings.retention_ms)
    machine_text = definition.render(
        stage.project / "statemachine.json", definition.placeholders(stage.names, options.child_execution_type)
    )
    worst_case.check(json.loads(machine_text), stage.timeouts, application.reprocess.timeout)
    print(f"Deploying {stage.names.prefix} to account {stage.names.place.account}, {stage.names.place.region}")
    done = take(_steps(stage, options.notify, machine_text))
    print(f"Done: {summary(done)}.")
    print(f"API: {functions.rest_api(stage.project, stage.name)['rest_api_url']}")


def _check(stage: Stage, options: argparse.Namespace) -> None:
    problems = check.check(stage, _file(options))
    if problems:
        raise StepFailed(f"{problems} problem(s) found; nothing was changed")
    print("\nNo problem found; nothing was changed.")


def _file(options: argparse.Namespace) -> Path:
    file: Path = options.project / "chalicelib" / "application.toml"
    return file


def _steps(stage: Stage, addresses: list[str], machine_text: str) -> list[Step]:
    """Return what a deployment takes, in an order in which each step finds what it needs; the state machine last."""
    names = stage.names
    sns = boto3.client("sns")
    lambdas = boto3.client("lambda")
    return [
        Step("table", names.table, lambda: table.ensure(boto3.client("dynamodb"), names.table)),
        Step("bucket", names.bucket, lambda: bucket.ensure(boto3.client("s3"), names)),
        *(_topic(sns, arn) for arn in (names.succeeded_topic, names.failed_topic)),
        *(_subscription(sns, arn, to) for to in addresses for arn in (names.succeeded_topic, names.failed_topic)),
        Step("chalice deploy", stage.name, lambda: functions.ensure(lambdas, names, stage.project, stage.name)),
        Step("retries off", names.function("collector"), lambda: functions.ensure_no_retries(lambdas, names)),
        Step("role", machine.role_name(names), lambda: machine.ensure_role(boto3.client("iam"), names)),
        Step(
            "state machine",
            names.prefix,
            lambda: machine.ensure_machine(boto3.client("stepfunctions"), names, machine_text),
        ),
    ]


def _topic(sns: object, arn: str) -> Step:
    return Step("topic", arn.rpartition(":")[2], lambda: topics.ensure_topic(sns, arn))


def _subscription(sns: object, arn: str, address: str) -> Step:
    label = f"{address} to {arn.rpartition(':')[2]}"
    return Step("mail", label, lambda: topics.ensure_subscription(sns, arn, address))


if __name__ == "__main__":
    sys.exit(main())

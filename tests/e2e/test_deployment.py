"""deploy.py against the embedded AWS."""

import subprocess
import sys

from sandbox.project import ROOT

# What a package may weigh: boto3 and chalice's tools must not be in it.
LIMIT = 4_000_000


def test_a_second_deployment_changes_nothing(system):
    """Deployed again, every step finds things as they should be, and the summary says so."""
    printed = system.deploy_again()
    assert "Done: nothing had to be changed." in printed
    assert printed.count("unchanged") == 20


def test_the_package_is_small_and_ignored_by_git(system):
    """What ships has no boto3 in it, and what a deployment leaves in the checkout is never committed."""
    packages = list((system.folder / "project" / ".chalice" / "deployments").glob("*.zip"))
    assert packages
    assert all(package.stat().st_size < LIMIT for package in packages)
    for path in (".chalice/deployments/x.zip", ".chalice/deployed/dev.json"):
        assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode == 0


def test_a_check_shows_what_the_application_lists(system):
    """With the stage's secret and ledger, both lists of the reference application, and nothing changed."""
    printed = system.run("check")
    for operation, path in (("send.email", "/emails/failed"), ("send.sms", "/sms/failed")):
        assert f"{operation}: GET {system.application.url}{path}" in printed
    assert printed.endswith("No problem found; nothing was changed.\n")


def test_wrong_calls_are_one_sentence(system):
    """A wrong stage or a bad number of days: one sentence that names it, exit code 1, no traceback."""
    for arguments, sentence in (
        (["deploy", "--stage", "prod"], "there is no stage 'prod'"),
        (["token", "add", "--name", "x", "--role", "viewer", "--days", "0", "--stage", "dev"], "--days"),
    ):
        command = [sys.executable, str(ROOT / "deploy.py"), *arguments]
        finished = subprocess.run(command, env=system.environment(), capture_output=True, text=True, check=False)
        assert finished.returncode == 1
        assert sentence in finished.stderr
        assert "Traceback" not in finished.stderr

"""What deploy.py does with the system's own stage: deploy again, check, and refuse wrong arguments."""

import subprocess
import sys
import zipfile

from sandbox.project import ROOT

# The largest size of a package, in bytes: boto3 and Chalice's tools must not be in it.
LIMIT = 4_000_000


def test_deploying_again_changes_nothing(system):
    """Every step finds its resource unchanged, and the summary says so."""
    printed = system.deploy_again()
    assert "Done: nothing to change." in printed
    assert printed.count("unchanged") == 21


def test_the_package_is_small_and_ignored_by_git(system):
    """The page is in it; its sources, boto3 and Chalice's tools are not. Git ignores what a deployment leaves."""
    packages = list((system.folder / "project" / ".chalice" / "deployments").glob("*.zip"))
    assert packages
    assert all(package.stat().st_size < LIMIT for package in packages)
    for package in packages:
        names = zipfile.ZipFile(package).namelist()
        built = {f"chalicelib/page/{file.name}" for file in (ROOT / "chalicelib" / "page").iterdir()}
        assert {name for name in names if name.startswith("chalicelib/page/")} == built
        assert [
            name for name in names if name.startswith(("web/", "node_modules/")) or name.endswith((".ts", ".tsx"))
        ] == []
    for path in (".chalice/deployments/x.zip", ".chalice/deployed/dev.json"):
        assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode == 0


def test_deploy_check_shows_both_lists_of_the_application(system):
    """It uses the stage's secret and ledger, and changes nothing."""
    printed = system.run("check")
    for operation, path in (("send.email", "/emails/failed"), ("send.sms", "/sms/failed")):
        assert f"{operation}: GET {system.application.url}{path}" in printed
    assert printed.endswith("No problem found; nothing was changed.\n")


def test_deploy_refuses_wrong_arguments_with_one_sentence(system):
    """The sentence names the argument, the exit code is 1, and there is no traceback."""
    for arguments, sentence in (
        (["deploy", "--stage", "prod"], "there is no stage 'prod'"),
        (["token", "add", "--name", "x", "--role", "viewer", "--days", "0", "--stage", "dev"], "--days"),
    ):
        command = [sys.executable, str(ROOT / "deploy.py"), *arguments]
        finished = subprocess.run(command, env=system.environment(), capture_output=True, text=True, check=False)
        assert finished.returncode == 1
        assert sentence in finished.stderr
        assert "Traceback" not in finished.stderr

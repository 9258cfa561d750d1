"""`make serve` runs the whole system for you to try, and `make fire` fires its schedule."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import requests

from sandbox.project import ROOT
from sandbox.system import System

# The logs, and the file by which `make fire` finds the running system. Tests use another folder.
FOLDER = Path(os.environ.get("SANDBOX_FOLDER", ROOT / ".sandbox" / "serve"))

# So low that a run for everything that fails at the start waits for approval (see docs/api.md).
THRESHOLD = 30

_RUNNING = FOLDER / "running.json"

_TEXT = """
Ready. The schedule fires every minute; `make fire` fires it now. Press Ctrl-C to stop.

  API            {api}
  token          {token}   (approver: {approver})
  application    {application}   (token: {application_token})
  logs           {folder}

The API runs at this address. The amazonaws.com address above would work only on real AWS.

To try it, paste these two lines into another terminal:

  export API={api} TOKEN={token} APPROVER={approver}
  export APP={application} APP_TOKEN={application_token}

Then, for example:

  # see how many communications the application has sent, and how many failed for good
  curl -s $APP/stats -H "Authorization: Bearer $APP_TOKEN"

  # start a run for the failed SMS; the answer contains its runId
  curl -si -X POST $API/reprocess -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
       -d '{{"operation": "send.sms", "createdBy": "bob"}}'

  # look at a run; put its runId in place of RUN_ID
  curl -s $API/runs/RUN_ID -H "Authorization: Bearer $TOKEN"

  # approve a run that waits: runs of more than {threshold} do, and a mail asks for approval
  curl -s -X POST $API/runs/RUN_ID/approve -H "Authorization: Bearer $APPROVER"

  # break the application, so that it answers every POST with 503, and repair it
  curl -s $APP/switches -H "Authorization: Bearer $APP_TOKEN" -H 'Content-Type: application/json' -d '{{"status": 503}}'
  curl -s -X DELETE $APP/switches -H "Authorization: Bearer $APP_TOKEN"

docs/api.md shows all calls of the API.

Mails to the person on duty appear here:
"""


def serve() -> int:
    """Run until Ctrl-C or SIGTERM, then stop every process."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    # If a script starts it in the background, Python would ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        settings = {"SCHEDULE": "rate(1 minute)", "APPROVAL_THRESHOLD": str(THRESHOLD)}
        with System(FOLDER, settings, requeue_after=1.0) as system:
            print("Deploying comms-reprocess to an embedded AWS on this machine ...", flush=True)
            print(system.deploy())
            _let_fail(system)
            _announce(system)
            _show_mails(system)
    except KeyboardInterrupt:
        print("\nStopped.")
    finally:
        _RUNNING.unlink(missing_ok=True)
    return 0


def _let_fail(system: System) -> None:
    print("The providers are down, and the application gives up on 42 communications:")
    print("20 emails by alice, 2 more by her to impossible addresses, and 20 SMS by bob ...", flush=True)
    system.email.down = system.sms.down = True
    system.application.create("emails", 20, created_by="alice")
    system.application.create("emails", 2, created_by="alice", recipient="nobody")
    system.application.create("sms", 20, created_by="bob")
    system.application.wait_for_stats(60, failed=42)
    system.email.down = system.sms.down = False


def _announce(system: System) -> None:
    _RUNNING.write_text(json.dumps({"endpoint": system.aws.endpoint, "rule": system.rule}), encoding="utf-8")
    print(
        _TEXT.format(
            api=system.api,
            token=system.token("operator"),
            approver=system.token("approver"),
            threshold=THRESHOLD,
            application=system.application.url,
            application_token=system.application.token,
            folder=FOLDER,
        ),
        flush=True,
    )


def _show_mails(system: System) -> None:
    shown = 0
    while True:
        for mail in system.mailbox.messages()[shown:]:
            print(f"--- {mail['Subject']}\n{mail.get_content()}", flush=True)
            shown += 1
        time.sleep(0.5)


def fire(running: Path = _RUNNING) -> int:
    """Fire the schedule of a running `make serve`; return 1 if none runs."""
    if not running.exists():
        print("Nothing is running. Start `make serve` in another terminal first.")
        return 1
    target = json.loads(running.read_text(encoding="utf-8"))
    answer = requests.post(f"{target['endpoint']}/_sandbox/rules/{target['rule']}/fire", timeout=10)
    answer.raise_for_status()
    print("Fired. If there is anything to send, a mail about the run appears where `make serve` runs.")
    return 0

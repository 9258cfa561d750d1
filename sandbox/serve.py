"""`make serve`: keep the whole system running to play with, and `make fire`: fire its schedule now."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import requests

from sandbox.project import ROOT
from sandbox.system import System

# Where it keeps its logs, and where `make fire` finds what runs; a test has a folder of its own.
FOLDER = Path(os.environ.get("SANDBOX_FOLDER", ROOT / ".sandbox" / "serve"))

# Low enough for a run of all that fails here to wait for approval (see docs/api.md).
THRESHOLD = 30

_RUNNING = FOLDER / "running.json"

_TEXT = """
Ready. The schedule fires every minute; `make fire` fires it now. Ctrl-C ends everything.

  API            {api}
  token          {token}   (approver: {approver})
  application    {application}   (token: {application_token})
  logs           {folder}

Try, in another terminal:

  export API={api} TOKEN={token} APPROVER={approver}
  export APP={application} APP_TOKEN={application_token}

  # break the application, have an email fail for good, mend it
  curl -s $APP/switches -H "Authorization: Bearer $APP_TOKEN" -H 'Content-Type: application/json' -d '{{"status": 503}}'
  curl -s -X DELETE $APP/switches -H "Authorization: Bearer $APP_TOKEN"
  curl -s $APP/stats -H "Authorization: Bearer $APP_TOKEN"

  # start a run for some of what has failed, and look at it
  curl -si -X POST $API/reprocess -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
       -d '{{"operation": "send.sms", "createdBy": "bob"}}'
  curl -s $API/runs/RUN_ID -H "Authorization: Bearer $TOKEN"

A run of more than {threshold} waits for approval, the first scheduled one too. All calls: docs/api.md

Mails to the person on duty are shown here:
"""


def serve() -> int:
    """Run until Ctrl-C or SIGTERM; no process is left behind."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    # Started in the background of a script, Python would ignore Ctrl-C's signal.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        settings = {"SCHEDULE": "rate(1 minute)", "APPROVAL_THRESHOLD": str(THRESHOLD)}
        with System(FOLDER, settings, requeue_after=1.0) as system:
            print(system.deploy())
            _fail_some(system)
            _announce(system)
            _show_mails(system)
    except KeyboardInterrupt:
        print("\nStopped.")
    finally:
        _RUNNING.unlink(missing_ok=True)
    return 0


def _fail_some(system: System) -> None:
    print("Letting 22 emails of alice's, two to impossible addresses, and 20 SMS of bob's fail for good ...")
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
    """Fire the schedule of a running `make serve`; 1 if none runs."""
    if not running.exists():
        print("Nothing runs here: start `make serve` in another terminal first.")
        return 1
    what = json.loads(running.read_text(encoding="utf-8"))
    answer = requests.post(f"{what['endpoint']}/_sandbox/rules/{what['rule']}/fire", timeout=10)
    answer.raise_for_status()
    print(f"Fired {what['rule']}.")
    return 0

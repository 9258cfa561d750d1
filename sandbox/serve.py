"""`make serve` runs the whole system until Ctrl-C, also with your own application; `make fire` fires its schedule."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import requests

from chalicelib.errors import ConfigurationError
from sandbox import own_application, story
from sandbox.aws import DynamoDbEnded
from sandbox.deployed import Deployed, DeployPyFailed
from sandbox.own_application import OwnApplication
from sandbox.project import ROOT

# The logs, and the file by which `make fire` finds the running system. Tests use another folder.
FOLDER = Path(os.environ.get("SANDBOX_FOLDER", ROOT / ".sandbox" / "serve"))

_RUNNING = FOLDER / "running.json"

_TEXT = """
Ready. Open the page in your browser, and sign in as one of two people:

  page           {api}/
  token          {token}   (olga, operator)
  approver       {approver}   (anna, approver: she decides about the run that waits)
  application    {application}   (token: {application_token})
  logs           {folder}

The schedule fires every minute; `make fire` fires it now. Press Ctrl-C to stop.
The amazonaws.com address above would work only on real AWS.

docs/api.md shows all calls of the API. To try them, paste these two lines into another terminal:

  export API={api} TOKEN={token} APPROVER={approver}
  export APP={application} APP_TOKEN={application_token}

Then, for example:

  # approve a run that waits: runs of more than {threshold} do; put its runId in place of RUN_ID
  curl -s "$API/runs?limit=1" -H "Authorization: Bearer $TOKEN"
  curl -s -X POST $API/runs/RUN_ID/approve -H "Authorization: Bearer $APPROVER"

  # break the application, so that it answers every POST with 503, and repair it
  curl -s $APP/switches -H "Authorization: Bearer $APP_TOKEN" -H 'Content-Type: application/json' -d '{{"status": 503}}'
  curl -s -X DELETE $APP/switches -H "Authorization: Bearer $APP_TOKEN"

  # see how many communications the application has sent, and how many failed for good
  curl -s $APP/stats -H "Authorization: Bearer $APP_TOKEN"

Mails to the person on duty appear here:
"""


_OWN_TEXT = """
Ready. Open the page in your browser, and sign in as one of two people:

  page           {api}/
  token          {token}   (olga, operator)
  approver       {approver}   (anna, approver: she decides about large runs)
  logs           {folder}

Nothing is sent until you ask for it: the schedule is paused. Press Ctrl-C to stop.
The amazonaws.com address above would work only on real AWS.

To try the API, paste this line into another terminal:

  export API={api} TOKEN={token} APPROVER={approver}

Then, for example:

  # see what a run would send, and how long it would take; this sends nothing
  curl -s -X POST $API/reprocess -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
       -d '{{"dryRun": true}}'

  # REALLY send one failed communication to your application; the answer contains its runId
  curl -si -X POST $API/reprocess -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
       -d '{{"limit": 1}}'

  # look at a run; put its runId in place of RUN_ID
  curl -s $API/runs/RUN_ID -H "Authorization: Bearer $TOKEN"

  # let the schedule send everything that fails; above {threshold}, a run waits for approval
  curl -s -X POST $API/schedule/resume -H "Authorization: Bearer $TOKEN"

docs/api.md shows all calls of the API.

When it stops, it forgets what it has sent. Before you start it again, wait until your application has sent what it
accepted and no longer lists it: the next start knows of no cool-down.

Mails to the person on duty appear here:
"""


def serve(application: Path | None = None) -> int:
    """Run until Ctrl-C or SIGTERM, then stop every process.

    `application` is the application.toml of your own application, in place of the reference application.
    """
    # If a script starts it in the background, Python would ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        own = own_application.read(application) if application else None
        shutil.rmtree(FOLDER, ignore_errors=True)
        if own:
            _serve_own(own)
        else:
            _serve_reference()
    except (ConfigurationError, DeployPyFailed, DynamoDbEnded) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
    finally:
        _RUNNING.unlink(missing_ok=True)
    return 0


def _serve_reference() -> None:
    with story.running(FOLDER) as system:
        application = {"application": system.application.url, "application_token": system.application.token}
        _announce(system, _TEXT, threshold=str(story.THRESHOLD), **application)
        _show_mails(system)


def _serve_own(application: OwnApplication) -> None:
    settings = story.SETTINGS | application.variables
    with Deployed(FOLDER) as service:
        service.configure(settings, application.toml)
        application.store_secret(service.client)
        print("Checking what your application lists; this sends nothing ...", flush=True)
        print(service.run("check"))
        print("Deploying comms-reprocess to an embedded AWS on this machine ...", flush=True)
        service.pause_schedule()
        print(service.deploy())
        _announce(service, _OWN_TEXT, threshold=settings["APPROVAL_THRESHOLD"])
        _show_mails(service)


def _announce(service: Deployed, text: str, **more: str) -> None:
    _RUNNING.write_text(json.dumps({"endpoint": service.aws.endpoint, "rule": service.rule}), encoding="utf-8")
    tokens = {"token": service.token("operator", "olga"), "approver": service.token("approver", "anna")}
    print(text.format(api=service.api, folder=FOLDER, **tokens, **more), flush=True)


def _show_mails(service: Deployed) -> None:
    shown = 0
    while True:
        for mail in service.mailbox.messages()[shown:]:
            print(f"--- {mail['Subject']}\n{mail.get_content()}", flush=True)
            shown += 1
        service.aws.check()
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

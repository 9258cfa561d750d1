"""A small Chalice app that the tests of the embedded AWS really deploy, so that they depend on nothing of ours."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config

from sandbox.aws import EmbeddedAws

APP = '''
import json, os, subprocess, sys, time
from pathlib import Path

import boto3
from chalice import AuthResponse, Chalice, Rate, Response

app = Chalice(app_name="small")


class NotNow(Exception):
    """An error with a name of its own."""


@app.lambda_function()
def work(event, context):
    """Do what the event says, step by step."""
    if "note" in event:
        with Path(event["note"]).open("a") as file:
            file.write(f"{context.aws_request_id}\\n")
    if "say" in event:
        print("SAY", json.dumps(event["say"]))
    if "meet" in event:
        meet(Path(event["meet"]), event["people"])
    if "exit" in event:
        os._exit(event["exit"])
    if "raise" in event:
        raise {"NotNow": NotNow, "ValueError": ValueError}[event["raise"]]("as you wished")
    if "import" in event:
        return __import__(event["import"]).__name__
    if "publish" in event:
        return boto3.client("sns").publish(**event["publish"])["MessageId"]
    if "big" in event:
        return "x" * event["big"]
    time.sleep(event.get("sleep", 0))
    return {
        "pid": os.getpid(),
        "event": event,
        "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(),
        "environment": dict(os.environ),
        "key": boto3.Session().get_credentials().access_key,
    }


def meet(place, people):
    """Return when that many are here at the same time."""
    (place / str(os.getpid())).touch()
    while len(list(place.iterdir())) < people:
        time.sleep(0.01)


@app.lambda_function()
def hang(event, context):
    subprocess.Popen(["sleep", "600"])
    Path(event["note"]).write_text(str(os.getpid()))
    time.sleep(600)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def tick(event):
    print("TICK", json.dumps(event.to_dict()))


@app.authorizer(ttl_seconds=60)
def guard(request):
    """Say so in the log, since a cached answer must not ask again."""
    print("GUARD", request.token, request.method_arn)
    if request.token == "unknown":
        raise Exception("Unauthorized")
    if request.token == "broken":
        raise ValueError("broken")
    routes = {"all": ["*"], "things": ["/things/*"]}.get(request.token, [])
    response = AuthResponse(routes=routes, principal_id=request.token, context={"level": 7, "admin": True})
    if request.token == "deny":
        arn = request.method_arn
        document = {"Statement": [{"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": "*"}]}
        return {"principalId": "x", "policyDocument": document}
    return {} if request.token == "nothing" else response


@app.route("/")
def index():
    return {"ok": True}


@app.route("/echo/{first}/{second}")
def echo(first, second):
    headers = {"X-Two": ["a", "b"], "X-One": "c"}
    return Response(body={"event": app.current_request.to_original_event()}, headers=headers)


@app.route("/echo/{first}/{second}", methods=["POST"], content_types=["text/plain"])
def echo_text(first, second):
    return {"event": app.current_request.to_original_event()}


@app.route("/upload", methods=["POST"], content_types=["application/zip"])
def upload():
    return {"event": app.current_request.to_original_event()}


@app.route("/echo/fixed/{second}")
def fixed(second):
    return {"fixed": second}


@app.route("/things/{thing}", authorizer=guard)
def thing(thing):
    return {"thing": thing, "authorizer": app.current_request.context["authorizer"]}


@app.route("/others", methods=["POST"], authorizer=guard)
def others():
    return {"others": True}


@app.route("/do/{what}")
def do(what):
    if what == "exit":
        os._exit(1)
    if what == "sleep":
        time.sleep(600)
    if what == "text":
        return Response(body="plain", headers={"Content-Type": "text/plain"}, status_code=418)
    if what == "zip":
        return Response(body=b"\\x00\\xff", headers={"Content-Type": "application/zip"})
    return Response(body="x", status_code="none")
'''

CONFIG = {
    "version": "2.0",
    "app_name": "small",
    "autogen_policy": False,
    "lambda_timeout": 20,
    "stages": {
        "dev": {
            "api_gateway_stage": "api",
            "environment_variables": {"GREETING": "hello"},
            "lambda_functions": {"hang": {"lambda_timeout": 1}},
        }
    },
}

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}


def write(folder: Path):
    """Write the app's project."""
    (folder / ".chalice").mkdir()
    (folder / "app.py").write_text(APP)
    (folder / "requirements.txt").write_text("")
    (folder / ".chalice" / "config.json").write_text(json.dumps(CONFIG))
    (folder / ".chalice" / "policy-dev.json").write_text(json.dumps(POLICY))


def deploy(folder: Path, aws: EmbeddedAws):
    """Run `chalice deploy`, as an engineer would against AWS."""
    chalice = Path(sys.executable).parent / "chalice"
    environment = os.environ | aws.environment()
    done = subprocess.run(
        [chalice, "deploy", "--stage", "dev"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Clock:
    """The time, which passes only when a test says so."""

    def __init__(self):
        self.now = time.time()
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return self.now


class Small:
    """The small app on its embedded AWS, and what a test needs to talk to both."""

    def __init__(self, aws, folder, timings, mailbox):
        self.aws = aws
        self.folder = folder
        self.timings = timings
        self.clock = timings.clock
        self.mailbox = mailbox

    def client(self, service):
        settings = self.aws.environment()
        return boto3.client(
            service,
            endpoint_url=self.aws.endpoint,
            region_name=settings["AWS_REGION"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def invoke(self, event, function="small-dev-work", **options):
        """Invoke a function; return what it answered and, if it failed, how."""
        reply = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event), **options)
        return json.loads(reply["Payload"].read() or "null"), reply.get("FunctionError")

    def logged(self, word):
        """The lines that functions printed and that hold this word."""
        return [line for line in self.aws.function_logs() if word in line]

    def wait_until(self, seen, what, seconds=20):
        """Wait until something is seen that others do in their own time; fail with `what` and the functions' logs."""
        deadline = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < deadline, what + "\n" + "\n".join(self.aws.function_logs())
            time.sleep(0.02)

"""A small Chalice app that tests really deploy to the embedded AWS; they depend on nothing of comms-reprocess."""

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
    """A custom exception."""


@app.lambda_function()
def work(event, context):
    """Do what the event says, step by step."""
    if "marker" in event:
        with Path(event["marker"]).open("a") as file:
            file.write(f"{context.aws_request_id}\\n")
    if "log" in event:
        print("LOG", json.dumps(event["log"]))
    if "barrier" in event:
        wait_for_others(Path(event["barrier"]), event["parties"])
    if "exit" in event:
        os._exit(event["exit"])
    if "raise" in event:
        raise {"NotNow": NotNow, "ValueError": ValueError}[event["raise"]]("as you wished")
    if "import" in event:
        return __import__(event["import"]).__name__
    if "publish" in event:
        return boto3.client("sns").publish(**event["publish"])["MessageId"]
    if "answer_size" in event:
        return "x" * event["answer_size"]
    time.sleep(event.get("sleep", 0))
    return {
        "pid": os.getpid(),
        "event": event,
        "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(),
        "environment": dict(os.environ),
        "key": boto3.Session().get_credentials().access_key,
    }


def wait_for_others(folder, parties):
    """Wait until there are that many files in the folder, one of each process that waits."""
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < parties:
        time.sleep(0.01)


@app.lambda_function()
def hang(event, context):
    subprocess.Popen(["sleep", "600"])
    Path(event["marker"]).write_text(str(os.getpid()))
    time.sleep(600)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def tick(event):
    print("TICK", json.dumps(event.to_dict()))


@app.authorizer(ttl_seconds=60)
def guard(request):
    """Log each call, so that a test can see whether a policy was cached."""
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
    if what == "long":
        return Response(body="x" * 1000, headers={"Content-Type": "text/plain"})
    if what == "encoded":
        return Response(body="x" * 1000, headers={"Content-Type": "text/plain", "Content-Encoding": "own"})
    if what == "zip":
        return Response(body=b"\\x00\\xff", headers={"Content-Type": "application/zip"})
    return Response(body="x", status_code="none")
'''

CONFIG = {
    "version": "2.0",
    "app_name": "small",
    "autogen_policy": False,
    "lambda_timeout": 20,
    "minimum_compression_size": 1000,
    "stages": {
        "dev": {
            "api_gateway_stage": "api",
            "environment_variables": {"GREETING": "hello"},
            "lambda_functions": {"hang": {"lambda_timeout": 1}},
        }
    },
}

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}


def write_project(folder: Path):
    """Write the app's project into a folder."""
    (folder / ".chalice").mkdir()
    (folder / "app.py").write_text(APP)
    (folder / "requirements.txt").write_text("")
    (folder / ".chalice" / "config.json").write_text(json.dumps(CONFIG))
    (folder / ".chalice" / "policy-dev.json").write_text(json.dumps(POLICY))


def deploy(folder: Path, aws: EmbeddedAws):
    """Run `chalice deploy`, as an engineer does against AWS."""
    chalice = Path(sys.executable).parent / "chalice"
    environment = os.environ | aws.environment()
    done = subprocess.run(
        [chalice, "deploy", "--stage", "dev"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class ManualClock:
    """A clock that moves only when a test sets `now`. It counts how often it is read."""

    def __init__(self):
        self.now = time.time()
        self.reads = 0

    def __call__(self):
        self.reads += 1
        return self.now


class SmallApp:
    """The small app on its embedded AWS."""

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
        """Invoke a function; return its answer, and how it failed, or None."""
        reply = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event), **options)
        return json.loads(reply["Payload"].read() or "null"), reply.get("FunctionError")

    def logged(self, word):
        """The lines printed by functions that contain this word."""
        return [line for line in self.aws.function_logs() if word in line]

    def wait_until(self, condition, what, seconds=100):
        """Wait for a condition. If it does not come true, fail with `what` and the functions' logs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, what + "\n" + "\n".join(self.aws.function_logs())
            time.sleep(0.02)

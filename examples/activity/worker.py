"""A worker: takes letters from the activity, one at a time, renders them, and puts them into the bucket.

.venv/bin/python -m examples.activity.worker --activity ARN --bucket NAME

Run as many as you like, on any machine that reaches AWS, under something that starts them again, such as systemd.
"""

import argparse
import logging
import os
import re
import socket
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from examples.activity.letters import Letter, LetterRejected, Rendering, parse
from examples.activity.stopping import Stop, StopRequested
from examples.activity.tasks import Task, TaskLost

_LOG = logging.getLogger("worker")

# AWS holds a poll for 60 seconds, and wants workers to wait for at least 65:
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetActivityTask.html
# botocore does not repeat it; the loop does.
POLLING = Config(read_timeout=70, connect_timeout=5, retries={"total_max_attempts": 1})

# A call that takes longer than HeartbeatSeconds would itself be the reason for a timeout.
BRIEF = Config(read_timeout=3, connect_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})

# What Step Functions takes as a worker's name, and S3 in the metadata of a letter, which is ASCII only:
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetActivityTask.html
_NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")

# In seconds: how long to wait after each poll in a row that was refused. After the last the process ends.
_PAUSES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Options:
    """What a worker is told. `beat_every` and `rest`, which follows each page, are in seconds."""

    activity: str
    bucket: str
    name: str
    beat_every: float
    rest: float


class Worker:
    """Works until it is told to stop."""

    def __init__(self, options: Options, stop: Stop) -> None:
        self._options = options
        self._stop = stop
        self._polling = boto3.client("stepfunctions", config=POLLING)
        self._reporting = boto3.client("stepfunctions", config=BRIEF)
        self._s3 = boto3.client("s3", config=BRIEF)

    def run(self) -> NoReturn:
        """Take tasks until StopRequested. If AWS refuses one poll after the other, raise what it says."""
        refused = 0
        while True:
            try:
                task = self._poll()
            except (BotoCoreError, ClientError) as error:
                if refused == len(_PAUSES):
                    raise
                _LOG.warning("poll refused: %s", error)
                self._sleep(_PAUSES[refused])
                refused += 1
                continue
            refused = 0
            if task:
                self._work(task)

    def _poll(self) -> Task | None:
        """Return a task, None if there was none for a minute.

        A task that AWS hands over while the signal arrives is in nobody's hands. HeartbeatSeconds brings it back.
        """
        with self._stop.while_waiting():
            handed = self._polling.get_activity_task(activityArn=self._options.activity, workerName=self._options.name)
        return Task(self._reporting, handed, self._options.beat_every) if handed.get("taskToken") else None

    def _work(self, task: Task) -> None:
        """Do a task, and report what came of it. If AWS refuses the report, HeartbeatSeconds speaks for the worker."""
        try:
            self._do(task)
        except TaskLost as error:
            _LOG.warning("gave up a letter: %s", error)
        except (BotoCoreError, ClientError) as error:
            _LOG.warning("report refused: %s", error)

    def _do(self, task: Task) -> None:
        try:
            output = self._deliver(task)
        except StopRequested:
            task.fail("WorkerStopping", f"{self._options.name} was told to stop")
            raise
        except LetterRejected as error:
            task.fail("LetterRejected", str(error))
        except TaskLost:
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, another try may do better)
            _LOG.exception("failed")
            task.fail("WorkerFailed", f"{type(error).__name__}: {error}")
        else:
            task.succeed(output)

    def _deliver(self, task: Task) -> dict[str, Any]:
        """Render the letter and publish it; return the task's output. StopRequested leaves nothing half done."""
        letter = parse(task.input)
        _LOG.info("began %s", letter.key)
        document = self._render(letter, task)
        task.check()  # most workers whose time is up learn it here; the others are stopped by the key
        self._publish(letter.key, document)
        _LOG.info("published %s", letter.key)
        return {"id": letter.id, "outcome": "rendered", "key": letter.key}

    def _render(self, letter: Letter, task: Task) -> bytes:
        rendering = Rendering(letter)
        for _ in rendering.pages():
            task.beat()
            self._sleep(self._options.rest)
        return rendering.document()

    def _publish(self, key: str, document: bytes) -> None:
        """Put the letter into the bucket, unless it is there: then a worker had it before, and lost its task then.

        S3 accepts one of several at once, and shows nothing before it is complete. So whoever is late changes nothing:
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        """
        put = partial(self._s3.put_object, Body=document, ContentType="application/pdf")
        try:
            put(Bucket=self._options.bucket, Key=key, Metadata={"worker": self._options.name}, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise
            _LOG.info("%s was there already", key)

    def _sleep(self, seconds: float) -> None:
        with self._stop.while_waiting():
            time.sleep(seconds)


def main(arguments: list[str] | None = None) -> int:
    """Run a worker; return its exit code: 0 if it was told to stop, 1 if AWS refused to hand out tasks."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {options.name} %(message)s")
    stop = Stop()
    stop.listen()
    try:
        Worker(options, stop).run()
    except StopRequested:
        _LOG.info("stopped")
        return 0
    except (BotoCoreError, ClientError) as error:
        _LOG.error("no tasks to be had: %s", error)
        return 1


def _options(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="worker", description=__doc__.partition("\n")[0])
    parser.add_argument("--activity", required=True, metavar="ARN")
    parser.add_argument("--bucket", required=True, metavar="NAME", help="where the letters go")
    parser.add_argument("--name", type=_name, default=name_of(socket.gethostname()), help="shown in the history")
    parser.add_argument("--beat-every", type=float, default=3.0, metavar="SECONDS", help="default: 3")
    parser.add_argument(
        "--rest", type=float, default=0.0, metavar="SECONDS", help="after each page, to leave the machine to others"
    )
    return Options(**vars(parser.parse_args(arguments)))


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("must be up to 80 letters, digits, '.', '_' and '-'")
    return text


def name_of(host: str) -> str:
    """Return the name of a worker on this host, whatever characters the host's own name has."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', host)[:60]}-{os.getpid()}"


if __name__ == "__main__":
    sys.exit(main())

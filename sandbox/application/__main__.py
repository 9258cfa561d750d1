"""The process of the reference application: `python -m sandbox.application --help`."""

import argparse
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from sandbox.application.communications import Communications
from sandbox.application.database import Database
from sandbox.application.inbox import Inbox
from sandbox.application.listings import Listings
from sandbox.application.overview import Overview
from sandbox.application.queues import create_queues
from sandbox.application.senders import Providers
from sandbox.application.switches import SwitchBoard
from sandbox.application.web import Services, create_app
from sandbox.application.workers import Outbox, RepeatingThread, Requeuer, RetryPolicy, Worker


class _QuietRequestHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: only errors matter."""


def main() -> None:
    """Serve and send until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    arguments = _arguments()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if arguments.until_eof:
        threading.Thread(target=_exit_at_eof, daemon=True).start()
    database = Database(arguments.database)
    server, threads = _assemble(arguments, database, stopping)
    for thread in threads:
        thread.start()
    print(json.dumps({"url": f"http://127.0.0.1:{server.port}"}), flush=True)
    stopping.wait()
    server.shutdown()
    for thread in threads:
        thread.join(timeout=5)
    database.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.application", description="The reference application.")
    parser.add_argument("--database", type=Path, required=True, help="SQLite file, created if it does not exist")
    parser.add_argument(
        "--queue-prefix",
        required=True,
        help="name of the main queue in SQS; the dead letter queue is <prefix>-failed",
    )
    parser.add_argument("--smtp", type=_host_and_port, required=True, metavar="HOST:PORT", help="the email provider")
    parser.add_argument("--sms", required=True, metavar="URL", help="the SMS provider")
    parser.add_argument("--token", required=True, help="the bearer token that callers must send")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free port)")
    parser.add_argument("--rounds", type=int, default=3, help="attempts before a communication has finally failed")
    parser.add_argument("--requeue-after", type=float, default=1.0, help="seconds between two attempts")
    parser.add_argument(
        "--lost-after", type=float, default=30.0, help="seconds after which a queue message counts as lost"
    )
    parser.add_argument("--workers", type=int, default=4, help="number of threads that send")
    parser.add_argument("--until-eof", action="store_true", help="exit as soon as stdin is closed")
    return parser.parse_args()


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _exit_at_eof() -> None:
    """Exit together with the parent process: it holds the other end of the pipe, which closes however it ends."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _assemble(
    arguments: argparse.Namespace, database: Database, stopping: threading.Event
) -> tuple[BaseWSGIServer, list[RepeatingThread]]:
    """Release the claims of a process that died; return the bound server and all threads, not yet started."""
    policy = RetryPolicy(arguments.rounds, arguments.requeue_after, arguments.lost_after)
    main_queue, dead_letters = create_queues(arguments.queue_prefix, policy.requeue_after)
    switchboard, communications = SwitchBoard(), Communications(database)
    communications.release_claims()
    outbox = Outbox(communications, main_queue, switchboard, policy.lost_after + policy.requeue_after)
    providers = Providers(arguments.smtp[0], arguments.smtp[1], arguments.sms)
    worker = Worker(communications, main_queue, outbox, providers, switchboard, stopping)
    requeuer = Requeuer(communications, dead_letters, outbox, policy, stopping)
    services = Services(
        communications,
        Inbox(database),
        Listings(database),
        Overview(database),
        switchboard,
        outbox.wake,
        arguments.token,
    )
    app = create_app(services)
    server = make_server("127.0.0.1", arguments.port, app, threaded=True, request_handler=_QuietRequestHandler)
    steps = {"web": server.serve_forever, "outbox": outbox.step, "requeuer": requeuer.step}
    steps |= {f"worker-{number}": worker.step for number in range(arguments.workers)}
    return server, [RepeatingThread(name, step, stopping) for name, step in steps.items()]


if __name__ == "__main__":
    main()

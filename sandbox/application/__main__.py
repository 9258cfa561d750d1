"""Run the reference application: `python -m sandbox.application --help`."""

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
from sandbox.application.queues import make_queues
from sandbox.application.senders import Providers
from sandbox.application.switches import Board
from sandbox.application.web import Parts, create_app
from sandbox.application.workers import Outbox, Repeating, Requeuer, Rules, Worker


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: only what goes wrong is of interest."""


def main() -> None:
    """Serve and send until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    arguments = _arguments()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if arguments.until_eof:
        threading.Thread(target=_die_at_eof, daemon=True).start()
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
    parser.add_argument("--database", type=Path, required=True, help="SQLite file, made if missing")
    parser.add_argument("--queue-prefix", required=True, help="the main queue's name; the other is <prefix>-failed")
    parser.add_argument("--smtp", type=_host_and_port, required=True, metavar="HOST:PORT", help="the email provider")
    parser.add_argument("--sms", required=True, metavar="URL", help="the SMS provider")
    parser.add_argument("--token", required=True, help="the bearer token that callers need")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1 (default: any)")
    parser.add_argument("--rounds", type=int, default=3, help="tries before it has finally failed")
    parser.add_argument("--requeue-after", type=float, default=1.0, help="seconds in the dead letter queue")
    parser.add_argument("--lost-after", type=float, default=30.0, help="seconds until an entry counts as lost by SQS")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--until-eof", action="store_true", help="die as soon as stdin closes")
    return parser.parse_args()


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _die_at_eof() -> None:
    """Follow whoever started us: they hold the other end of the pipe, and it closes however they end."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _assemble(
    arguments: argparse.Namespace, database: Database, stopping: threading.Event
) -> tuple[BaseWSGIServer, list[Repeating]]:
    """Build the parts and free what a dead process was sending; return the bound server and all threads, unstarted."""
    rules = Rules(arguments.rounds, arguments.requeue_after, arguments.lost_after)
    main_queue, dead = make_queues(arguments.queue_prefix, rules.requeue_after)
    board, communications = Board(), Communications(database)
    communications.free_claims()
    outbox = Outbox(communications, main_queue, board, rules.lost_after + rules.requeue_after)
    providers = Providers(arguments.smtp[0], arguments.smtp[1], arguments.sms)
    worker = Worker(communications, main_queue, outbox, providers, board, stopping)
    requeuer = Requeuer(communications, dead, outbox, rules, stopping)
    parts = Parts(
        communications, Inbox(database), Listings(database), Overview(database), board, outbox.wake, arguments.token
    )
    server = make_server("127.0.0.1", arguments.port, create_app(parts), threaded=True, request_handler=_Quiet)
    steps = {"web": server.serve_forever, "outbox": outbox.step, "requeuer": requeuer.step}
    steps |= {f"worker-{number}": worker.step for number in range(arguments.workers)}
    return server, [Repeating(name, step, stopping) for name, step in steps.items()]


if __name__ == "__main__":
    main()

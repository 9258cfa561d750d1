"""The HTTP server: loopback only, on a free port, with a thread per request."""

import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug import Response
from werkzeug.serving import ThreadedWSGIServer

DRAIN_SECONDS = 5  # for requests to end when the server stops

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]


class Server(ThreadedWSGIServer):
    """Has a port as soon as it is created, and answers from `serve` to `stop`."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0, Response(status=503), _Handler)
        self._requests: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def serve(self, app: Wsgi) -> None:
        """Start to answer with `app`."""
        self.app = app
        self._thread.start()

    def stop(self) -> None:
        """Accept no more requests, and wait for those that are being answered."""
        self.shutdown()
        self._thread.join()
        deadline = time.monotonic() + DRAIN_SECONDS
        for thread in list(self._requests):
            thread.join(max(0, deadline - time.monotonic()))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a request in a thread that `stop` can wait for."""
        arguments = (request, client_address)
        thread = threading.Thread(target=self.process_request_thread, args=arguments, daemon=True)
        self._requests.add(thread)
        thread.start()


class _Handler(MotoRequestHandler):
    disable_nagle_algorithm: ClassVar[bool] = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""

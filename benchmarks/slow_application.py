"""An application that takes 200 ms for each POST, to be run in a process of its own: `slow_application.py <failed>`.

It prints its URL. `GET /failed` lists what has not been posted yet, `POST /communications` accepts one. `GET /stats`
counts the POSTs, the communications that came twice, and the most POSTs that were under way at once.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECONDS = 0.2

_lock = threading.Lock()
_failed: dict[str, None] = {}
_stats = {"posts": 0, "twice": 0, "at_once": 0, "most_at_once": 0}


class _Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer with the list or with the counts."""
        with _lock:
            body = _stats if self.path == "/stats" else [{"id": each} for each in _failed]
            self._answer(200, body)

    def do_POST(self) -> None:
        """Accept a communication, slowly."""
        communication = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["primaryId"]
        with _lock:
            _stats["posts"] += 1
            _stats["twice"] += communication not in _failed
            _stats["at_once"] += 1
            _stats["most_at_once"] = max(_stats["most_at_once"], _stats["at_once"])
            _failed.pop(communication, None)
        time.sleep(SECONDS)
        with _lock:
            _stats["at_once"] -= 1
        self._answer(202, {})

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: it would be measured too."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 100


def main() -> None:
    """Serve until the process is ended."""
    _failed.update(dict.fromkeys(f"email-{number:06}" for number in range(int(sys.argv[1]))))
    with _Server(("127.0.0.1", 0), _Application) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()

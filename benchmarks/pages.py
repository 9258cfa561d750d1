"""A server of long lists that takes 20 ms for each page, to be run in a process of its own.

It prints its URL. `GET /<number>` is a list of that many records, 200 a page, with the next page's URL in the body.
"""

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE = 200
SECONDS = 0.02


class _Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer with a page."""
        until = time.monotonic() + SECONDS
        parts = urlsplit(self.path)
        start = int(parse_qs(parts.query).get("start", ["0"])[0])
        body = _page(parts.path, start, int(parts.path.strip("/")))
        time.sleep(max(0.0, until - time.monotonic()))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: it would be measured too."""


def _page(path: str, start: int, total: int) -> bytes:
    end = min(start + PAGE, total)
    following = f'"{path}?start={end}"' if end < total else "null"
    records = ",".join(_record(number) for number in range(start, end))
    return f'{{"count":{total},"next":{following},"results":[{records}]}}'.encode()


def _record(number: int) -> str:
    return (
        f'{{"id":"email-{number:08}","created_at":"2025-11-20T{number % 24:02}:30:00Z",'
        f'"failed_at":"2025-11-20T{number % 24:02}:45:00.250+01:00","author":"user-{number % 997}",'
        f'"subject":"Your appointment on Friday"}}'
    )


def main() -> None:
    """Serve until the process is ended."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()

"""The program of a fork server: it imports a function's module once, then forks a process for each request.

It runs with what Lambda provides and nothing else, so it imports nothing of the sandbox. A request is a message on the
socket whose number is its first argument: the address of a runtime API, and the forked process's stdin, stdout and
status pipe. To the status pipe the process writes `pid 1234`, and this program in the end `exit 0`.
"""

import gc
import importlib
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

ADDRESS_SIZE = 32  # bytes of a message: an address such as 127.0.0.1:65535, padded with spaces
FILES = 3

_status_pipes: dict[int, int] = {}  # the write ends, by process id


def _preload(handler: str) -> None:
    """Import the function's module. If it cannot be imported, each process tries again, and reports the error."""
    with suppress(BaseException):
        importlib.import_module(handler.rsplit(".", 1)[0].replace("/", "."))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or each process would print it again
    gc.freeze()  # a collection in a child would touch, and so copy, every page


def _report_exits(*_: Any) -> None:
    """Report every process that has ended."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _report_exit(*ended)


def _report_exit(process: int, status: int) -> None:
    pipe = _status_pipes.pop(process, None)
    if pipe is None:
        return  # a process that the function's module has started
    with suppress(BrokenPipeError):
        os.write(pipe, f"exit {os.waitstatus_to_exitcode(status)}\n".encode())
    os.close(pipe)


def _serve(control: socket.socket) -> tuple[str, list[int]]:
    """Fork for each request; return in the new process only, with its request. Exit when the socket is closed."""
    signal.signal(signal.SIGCHLD, _report_exits)
    while True:
        message, files, _, _ = socket.recv_fds(control, ADDRESS_SIZE, FILES)
        if not message:
            break
        if len(files) < FILES:
            sys.exit("the fork server has too many open files")
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        process = os.fork()
        if not process:
            return message.decode().strip(), files
        *others, _status_pipes[process] = files
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        for file in others:
            os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with suppress(ChildProcessError):
        while True:
            _report_exit(*os.wait())
    os._exit(0)


def _become_function(control: socket.socket, address: str, files: list[int]) -> None:
    """Turn this process from a copy of the fork server into one of the function's: nothing of the server stays."""
    os.setsid()  # Ctrl-C does not reach it, and a kill also reaches what it started
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    control.close()
    for other in _status_pipes.values():
        os.close(other)
    stdin, stdout, status = files
    for source, target in ((stdin, 0), (stdout, 1), (stdout, 2)):
        os.dup2(source, target)
    os.environ["AWS_LAMBDA_RUNTIME_API"] = address
    os.write(status, f"pid {os.getpid()}\n".encode())
    for file in files:
        if file > 2:  # noqa: PLR2004 (a module may have closed standard streams, so that a pipe has taken their place)
            os.close(file)
    # Its stdin closes when the sandbox ends, however that ends and whatever the function does. (PR_SET_PDEATHSIG would
    # end it together with the fork server.)
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()


def main() -> None:
    """Serve, and in each new process run AWS's runtime client."""
    control, handler = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    _preload(handler)
    _become_function(control, *_serve(control))
    from awslambdaric.__main__ import main as run  # noqa: PLC0415 (it remembers the address when it is imported)

    run(["", handler])


main()

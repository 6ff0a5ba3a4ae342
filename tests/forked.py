"""Run `heldout` in forks of one process that has imported the libraries: a job starts in a tenth of the time.

As a script it is that process, with `--serve ADDRESS`, or else the command `heldout`, which hands its arguments,
folder, environment and streams to that process and exits as the fork does.
"""

import importlib
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

ADDRESS = "HELDOUT_FORKS"  # environment variable: the socket
PRELOADED = (
    *("torch", "torch._dynamo", "torchvision", "sklearn.ensemble", "sklearn.mixture", "sklearn.svm"),
    *("sklearn.decomposition", "sklearn.linear_model", "pandas", "pyarrow.parquet", "jsonschema", "pydantic", "typer"),
)


def serve(address: str) -> None:
    """Wait for commands at a socket, and run each in a fork, until the process is ended."""
    for module in PRELOADED:  # of other projects alone: the package itself differs between checkouts
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks leave no zombies
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                status = _run(connection)
                sys.stdout.flush()
                sys.stderr.flush()
                connection.sendall(bytes([status % 256]))
                os._exit(0)  # the interpreter would take seconds to clear what was imported
            connection.close()


def _run(connection: socket.socket) -> int:
    """Run `heldout` as a client asks, in this process; return its exit status."""
    message, streams, *_ = socket.recv_fds(connection, 1 << 20, 3)
    request = json.loads(message)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["heldout", *request["arguments"]]
    try:
        importlib.import_module("heldout.cli").main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def ask() -> int:
    """Have this command line run by the server; return its exit status."""
    request = {"arguments": sys.argv[1:], "folder": str(Path.cwd()), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[ADDRESS])
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        return ord(connection.recv(1) or b"\1")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    else:
        sys.exit(ask())

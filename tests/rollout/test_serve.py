"""Listening: the address that is printed, a port that is taken, an end by Ctrl-C."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request

import pytest

pytest.importorskip("fastapi", reason="the extra `review` is not installed")
from cleanplate.errors import StorageError
from cleanplate.rollout.desk import Desk
from cleanplate.rollout.review_app import Access
from cleanplate.rollout.serve import address_of, checked_access, serve

SCRIPT = """
    import sys
    from cleanplate.rollout.desk import Desk
    from cleanplate.rollout.serve import checked_access, serve

    class Empty:
        items = reviews = lambda self: []
        add = run_again = publish = picture = None

    serve(Desk(Empty(), "Review"), checked_access("127.0.0.1", None), int(sys.argv[1]))
    print("ended in order")
"""


def test_the_address_holds_what_a_browser_needs():
    assert address_of(Access("127.0.0.1", ""), 8710) == "http://127.0.0.1:8710/"
    assert address_of(checked_access("::1", "0123456789"), 80) == "http://[::1]:80/?token=0123456789"


def test_a_taken_port_is_said(store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StorageError, match=f"127.0.0.1:{port}: another program does; take --port"):
            serve(Desk(store, "Review"), Access(), port)


def test_ctrl_c_ends_in_order():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(port)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/queue", timeout=5) as answer:
                assert b'"items":[]' in answer.read()
            break
        except OSError:
            time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "ended in order\n"
    assert process.returncode == 0

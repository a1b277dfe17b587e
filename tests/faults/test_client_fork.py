"""A process that forks its workers after its first token: a child gets its own tokens, whatever went on at the fork.

It runs in a fresh interpreter, since the process of the tests has threads that no fork should meet.
"""

import os
import subprocess
import sys
import threading
import time

import pytest

from micromegas_auth.client.token import Token
from micromegas_auth.client.token_source import TokenSource

PATIENCE = 20.0


class Source(TokenSource):
    """Gives the number of the process, once it may."""

    def __init__(self) -> None:
        self.began, self.may_go = threading.Event(), threading.Event()
        super().__init__("svc", PATIENCE, time.time)

    def fetch(self) -> Token:
        self.began.set()
        assert self.may_go.wait(PATIENCE)
        return Token(str(os.getpid()), time.time() + 3600, time.time() + 3000)


def scenario() -> None:
    """The parent forks while its refresh is under way and another of its threads holds the lock."""
    source = Source()
    waiting = threading.Thread(target=source.token)
    waiting.start()
    assert source.began.wait(PATIENCE)
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with source._changed:
            held.set()
            let_go.wait(PATIENCE)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(PATIENCE)
    pid = os.fork()
    if pid == 0:
        source.may_go = threading.Event()
        source.may_go.set()
        os._exit(0 if source.token() == str(os.getpid()) else 1)
    let_go.set()
    source.may_go.set()
    assert source.token() == str(os.getpid())
    assert os.waitpid(pid, 0)[1] == 0
    waiting.join()
    holder.join()
    print("as it should be")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "as it should be\n"), done.stdout + done.stderr


if __name__ == "__main__":
    scenario()

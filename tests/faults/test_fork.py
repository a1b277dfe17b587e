"""ATTACKS, Network: a server that forks its workers after the start (gunicorn does). The child is a process of its own.

Each scenario runs in a fresh interpreter, since the process of the tests has threads that no fork should meet.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    "scenario", ["after_the_first_fetch", "during_the_first_fetch", "while_other_threads_hold_its_locks", "after_close"]
)
def test_fork(scenario: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("fork_scenarios.py")), scenario]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "as it should be\n"), done.stdout + done.stderr

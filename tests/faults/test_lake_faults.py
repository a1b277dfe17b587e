"""The lake through sudden ends and full disks, at each step of a commit, a merge of files or a start.

Each scenario runs in a fresh interpreter: it forks, and what it lets happen at a step would happen to the tests too.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLED = ["kill:first_commit", "kill:commit", "kill:compaction", "kill:start", "kill:start_and_compaction"]
FULL = [f"{how}:{what}" for how in ("once", "full") for what in ("first_commit", "commit", "compaction")]


@pytest.mark.parametrize("scenario", KILLED + FULL)
def test_at_each_step(scenario: str, tmp_path: Path) -> None:
    """Nothing acknowledged is lost, nothing is doubled, nothing is half there, and the lake goes on."""
    command = [sys.executable, str(Path(__file__).with_name("lake_scenarios.py")), scenario, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "as it should be\n"), done.stdout + done.stderr

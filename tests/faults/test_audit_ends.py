"""What a process still has to say when it ends, and what its child has not."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from micromegas_auth import AuthContext, AuthType, Caller, UserAttribution
from micromegas_auth.audit import AuditLog

caller = Caller(AuthContext(subject="alice", auth_type=AuthType.API_KEY), UserAttribution(user_id="alice"))
log = AuditLog(lambda lines: print(lines, flush=True))
log.start(caller, "SELECT 1").finish("ok")
{end}
"""


def said(end: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(end=end)], capture_output=True, text=True, timeout=60)
    return [line.split(" user=")[0].removeprefix("execute_query ") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "raise ValueError('nobody catches this')"])
def test_the_end_of_the_interpreter(end: str) -> None:
    assert said(end) == ['sql="SELECT 1"']


def test_a_forked_child_writes_its_own_records_and_not_its_parents() -> None:
    end = """
if os.fork() == 0:
    log.start(caller, "SELECT 'child'").finish("ok")
    log.close()
    os._exit(0)
os.wait()
"""
    assert sorted(said(end)) == ["sql=\"SELECT 'child'\"", 'sql="SELECT 1"']

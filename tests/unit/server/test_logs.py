"""The server's log: one line for each record, whatever it holds, however standard error behaves."""

import contextlib
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from typing import IO

import pytest
from micromegas_server.logs import AuditWriter, LogFormat, set_up_logging, write_line

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
HOSTILE = 'two\nlines\r\x1b[31m\u202e "quoted" \\ é'


@contextlib.contextmanager
def set_up(log_format: LogFormat) -> Iterator[None]:
    """The server's log instead of pytest's, which comes back at the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        set_up_logging(log_format)
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("httpx").setLevel(logging.NOTSET)


def test_a_line_of_text(capfd: pytest.CaptureFixture[str]) -> None:
    with set_up("text"):
        logging.getLogger("micromegas_server").info("listening on %s", "grpc://127.0.0.1:1")
        logging.getLogger("micromegas_server").debug("not shown")
        logging.getLogger("httpx").info("GET https://issuer.example/jwks?secret=1")
    line = capfd.readouterr().err
    assert re.fullmatch(rf"{STAMP} INFO micromegas_server listening on grpc://127\.0\.0\.1:1\n", line)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_record_is_always_one_line(capfd: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    with set_up(log_format):
        logging.getLogger("any").warning("%s", HOSTILE)
        logging.getLogger("any").error("failed", exc_info=ValueError(HOSTILE))
    printed = capfd.readouterr().err
    assert printed.count("\n") == 2
    assert all(line.isprintable() for line in printed.split("\n"))


def test_a_line_of_json(capfd: pytest.CaptureFixture[str]) -> None:
    with set_up("json"):
        logging.getLogger("any").warning("%s", HOSTILE)
    record = json.loads(capfd.readouterr().err)
    assert re.fullmatch(STAMP, record.pop("time"))
    assert record == {"level": "WARNING", "target": "any", "msg": HOSTILE}


def test_audit_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """As text they look like the rest of the log; as JSON they are what the audit made."""
    AuditWriter("text")('execute_query sql="SELECT 1"')
    AuditWriter("json")('{"event": "execute_query"}')
    text, document = capfd.readouterr().err.splitlines()
    assert re.fullmatch(rf'{STAMP} INFO micromegas_auth\.audit execute_query sql="SELECT 1"', text)
    assert document == '{"event": "execute_query"}'


@contextlib.contextmanager
def stderr_as_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[bytes]]:
    """The reading end of a pipe that is standard error, and does not block its writer."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as writer, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", writer)
        yield reader


def test_a_slow_reader_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines longer than a pipe holds, of several threads, stay whole and apart."""
    texts = [letter * 200_000 for letter in "abcd"]
    with stderr_as_pipe(monkeypatch) as pipe:
        threads = [threading.Thread(target=write_line, args=(text,)) for text in texts]
        for thread in threads:
            thread.start()
        lines = [pipe.readline().decode().rstrip("\n") for _ in texts]
        for thread in threads:
            thread.join()
    assert sorted(lines) == texts


def test_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer is told; the audit log knows what to do then."""
    with stderr_as_pipe(monkeypatch) as pipe:
        pipe.close()
        with pytest.raises(OSError, match="Broken pipe"):
            write_line("lost")


def test_half_a_character(capfd: pytest.CaptureFixture[str]) -> None:
    """A lone surrogate has no UTF-8; it must not cost the line."""
    write_line("a \ud800 b")
    assert capfd.readouterr().err == "a \\ud800 b\n"

"""Child processes of the demo and of the tests: start one, wait for what it says, end it and no other."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

BIN = Path(sys.executable).parent


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without the developer's own MICROMEGAS_* variables, and with `extra`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MICROMEGAS_")}
    return own | {"PYTHONUNBUFFERED": "1"} | dict(extra or {})


class ChildProcess:
    """A command, run for the length of a `with` block; what it prints (stdout and stderr together) is in `lines`."""

    def __init__(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._command = [str(part) for part in command]
        self._env = clean_environment(env)
        self._news = threading.Condition()  # a line has come, or the output has ended
        self._ended = False

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - its callers name the commands, no request does
            self._command,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_for(self, pattern: str, timeout: float = 20, after: int = 0) -> re.Match[str]:
        """Wait for a line in which the regular expression is found, at most `timeout` seconds; return its match.

        The first `after` lines do not count: `after=len(process.lines)` waits for something new.

        Raises:
            AssertionError: The time is up, or the output has ended without it; the text holds all that was printed.
        """

        def search() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self.lines[after:])), None)

        with self._news:
            self._news.wait_for(lambda: search() or self._ended, timeout)
            if match := search():
                return match
            why = "it ended" if self._ended else f"{timeout} s have passed"
            printed = "\n".join(self.lines)
        raise AssertionError(f"{self._command[0]}: no line with {pattern!r}, and {why}. It printed:\n{printed}")

    def wait(self, timeout: float = 20) -> int:
        """The exit code, once it has ended by itself. Raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout)

    def terminate(self) -> int:
        """Send SIGTERM, unless it has ended by itself, and wait; returns the exit code. May be called again.

        Raises subprocess.TimeoutExpired, having killed it, when it has not ended 20 seconds later.
        """
        self._process.terminate()
        try:
            return self._process.wait(timeout=20)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    pipe.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


class ServerProcess(ChildProcess):
    """An installed console script, such as `flight-sql-srv`, from the environment that this process runs in."""

    def __init__(self, script: str, *args: str | Path, env: Mapping[str, str] | None = None) -> None:
        super().__init__(BIN / script, *args, env=env)

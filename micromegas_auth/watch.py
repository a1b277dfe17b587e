"""Files that may change while the server runs."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from micromegas_auth.forking import restart_in_forked_child

POLL_SECONDS = 0.5

_logger = logging.getLogger("micromegas_auth")


@dataclass(frozen=True, slots=True)
class Look:
    """A file at one moment: look before reading it, and no later change is missed.

    Attributes:
        path: Where it is.
        state: What tells it from what it was; None while it is missing.
    """

    path: Path
    state: tuple[int, int, int, int] | None

    @classmethod
    def at(cls, path: Path) -> "Look":
        """The file as it is now. Links are followed, as `open` does."""
        try:
            found = os.stat(path)  # noqa: PTH116 - Path.stat is twice as slow
        except OSError:
            return cls(path, None)
        return cls(path, (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size))


class FileWatcher:
    """Looks at files twice a second and says when one has become another.

    Polling works everywhere, on network mounts and for the symbolic links by which Kubernetes swaps mounted secrets; it
    costs a few microseconds.

    Args:
        files: The files as they were when they were last read. One that goes missing, as in the middle of a swap, has
            not changed.
        on_change: Called on the watcher's thread.
    """

    def __init__(self, files: Sequence[Look], on_change: Callable[[], None]) -> None:
        self._files = tuple(files)
        self._on_change = on_change
        self._closed = threading.Event()

    def start(self) -> None:
        """Start the thread; again in each forked child."""
        restart_in_forked_child(self)
        threading.Thread(target=self._run, name="micromegas-files", daemon=True).start()

    def close(self) -> None:
        """Stop the thread."""
        self._closed.set()

    def after_fork(self) -> None:
        """The thread is not in the child: start it there, unless it was stopped."""
        if not self._closed.is_set():
            self._closed = threading.Event()
            self.start()

    def _run(self) -> None:
        while not self._closed.wait(POLL_SECONDS):
            now = tuple(Look.at(seen.path) for seen in self._files)
            changed = any(look.state not in (None, seen.state) for look, seen in zip(now, self._files, strict=True))
            if not changed:
                continue
            self._files = now
            try:
                self._on_change()
            except Exception as error:  # noqa: BLE001 - the thread must live, or no later change would be seen
                _logger.error("a changed file was not taken over: unexpected %s", type(error).__name__)

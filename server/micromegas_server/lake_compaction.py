"""Makes many small files of a table into few large ones, while it is written and read."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from micromegas_auth.text import quoted
from micromegas_server.lake_files import LakeFiles
from micromegas_server.lake_parquet import Stopped, merge

# A file is merged with others of its class: each merge makes one of the next, so a row is written about once for each.
CLASSES = (128 * 1024, 4 * 1024 * 1024, 128 * 1024 * 1024)  # bytes; larger files are never merged
FAN_IN = 32  # files of a class

_RETRY_SECONDS = 60.0
_logger = logging.getLogger("micromegas_server")


class Compactor:
    """A thread that merges files of all tables.

    Args:
        files: The lake.
        delay: At least so long from one look at them to the next, in seconds.
    """

    def __init__(self, files: LakeFiles, delay: float) -> None:
        self._files = files
        self._delay = delay
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lake-compaction", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There are new files."""
        self._news.set()

    def close(self) -> None:
        """Break off the merge that is running; the lake is as if it had not begun."""
        self._closing.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        while self._news.wait() and not self._closing.is_set():
            self._news.clear()
            done = [self._compact(table) for table in self._files.tables()]
            self._closing.wait(self._delay if all(done) else _RETRY_SECONDS)

    def _compact(self, table: str) -> bool:
        try:
            while compact(self._files, table, self._closing.is_set):
                pass
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - a full disk or a broken file must not end it for good
            _logger.warning("files of table %s cannot be merged: %s", quoted(table), quoted(str(error)))
            return False
        return True


def compact(files: LakeFiles, table: str, stop: Callable[[], bool] = lambda: False) -> bool:
    """Merge files of a table once, where there are enough.

    Returns:
        Whether there were.

    Raises:
        OSError, pyarrow.ArrowException: A file cannot be read or written; nothing has changed.
        Stopped: `stop` said so; nothing has changed.
    """
    chosen = _choose(files.files(table))
    if not chosen:
        return False
    merged = files.new_file()
    try:
        merge(chosen, merged, stop)
        files.replace(table, set(chosen), merged)
    finally:
        merged.unlink(missing_ok=True)
    return True


def _choose(paths: list[Path]) -> list[Path]:
    sizes = {path: path.stat().st_size for path in paths}
    smallest = 0
    for largest in CLASSES:
        members = [path for path in paths if smallest <= sizes[path] < largest]
        if len(members) >= FAN_IN:
            return _up_to(members, sizes)
        smallest = largest
    return []


def _up_to(paths: list[Path], sizes: dict[Path, int]) -> list[Path]:
    """The first of them, two at least, that together are not much larger than a file should become."""
    total = 0
    for count, path in enumerate(paths, 1):
        total += sizes[path]
        if count > 1 and total >= CLASSES[-1]:
            return paths[:count]
    return paths

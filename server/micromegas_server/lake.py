"""Where telemetry lies: a folder in which each folder of Parquet files is a table."""

import fcntl
import os
import weakref
from pathlib import Path

# A table that the writer keeps is a symbolic link to the folder of its current version, which lies in here.
VERSIONS = ".lake/versions"


class Lake:
    """The tables of a folder, as they are at the moment of asking.

    Args:
        folder: The lake.

    Raises:
        NotADirectoryError: `folder` is none.

    Attributes:
        folder: The lake, as an absolute path.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotADirectoryError(str(folder))
        self.folder = folder.resolve()

    def tables(self) -> list[str]:
        """The names of all tables, sorted. A folder without a Parquet file is none yet."""
        return sorted(entry.name for entry in self.folder.iterdir() if _is_table(entry))

    def has_table(self, name: str) -> bool:
        """Whether there is a table of that name. A name never leads out of the lake."""
        return is_table_name(name) and _is_table(self.folder / name)

    def snapshot(self, name: str) -> "Snapshot":
        """The files of a table, for as long as they are read.

        Raises:
            FileNotFoundError: There is no such table.
        """
        link = self.folder / name
        while True:
            target = _version(link)
            if target is None:
                return Snapshot(name)
            try:
                lock = os.open(self.folder / target, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                if _version(link) == target:
                    raise
                continue
            snapshot = Snapshot(target, lock)
            fcntl.flock(lock, fcntl.LOCK_SH)
            # While this is still the current version, the writer has not begun to remove it, and now it cannot.
            if _version(link) == target:
                return snapshot


class Snapshot:
    """The files of a table. Of one that the writer keeps, none is removed as long as this object lives.

    Args:
        path: Of their folder, within the lake.
        lock: A descriptor to close at the end: the writer removes no folder on which there is a lock.
    """

    def __init__(self, path: str, lock: int | None = None) -> None:
        self.path = path
        if lock is not None:
            weakref.finalize(self, os.close, lock)


def is_table_name(name: str) -> bool:
    """Whether a table may be called so."""
    # A name that cannot be printed is not UTF-8, or holds what no object store takes.
    return name != "" and not name.startswith(".") and "/" not in name and name.isprintable()


def _is_table(folder: Path) -> bool:
    if not is_table_name(folder.name):
        return False
    try:
        return folder.is_dir() and next(folder.glob("*.parquet"), None) is not None
    except OSError:  # a name that is too long
        return False


def _version(link: Path) -> str | None:
    """What a table's link points to; None where it is a folder of the user's own."""
    if not link.is_symlink():
        return None
    target = str(link.readlink())
    return target if target.startswith(f"{VERSIONS}/") else None

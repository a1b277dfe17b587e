"""The files of a lake, as its one writer changes them: every change is whole or not there, whenever the process ends.

    LAKE/log_entries -> .lake/versions/log_entries/12     a table: a link to the folder of its current version
    LAKE/.lake/versions/log_entries/12/13.parquet         its files; versions share them, as hard links
    LAKE/.lake/commits/13/log_entries.parquet             committed, not yet in all its tables
    LAKE/.lake/staging/                                   unfinished; emptied at the start
    LAKE/.lake/lock                                       held by the writer

(The numbers are padded with zeros; each is given once.) docs/decisions/lake.md says why.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from micromegas_server.lake import VERSIONS, is_table_name
from micromegas_server.lake_parquet import write

SUFFIX = ".parquet"


class LakeInUse(Exception):
    """Another process writes to this lake."""


class LakeFiles:
    """Finishes or removes what an earlier process left behind, then changes the lake.

    `commit` and `replace` may run at the same time, each in one thread.

    Args:
        folder: The lake; made if need be.

    Raises:
        LakeInUse: There is a writer already.
        OSError: The folder cannot be made, read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        internal = self._folder / ".lake"
        self._versions, self._commits, self._staging = (internal / name for name in ("versions", "commits", "staging"))
        for path in (self._versions, self._commits):
            path.mkdir(parents=True, exist_ok=True)
        # The kernel lets go of it when the process ends, however it does.
        self._held = os.open(internal / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._held)
            raise LakeInUse(
                f"another process writes to the lake {self._folder}: only one may; stop it, or take another"
            ) from None
        self._change = threading.RLock()
        self._current: dict[str, Path] = {}
        try:
            self._recover()
        except BaseException:
            self.close()
            raise
        for path in (internal, self._folder):
            _sync(path)

    def close(self) -> None:
        """Let another writer in."""
        os.close(self._held)

    def tables(self) -> list[str]:
        """The names of the tables that are kept here, not those of folders that somebody else made."""
        return list(self._current)

    def schema(self, table: str) -> pa.Schema | None:
        """The columns of a table; None where it has no row yet.

        Raises:
            ValueError: There can be no such table.
        """
        if not is_table_name(table) or len(os.fsencode(table)) > 200:
            raise ValueError(f"{table!r:.100} cannot be the name of a table")
        if table not in self._current and os.path.lexists(self._folder / table):
            raise ValueError(f"table {table!r} is a folder that was not made by this writer: move it away")
        with self._change:
            files = self.files(table) if table in self._current else []
            return pq.read_schema(files[0]) if files else None

    def files(self, table: str) -> list[Path]:
        """The current files of a table, the oldest first; all of them are there to stay until they are replaced."""
        with self._change:
            self._withdraw_leftovers()
            return sorted(path for path in self._current[table].iterdir() if path.suffix == SUFFIX)

    def new_file(self) -> Path:
        """Where a file for `replace` is to be written; what is left there is gone after the next start."""
        return self._staging / f"{self._number()}{SUFFIX}"

    def commit(self, tables: Mapping[str, pa.Table]) -> None:
        """Add rows to tables. They are on disk, and readers see them, when this returns.

        Raises:
            OSError: None of them is there. (Where the disk refuses even to undo it, they go with the next change, or
                all of them appear at the next start.)
        """
        number = self._number()
        staged, committed = self._staging / number, self._commits / number
        try:
            staged.mkdir()
            for table, rows in tables.items():
                write(staged / f"{table}{SUFFIX}", rows)
            _sync(staged)
            with self._change:
                self._withdraw_leftovers()
                try:
                    staged.rename(committed)
                    _sync(self._commits)  # from here on a restart finishes what follows
                    self._show(committed)
                    committed.rename(staged)
                except BaseException:
                    self._withdraw_leftovers()
                    raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def replace(self, table: str, old: Collection[Path], merged: Path) -> None:
        """Put one file, written to `new_file()` and synced, in the place of others, at one stroke.

        Raises:
            OSError: It was not done, or what was replaced could not be removed. The rows are the same.
        """
        with self._change:
            self._withdraw_leftovers()
            # After a power failure a commit that had ended might be there again: it must not be shown beside its copy.
            _sync(self._commits)
            kept = [path for path in self._current[table].iterdir() if path not in old]
            self._switch(table, {path.name: path for path in (*kept, merged)})
        merged.unlink()
        self.vacuum(table)

    def vacuum(self, table: str) -> None:
        """Remove the former versions of a table that nobody reads."""
        for version in (self._versions / table).iterdir():
            if version == self._current.get(table):
                continue
            lock = os.open(version, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(version)
            except BlockingIOError:  # somebody reads it: it stays until the next time
                pass
            finally:
                os.close(lock)

    def _number(self) -> str:
        return f"{next(self._numbers):016}"

    def _show(self, commit: Path) -> None:
        """Put the files of a commit into their tables, where they are not there yet."""
        for file in commit.iterdir():
            version = self._current.get(file.stem)
            name = f"{commit.name}{SUFFIX}"
            if version is None:
                self._switch(file.stem, {name: file})
                continue
            with contextlib.suppress(FileExistsError):
                os.link(file, version / name)
            _sync(version)

    def _withdraw_leftovers(self) -> None:
        """Undo the commit that failed in the middle, where there is one."""
        for commit in self._commits.iterdir():
            for file in commit.iterdir():
                if version := self._current.get(file.stem):
                    (version / f"{commit.name}{SUFFIX}").unlink(missing_ok=True)
                    _sync(version)
            commit.rename(self._staging / commit.name)
            _sync(self._commits)

    def _switch(self, table: str, files: Mapping[str, Path]) -> None:
        """Make a version of exactly these files the current one."""
        number = self._number()
        staged, version = self._staging / number, self._versions / table / number
        try:
            staged.mkdir()
            for name, path in files.items():
                os.link(path, staged / name)
            _sync(staged)
            version.parent.mkdir(exist_ok=True)
            staged.rename(version)
            for path in (version.parent, self._versions):
                _sync(path)
            self._point(table, version)
        except BaseException:
            if self._current.get(table) != version:
                for path in (staged, version):
                    shutil.rmtree(path, ignore_errors=True)
            raise

    def _point(self, table: str, version: Path) -> None:
        link = self._staging / f"{version.name}.link"
        link.symlink_to(f"{VERSIONS}/{table}/{version.name}")
        link.rename(self._folder / table)
        self._current[table] = version
        _sync(self._folder)

    def _recover(self) -> None:
        self._numbers = itertools.count(1 + max((_number(path) for path in self._all()), default=0))
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir()
        for folder in self._versions.iterdir():
            link = self._folder / folder.name
            if not os.path.lexists(link) and (versions := sorted(folder.iterdir())):
                self._point(folder.name, versions[-1])  # lost by a copy without links, or not made in time
            elif link.is_symlink() and (version := self._folder / link.readlink()).parent == folder:
                self._current[folder.name] = version
        for commit in sorted(self._commits.iterdir()):
            self._show(commit)
            commit.rename(self._staging / commit.name)
        _sync(self._commits)
        for table in self.tables():
            self.vacuum(table)

    def _all(self) -> itertools.chain[Path]:
        return itertools.chain(self._commits.iterdir(), self._versions.glob("*/*"), self._versions.glob("*/*/*"))


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdecimal() else 0


def _sync(folder: Path) -> None:
    """Make the names in a folder durable; fsync(2): that of a file does not do it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

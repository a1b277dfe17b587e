"""Takes rows from any number of threads and commits them to the lake together."""

import threading
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

import pyarrow as pa

from micromegas_server.lake_compaction import Compactor
from micromegas_server.lake_files import LakeFiles, LakeInUse
from micromegas_server.lake_parquet import check_schema

__all__ = ["LakeFull", "LakeInUse", "LakeWriter"]


class LakeFull(Exception):
    """As many rows wait to be written as may.

    Attributes:
        retry_after: When there may be room again, in seconds.
    """

    def __init__(self, retry_after: float = 1.0) -> None:
        super().__init__(f"too much waits to be written: try again in {retry_after:g} s")
        self.retry_after = retry_after


class LakeWriter:
    """The one writer of a lake. Safe to use from any number of threads; what it has not acknowledged may be lost.

    Args:
        folder: The lake; made if need be.
        max_pending_bytes: Of rows in memory that are not yet on disk. A submission that is larger alone is taken when
            there are no others.
        commit_delay: How long the first of several submissions waits for others to join its commit, in seconds.
        compaction_delay: How often at most small files are looked for, in seconds.

    Raises:
        LakeInUse: Another process writes to it.
        OSError: The folder cannot be made, read or written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_pending_bytes: int = 256 * 1024 * 1024,
        commit_delay: float = 0.05,
        compaction_delay: float = 1.0,
    ) -> None:
        self._max_pending_bytes = max_pending_bytes
        self._commit_delay = commit_delay
        self._files = LakeFiles(folder)
        self._compactor = Compactor(self._files, compaction_delay)
        self._compactor.wake()
        self._schemas: dict[str, pa.Schema] = {}
        self._waiting: list[_Submission] = []
        self._pending_bytes = 0
        self._news = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lake-commits", daemon=True)
        self._thread.start()

    def submit(self, batches: Mapping[str, pa.RecordBatch]) -> Future[None]:
        """Add rows to tables; those that do not exist are made.

        Args:
            batches: The rows of each table, by its name.

        Returns:
            Done when all of them are on disk and readers see them. Where that fails with an OSError, or another
            exception of pyarrow, none of them is there (`LakeFiles.commit` has the fine print). It cannot be cancelled.

        Raises:
            LakeFull: There is no room; nothing was taken.
            ValueError: A name or a column cannot be stored, or the columns are not those of the table.
            RuntimeError: The writer is closed.
        """
        submission = _Submission({name: batch for name, batch in batches.items() if batch.num_rows})
        with self._news:
            if self._closing.is_set():
                raise RuntimeError("the writer of the lake is closed")
            for name, batch in batches.items():
                self._check(name, batch.schema)
            if self._pending_bytes and self._pending_bytes + submission.size > self._max_pending_bytes:
                raise LakeFull
            self._pending_bytes += submission.size
            self._waiting.append(submission)
            self._news.notify()
        return submission.future

    def close(self) -> None:
        """Commit what has been submitted, and let another writer in."""
        with self._news:
            if self._closing.is_set():
                return
            self._closing.set()
            self._news.notify()
        self._thread.join()
        self._compactor.close()
        self._files.close()

    def _check(self, name: str, schema: pa.Schema) -> None:
        known = self._schemas.get(name)
        if known is None:
            known = self._files.schema(name)
            if known is None:
                check_schema(schema)
                known = schema
            self._schemas[name] = known
        if not known.equals(schema):
            raise ValueError(f"the columns of table {name!r} are {_listed(known)}, not {_listed(schema)}")

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._closing.is_set())
                if not self._waiting:
                    return
            self._closing.wait(self._commit_delay)
            with self._news:
                group, self._waiting = self._waiting, []
            self._commit(group)

    def _commit(self, group: "list[_Submission]") -> None:
        tables: defaultdict[str, list[pa.RecordBatch]] = defaultdict(list)
        for submission in group:
            for name, batch in submission.batches.items():
                tables[name].append(batch)
        failure = None
        try:
            self._files.commit({name: pa.Table.from_batches(batches) for name, batches in tables.items()})
        except Exception as error:  # noqa: BLE001 - it goes to those who wait, and the next group may succeed
            failure = error
        self._compactor.wake()
        with self._news:
            self._pending_bytes -= sum(submission.size for submission in group)
        for submission in group:
            if failure is None:
                submission.future.set_result(None)
            else:
                submission.future.set_exception(failure)


class _Submission:
    def __init__(self, batches: Mapping[str, pa.RecordBatch]) -> None:
        self.batches = batches
        self.size = sum(batch.nbytes for batch in batches.values())
        self.future: Future[None] = Future()
        # Who no longer waits cannot take it back: its rows may be in a file already.
        self.future.set_running_or_notify_cancel()


def _listed(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)

"""What test_lake_faults.py runs: `python lake_scenarios.py NAME FOLDER` prints `as it should be`, or what went wrong.

Each works in a process of its own, where every step that it takes on the disk can be made to kill it, or to fail.
"""

import contextlib
import errno
import itertools
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from micromegas_server import lake_compaction
from micromegas_server.lake import Lake
from micromegas_server.lake_compaction import compact
from micromegas_server.lake_files import LakeFiles

TABLES = ("a", "b")
_STEPS = {"open", "os.link", "os.rename", "os.mkdir", "os.symlink", "os.remove", "os.rmdir", "os.scandir", "os.listdir"}


class Disk:
    """Counts the steps, and lets something happen at one of them."""

    def __init__(self) -> None:
        self._act: Callable[[int], None] | None = None
        self._count = 0
        fsync = os.fsync

        def sync(fd: Any) -> None:
            self._step()
            fsync(fd)

        os.fsync = sync  # the one step that Python has no audit event for
        sys.addaudithook(lambda event, _: self._step() if event in _STEPS else None)

    @contextlib.contextmanager
    def at_each_step(self, act: Callable[[int], None]) -> Iterator[None]:
        self._count, self._act = 0, act
        try:
            yield
        finally:
            self._act = None

    def _step(self) -> None:
        if self._act:
            self._count += 1
            self._act(self._count)


def ids(folder: Path, table: str) -> list[int]:
    """What a reader finds, sorted."""
    lake = Lake(folder)
    if not lake.has_table(table):
        return []
    snapshot = lake.snapshot(table)
    files = (folder / snapshot.path).glob("*.parquet")
    return sorted(itertools.chain.from_iterable(pq.read_table(file)["id"].to_pylist() for file in files))


def commit(files: LakeFiles, *values: int) -> None:
    files.commit({table: pa.table({"id": list(values)}) for table in TABLES})


def merge_all(files: LakeFiles, *_: int) -> None:
    for table in TABLES:
        assert compact(files, table)


def first_commit(files: LakeFiles) -> None:
    commit(files, 8, 9)


def with_rows(folder: Path) -> None:
    files = LakeFiles(folder)
    for value in range(3):
        commit(files, value)
    files.close()


def with_a_commit_left(folder: Path) -> None:
    """Its files are in all tables but one; the process ended there."""
    with_rows(folder)
    number = f"{900:016}"
    staged = folder / ".lake/commits" / number
    staged.mkdir()
    for table in TABLES:
        pq.write_table(pa.table({"id": [8, 9]}), staged / f"{table}.parquet")
    version = folder / (folder / "b").readlink()
    os.link(staged / "b.parquet", version / f"{number}.parquet")


SCENARIOS: dict[str, tuple[Callable[[Path], None], Callable[[LakeFiles], None], list[list[int]]]] = {
    # name: (the lake before, what is done, what may be there after)
    "first_commit": (lambda _: None, first_commit, [[], [8, 9]]),
    "commit": (with_rows, first_commit, [[0, 1, 2], [0, 1, 2, 8, 9]]),
    "compaction": (with_rows, merge_all, [[0, 1, 2]]),
    "start": (with_a_commit_left, lambda _: None, [[0, 1, 2, 8, 9]]),
    "start_and_compaction": (with_a_commit_left, merge_all, [[0, 1, 2, 8, 9]]),
}


def kill(name: str, folder: Path, disk: Disk) -> None:
    """SIGKILL at the first step, at the second, and so on until it comes to its end."""
    before, act, expected = SCENARIOS[name]
    for step in itertools.count(1):
        lake = folder / str(step)
        lake.mkdir()
        before(lake)
        killed = _run_killed(act, lake, disk, step)
        for table in TABLES:  # before a restart: a table may lack the commit, but has all of it or nothing
            assert ids(lake, table) in [*expected, [0, 1, 2]], (step, table, ids(lake, table))
        _check(lake, expected if killed else expected[-1:], step)
        shutil.rmtree(lake)
        if not killed:
            assert step > 20
            return


def _run_killed(act: Callable[[LakeFiles], None], lake: Path, disk: Disk, at: int) -> bool:
    child = os.fork()
    if child == 0:
        with disk.at_each_step(lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == at else None):
            act(LakeFiles(lake))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def fail(name: str, folder: Path, disk: Disk, *, lasting: bool) -> None:
    """The disk is full for one step, or for all from that on; then there is room again."""
    before, act, expected = SCENARIOS[name]
    for step in itertools.count(1):
        lake = folder / str(step)
        lake.mkdir()
        before(lake)
        files = LakeFiles(lake)

        def refuse(now: int, step: int = step) -> None:
            if now == step or (lasting and now > step):
                raise OSError(errno.ENOSPC, "No space left on device")

        try:
            with disk.at_each_step(refuse):
                act(files)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - no test of pytest's
            failed = True
        else:
            failed = False
        commit(files, 20)
        seen = [ids(lake, table) for table in TABLES]
        assert all(rows == [*expected[0 if failed else -1], 20] for rows in seen), (step, failed, seen)
        files.close()
        _check(lake, [[*expected[0 if failed else -1], 20]], step)
        shutil.rmtree(lake)
        if not failed and step > 60:
            return


def _check(lake: Path, expected: list[list[int]], step: int) -> None:
    """After a restart the tables agree, nothing is left lying about, and all goes on."""
    files = LakeFiles(lake)
    seen = [ids(lake, table) for table in TABLES]
    assert seen[0] == seen[1], (step, seen)
    assert seen[0] in expected, (step, seen)
    assert not list((lake / ".lake/commits").iterdir())
    for table in files.tables():
        assert len(list((lake / ".lake/versions" / table).iterdir())) == 1, step
    commit(files, 30)
    compact(files, "a")
    assert [ids(lake, table) for table in TABLES] == [[*seen[0], 30]] * 2, step
    files.close()


def main() -> int:
    lake_compaction.FAN_IN = 2
    kind, name = sys.argv[1].split(":")
    folder, disk = Path(sys.argv[2]), Disk()
    try:
        if kind == "kill":
            kill(name, folder, disk)
        else:
            fail(name, folder, disk, lasting=kind == "full")
    except Exception:  # noqa: BLE001 - the test shows it
        traceback.print_exc()
        return 1
    print("as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a submission is told: taken, full, refused, done or failed."""

import errno
import os
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from micromegas_server.lake_writer import LakeFull, LakeInUse, LakeWriter

PATIENCE = 20.0
NEVER = 3600.0  # seconds: a commit comes when the writer is closed


def batch(*values: int) -> pa.RecordBatch:
    return pa.record_batch({"id": pa.array(values, pa.int64())})


def ids(lake: Path, table: str = "t") -> list[int]:
    rows: list[int] = pq.read_table(lake / table)["id"].to_pylist()
    return rows


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LakeWriter]:
    writer = LakeWriter(tmp_path, commit_delay=0)
    yield writer
    writer.close()


def done(future: Future[None]) -> None:
    future.result(PATIENCE)


def test_rows_are_there_when_it_is_done(writer: LakeWriter, tmp_path: Path) -> None:
    done(writer.submit({"t": batch(1), "u": batch(2, 3)}))
    assert (ids(tmp_path), ids(tmp_path, "u")) == ([1], [2, 3])
    done(writer.submit({"t": batch(4)}))
    assert sorted(ids(tmp_path)) == [1, 4]


def test_submissions_are_committed_together(tmp_path: Path) -> None:
    writer = LakeWriter(tmp_path, commit_delay=NEVER)
    futures = [writer.submit({"t": batch(value)}) for value in range(5)]
    assert not any(future.done() or future.cancel() for future in futures)
    writer.close()
    assert all(future.result(0) is None for future in futures)
    assert ids(tmp_path) == [0, 1, 2, 3, 4]
    assert len(list((tmp_path / "t").iterdir())) == 1


def test_the_bound(tmp_path: Path) -> None:
    """What is pending is bounded; a submission that is larger alone is taken when nothing is."""
    writer = LakeWriter(tmp_path, commit_delay=NEVER, max_pending_bytes=20)
    large = writer.submit({"t": batch(1, 2, 3)})
    with pytest.raises(LakeFull) as caught:
        writer.submit({"t": batch(4)})
    assert caught.value.retry_after > 0
    writer.close()
    done(large)
    assert ids(tmp_path) == [1, 2, 3]
    writer = LakeWriter(tmp_path, commit_delay=0, max_pending_bytes=20)
    for value in range(4, 10):  # what is done counts no longer
        done(writer.submit({"t": batch(value, value)}))
    writer.close()


def test_no_rows(writer: LakeWriter, tmp_path: Path) -> None:
    done(writer.submit({}))
    done(writer.submit({"t": batch()}))
    assert not (tmp_path / "t").exists()


def test_after_the_end(tmp_path: Path) -> None:
    writer = LakeWriter(tmp_path)
    with pytest.raises(LakeInUse):
        LakeWriter(tmp_path)
    writer.close()
    writer.close()
    with pytest.raises(RuntimeError, match="closed"):
        writer.submit({"t": batch(1)})
    LakeWriter(tmp_path).close()


def test_a_lake_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        LakeWriter(tmp_path / "file")


COLUMNS: dict[str, pa.Array] = {
    "ns": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", tz="UTC")),
    "dictionary": pa.array(["x"]).dictionary_encode(),
    "properties": pa.array([[{"key": "k"}]], pa.list_(pa.struct({"key": pa.string(), "value": pa.string()}))),
    "values": pa.array([[1.5, None]], pa.list_(pa.float64())),
    "payload": pa.array([b"\0\xff"]),
    "nothing": pa.array([None], pa.string()),
    "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())),
}  # fmt: skip


def test_columns_are_kept_as_they_are(writer: LakeWriter, tmp_path: Path) -> None:
    """And are the same for the writer that comes after."""
    row = pa.record_batch(COLUMNS)
    done(writer.submit({"t": row}))
    assert pq.read_table(tmp_path / "t").equals(pa.table(row))
    writer.close()
    after = LakeWriter(tmp_path, commit_delay=0)
    done(after.submit({"t": row}))
    after.close()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1], pa.timestamp("s")),
        pa.array([1], pa.time32("s")),
        pa.array([1, 1], pa.int64()).dictionary_encode(),
        pa.array(["x"], pa.dictionary(pa.int8(), pa.string())),
        pa.array([[None]], pa.list_(pa.dictionary(pa.int16(), pa.string()))),
        pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_that_would_change(writer: LakeWriter, column: pa.Array) -> None:
    with pytest.raises(ValueError, match="column 'c': "):
        writer.submit({"t": pa.record_batch({"c": column})})
    done(writer.submit({"t": batch(1)}))


@pytest.mark.parametrize("first", ["submitted", "on disk"])
@pytest.mark.parametrize(
    "other", [{"id": pa.array([1], pa.int32())}, {"ID": [1]}, {"id": [1], "more": [1]}, {"more": [1]}, {"id": ["1"]}]
)
def test_other_columns(tmp_path: Path, other: dict[str, Any], first: str) -> None:
    writer = LakeWriter(tmp_path, commit_delay=0)
    writer.submit({"t": batch(1)})
    if first == "on disk":
        writer.close()
        writer = LakeWriter(tmp_path, commit_delay=0)
    with pytest.raises(ValueError, match="the columns of table 't' are id: int64, not "):
        writer.submit({"u": batch(5), "t": pa.record_batch(other)})
    done(writer.submit({"t": batch(2)}))
    writer.close()
    assert sorted(ids(tmp_path)) == [1, 2]
    assert not (tmp_path / "u").exists()


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".lake", "a/b", "../a", "/a", "a\0", "line\nbreak", "x" * 250, "\ud800"]
)
def test_names_that_are_none(writer: LakeWriter, name: str) -> None:
    with pytest.raises(ValueError, match="name of a table"):
        writer.submit({name: batch(1)})


@pytest.mark.parametrize("name", ["t.parquet", "two words", "é", "*", "a%20b"])
def test_odd_names(writer: LakeWriter, tmp_path: Path, name: str) -> None:
    done(writer.submit({name: batch(1)}))
    assert ids(tmp_path, name) == [1]


def test_a_disk_that_fails(writer: LakeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All who wait for the commit hear of it, and the next one succeeds."""
    done(writer.submit({"t": batch(1)}))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        failed = writer.submit({"t": batch(2), "u": batch(2)})
        with pytest.raises(OSError, match="No space left"):
            failed.result(PATIENCE)
    done(writer.submit({"t": batch(3)}))
    assert sorted(ids(tmp_path)) == [1, 3]
    assert not (tmp_path / "u").exists()


def test_small_files_become_few(tmp_path: Path) -> None:
    writer = LakeWriter(tmp_path, commit_delay=0, compaction_delay=0)
    done(writer.submit({"t": batch(0)}))
    count, version = 1, (tmp_path / "t").readlink()
    while (tmp_path / "t").readlink() == version:
        assert count < 10_000
        done(writer.submit({"t": batch(count)}))
        count += 1
    writer.close()
    assert sorted(ids(tmp_path)) == list(range(count))
    assert len(list((tmp_path / "t").iterdir())) < count

"""What test_lake_kill.py and test_lake_queries.py start: `python lake_child.py FOLDER SUBMITTERS FIRST COUNT`.

Each submitter adds one number after the other to the tables `a` and `b`, twice to `b`, and says so when it is durable.
"""

import itertools
import os
import sys
import threading
from pathlib import Path

import pyarrow as pa
from micromegas_server import lake_compaction
from micromegas_server.lake_writer import LakeWriter


def main() -> None:
    folder, submitters, first, count = Path(sys.argv[1]), *map(int, sys.argv[2:])
    lake_compaction.FAN_IN = 4
    writer = LakeWriter(folder, commit_delay=0, compaction_delay=0)
    numbers = itertools.count(first)

    def submit() -> None:
        while (number := next(numbers)) < first + count:
            rows = pa.record_batch({"id": [number]})
            writer.submit({"a": rows, "b": pa.record_batch({"id": [number, number]})}).result()
            os.write(1, f"{number}\n".encode())

    threads = [threading.Thread(target=submit) for _ in range(submitters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()


if __name__ == "__main__":
    main()

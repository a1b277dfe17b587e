"""`python -m benchmarks [--json FILE]`: print each row as a ratio; a figure that is too noisy is withheld."""

import argparse
import json
import os
import platform
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain
from pathlib import Path

from benchmarks import flight, http, ingestion, rows
from benchmarks.memory import remembered_megabytes
from benchmarks.timing import MAX_SPREAD, Result


def main() -> None:
    """Run all rows."""
    warnings.filterwarnings("ignore", message="EdDSA is deprecated")  # joserfc, which signs the tokens
    warnings.filterwarnings("ignore", message="authlib.jose")  # deprecated in favour of joserfc, and still used
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    arguments = parser.parse_args()
    results = []
    # Before this process is pinned, as the servers of these rows are its children and need the other core.
    for result in chain(flight.run(), http.run(), ingestion.run()):
        print(_line(result), flush=True)
        results.append(result)
    megabytes = remembered_megabytes()
    print(f"{'memory of 100,000 cached tokens':50} {megabytes:6.1f} MB", flush=True)
    if hasattr(os, "sched_setaffinity"):  # one core, so that the subject and its base run on the same one
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for result in chain(rows.run(), _comparison()):
        print(_line(result), flush=True)
        results.append(result)
    if arguments.json is not None:
        report = {"machine": _machine(), "cached_100000_mb": round(megabytes, 1), "rows": [_row(r) for r in results]}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


def _comparison() -> Iterator[Result]:
    try:
        from benchmarks import comparison
    except ModuleNotFoundError as error:
        print(f"no comparison with other libraries: {error.name} is not installed (`python3 run.py bench` does it)")
    else:
        yield from comparison.run()


def _line(result: Result) -> str:
    if result.is_noisy:
        return f"{result.name:50} too noisy: spread {result.spread:.0%} is above {MAX_SPREAD:.0%}; run again"
    times = f"{result.subject_us:7.2f} us / {result.base_us:6.2f} us"
    return f"{result.name:50} {result.ratio:6.2f}x  (spread {result.spread:.0%}; best {times})"


def _row(result: Result) -> dict[str, object]:
    if result.is_noisy:
        return {"name": result.name, "too_noisy": True, "spread": round(result.spread, 4)}
    return {
        "name": result.name,
        "ratio": round(result.ratio, 3),
        "spread": round(result.spread, 4),
        "subject_us": round(result.subject_us, 3),
        "base_us": round(result.base_us, 3),
    }


def _machine() -> dict[str, str]:
    packages = ("cryptography", "pyjwt", "msgspec", "pydantic")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": str(os.cpu_count()),
        **{package: version(package) for package in packages},
    }


if __name__ == "__main__":
    main()

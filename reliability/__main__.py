"""Break issuers, change keys, race threads and fill a lake, and tell what callers saw of it."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from reliability import catalogue, faults, identity, ingestion, report, rotation, swaps
from reliability.door import DOORS
from reliability.rotation import MakeDoor
from reliability.world import world

Doors = dict[str, MakeDoor]
Part = Callable[[float, Doors], tuple[str, list[str]]]  # minutes, through which -> a text, and what is not as promised


def main() -> None:
    """Run the parts that are asked for. The exit code is 1 where something is not as promised."""
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all unless given")
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        metavar="N",
        help="how long identity and ingestion run (default 10); rotation takes half as long and then swaps the key N "
        "times; the faults take some ten minutes, whatever N is",
    )
    by_option = {name.lower(): name for name in DOORS}
    parser.add_argument("--door", choices=by_option, help="go through this one alone; through each unless given")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/reliability.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    doors = {name: DOORS[name] for name in ([by_option[arguments.door]] if arguments.door else DOORS)}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):  # the issuers are on this machine
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    complaints = []
    for name in arguments.parts or PARTS:
        text, wrong = PARTS[name](arguments.minutes, doors)
        complaints += wrong
        through = f" --door {arguments.door}" if arguments.door else ""
        text += "\n" + report.provenance(
            f"python -m reliability {name} --minutes {arguments.minutes:g}{through} --write"
        )
        print(f"== {name}\n{text}\n", flush=True)
        if arguments.write:
            report.write(name, text)
    print("\n".join(complaints) if complaints else "all is as promised")
    sys.exit(1 if complaints else 0)


def _faults(_: float, doors: Doors) -> tuple[str, list[str]]:
    texts, complaints = [], []
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as around:
        for door, make_door in doors.items():
            results = []
            for fault in catalogue.FAULTS:
                print(f"{door}: {fault.name}", file=sys.stderr, flush=True)
                results.append(faults.run(fault, around, make_door, calls=200))
                complaints += results[-1].complaints
            texts.append(report.faults(door, results))
    return "\n".join(texts), complaints


def _rotation(minutes: float, doors: Doors) -> tuple[str, list[str]]:
    texts, complaints = [], []
    for door, make_door in doors.items():
        rotated = rotation.rotate(minutes * 30, make_door, rotation.Times())
        swapped = swaps.swap(max(round(minutes), 1), make_door, refresh=5.0, cooldown=10.5)
        texts.append(report.rotation(door, rotated, swapped))
        complaints += [*rotated.complaints, *swapped.complaints]
    return "\n".join(texts), complaints


def _identity(minutes: float, _: Doors) -> tuple[str, list[str]]:
    result = identity.run(minutes * 60)
    return report.identity(result), result.complaints


def _ingestion(minutes: float, _: Doors) -> tuple[str, list[str]]:
    with tempfile.TemporaryDirectory() as lake:
        result = ingestion.run(Path(lake), minutes * 60)
        return ingestion.report(result), result.complaints


PARTS: dict[str, Part] = {
    "faults": _faults,
    "rotation": _rotation,
    "identity": _identity,
    "ingestion": _ingestion,
}

if __name__ == "__main__":
    main()

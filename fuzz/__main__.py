"""`python -m fuzz --minutes N [--seed S] [--only NAME]`: try to fool the library for so long, and say what came of it.

The exit code is 1 where an attempt succeeded. The same seed makes the same attempts.
"""

import argparse
import random
import secrets
import sys
import time
from collections import Counter

from fuzz import guided
from fuzz.attempts import ATTEMPTS
from fuzz.fault import Fault

MAX_SHOWN = 10
SHARES = {**{name: attempt.share for name, attempt in ATTEMPTS.items()}, "guided": 1}


def main() -> int:
    """Make each attempt for its share of the time."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True, metavar="N")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), metavar="S")
    parser.add_argument("--only", choices=SHARES, metavar="NAME", help=", ".join(SHARES))
    arguments = parser.parse_args()
    chosen = [arguments.only] if arguments.only else list(SHARES)
    second = arguments.minutes * 60 / sum(SHARES[name] for name in chosen)
    print(f"seed {arguments.seed}", flush=True)
    faults = 0
    for name in chosen:
        seconds = SHARES[name] * second
        if name == "guided":
            faults += guided.run(arguments.seed, seconds)
        else:
            faults += len(attempt(name, arguments.seed, seconds))
    print(f"\n{faults} faults" if faults else "\nno faults")
    return 1 if faults else 0


def attempt(name: str, seed: int, seconds: float) -> list[Fault]:
    """Make one kind of attempt for so long, and print its figures. The faults, each kind once."""
    began = time.monotonic()
    outcomes: Counter[str] = Counter()
    faults: dict[str, Fault] = {}
    with ATTEMPTS[name].make(random.Random(seed)) as case:  # noqa: S311 - no secret: the same attempts each time
        while time.monotonic() - began < seconds:
            try:
                outcomes[case()] += 1
            except Fault as fault:
                outcomes["FAULT"] += 1
                if fault.what not in faults and len(faults) < MAX_SHOWN:
                    faults[fault.what] = fault
                    print(f"\n{name}, attempt {outcomes.total()}: {fault}", flush=True)
    print(f"\n{name}: {outcomes.total():,} {ATTEMPTS[name].what} in {time.monotonic() - began:.0f} s")
    for outcome, count in outcomes.most_common():
        print(f"{count:>12,}  {outcome}", flush=True)
    return list(faults.values())


if __name__ == "__main__":
    sys.exit(main())

"""What was seen, as the tables of docs/reliability.md."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from reliability.door import Kind
from reliability.faults import FaultResult
from reliability.identity import IdentityResult
from reliability.rotation import RotationResult
from reliability.swaps import SwapResult

DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"


def write(part: str, text: str) -> None:
    """Put `text` between the two markers of `part` in the document."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    pattern = re.compile(f"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})", re.DOTALL)
    before = DOCUMENT.read_text()
    if len(pattern.findall(before)) != 1:
        raise ValueError(f"{DOCUMENT.name} has no place for {part}")
    DOCUMENT.write_text(pattern.sub(lambda _: f"{text}\n", before))


def provenance(command: str) -> str:
    """Which command made the figures, when, and on what machine."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("pyarrow", "cryptography", "pyjwt"))
    return (
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d}; {os.cpu_count()} processors ({_processor()}), "
        f"load average {os.getloadavg()[1]:.1f} at the end; Python {platform.python_version()}, {packages}."
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.*)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.machine()


def faults(door: str, results: Sequence[FaultResult]) -> str:
    """Two tables: faults that leave the last good keys in force, and those that leave none."""
    with_keys = [result for result in results if not _is_keyless(result)]
    calls = sum(tally.calls for result in results for tally in result.tallies.values())
    return "\n".join(
        [
            f"Through the {door} door, {calls:,} calls in all.",
            "",
            "| fault | calls | refused: known key | refused: neighbours, API keys | longest call, ms: valid / any "
            "| fetches that failed | well again after |",
            "|---|---|---|---|---|---|---|",
            *(_with_keys(result) for result in with_keys),
            "",
            "| no key in force: fault | known key: told UNAVAILABLE / wrong | refused: neighbours, API keys "
            "| longest call, ms | fetches that failed | well again after |",
            "|---|---|---|---|---|---|",
            *(_without_keys(result) for result in results if _is_keyless(result)),
            "",
        ]
    )


def _is_keyless(result: FaultResult) -> bool:
    return result.fault.at_start or result.fault.max_stale is not None


def _with_keys(result: FaultResult) -> str:
    tallies = result.tallies
    valid = max(tallies[role].longest for role in ("known key", "neighbours", "API keys"))
    return (
        f"| {result.fault.name} | {sum(tally.calls for tally in tallies.values()):,} | {tallies['known key'].wrong} "
        f"| {_neighbours(result)} | {valid * 1000:.0f} / {result.longest * 1000:.0f} | {_ending(result)} |"
    )


def _without_keys(result: FaultResult) -> str:
    known = result.tallies["known key"]
    return (
        f"| {result.fault.name} | {known.kinds[Kind.UNAVAILABLE]:,} / {known.wrong} | {_neighbours(result)} "
        f"| {result.longest * 1000:.0f} | {_ending(result)} |"
    )


def _neighbours(result: FaultResult) -> int:
    return result.tallies["neighbours"].wrong + result.tallies["API keys"].wrong


def _ending(result: FaultResult) -> str:
    again = f"{result.recovered_after:.1f} s" if result.came_back else "**never**"
    return f"{result.attempts} in {result.lasted:.1f} s | {again}"


def rotation(door: str, rotated: RotationResult, swapped: SwapResult) -> str:
    """A table for the announced rotations, and one for the swaps."""
    names = {"valid": "valid, new and old keys", "withdrawn": "of a key that is withdrawn", "random kid": "random kid"}
    return "\n".join(
        [
            f"Through the {door} door: {rotated.rotations} rotations in {rotated.seconds:.0f} s, "
            f"{rotated.fetches} fetches of the keys. A token whose key was withdrawn was let in for at most "
            f"{rotated.longest_after_withdrawal:.1f} s more.",
            "",
            "| tokens | calls | let in | wrong answers | longest call, ms |",
            "|---|---|---|---|---|",
            *(
                f"| {names.get(role, role)} | {tally.calls:,} | {tally.kinds[Kind.LET_IN]:,} | {tally.wrong} "
                f"| {tally.longest * 1000:.0f} |"
                for role, tally in rotated.tallies.items()
            ),
            "",
            f"{swapped.swaps} swaps without a warning: {swapped.calls:,} calls with tokens of keys that the server had "
            f"never seen, {len(swapped.refused)} refused, the longest took {swapped.longest * 1000:.0f} ms; "
            f"{swapped.fetches} fetches.",
            "",
        ]
    )


def identity(result: IdentityResult) -> str:
    """A table."""
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            f"| time | {result.seconds:.0f} s |",
            f"| credentials | {result.identities:,} |",
            f"| calls | {result.calls:,} |",
            f"| of these, refused for naming somebody else | {result.refused:,} |",
            f"| withdrawals of a key, each of which voids all cached decisions | {result.withdrawals:,} |",
            f"| calls that got another's identity or attribution, or a wrong refusal | {result.wrong_calls} |",
            "| resident memory, after a fifth and after three quarters of the time "
            f"| {result.resident[0]:.1f} MB, {result.resident[1]:.1f} MB |",
            f"| tracemalloc, early and late in the last quarter "
            f"| {result.traced[0]:.2f} MB, {result.traced[1]:.2f} MB |",
            "",
        ]
    )

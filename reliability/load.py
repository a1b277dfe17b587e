"""Client threads that call a door without a pause, each in its role, and judge every answer."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Self

from reliability.door import CLIENT_PATIENCE, Door, Kind, Outcome

Judge = Callable[[Outcome], bool]
Ask = Callable[[Random], tuple[Mapping[str, str], Judge]]  # headers to send, and whether an answer to them is right


@dataclass(frozen=True)
class Role:
    """What some of the threads do.

    Attributes:
        name: For the report.
        threads: How many do it.
        ask: Makes one request.
    """

    name: str
    threads: int
    ask: Ask


@dataclass
class Tally:
    """What the threads of one role have seen.

    Attributes:
        calls: How many calls have ended.
        wrong: How many of them got an answer that was not right.
        examples: The first few of these, for whoever must find out why.
        longest: The longest call, in seconds, as its client saw it.
        kinds: How often each kind of answer came.
    """

    calls: int = 0
    wrong: int = 0
    examples: list[Outcome] = field(default_factory=list)
    longest: float = 0.0
    kinds: Counter[Kind] = field(default_factory=Counter)


def complaints(tallies: Mapping[str, Tally]) -> list[str]:
    """What is not as promised; empty where all is well."""
    return [f"{role}: {tally.wrong} wrong: {tally.examples}" for role, tally in tallies.items() if tally.wrong]


class Load:
    """A context manager: the load begins with the block and ends with it.

    Args:
        door: What is called.
        roles: What the threads do.
        seed: Of their random choices.
    """

    def __init__(self, door: Door, roles: Sequence[Role], seed: int) -> None:
        self.tallies = {role.name: Tally() for role in roles}
        self._door = door
        self._over = threading.Event()
        self._news = threading.Condition()  # guards the tallies; notified at every call's end
        self._threads = [
            threading.Thread(target=self._run, args=(role, Random(f"{seed}/{role.name}/{number}")), name=role.name)  # noqa: S311
            for role in roles
            for number in range(role.threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * CLIENT_PATIENCE)
            if thread.is_alive():
                raise AssertionError(f"a client hangs: {thread.name}")

    def wait_for(self, seen: Callable[[dict[str, Tally]], bool]) -> None:
        """Wait until the tallies are as `seen` says. Raises AssertionError where that takes too long."""
        with self._news:
            if not self._news.wait_for(lambda: seen(self.tallies), 3 * CLIENT_PATIENCE):
                raise AssertionError(f"not seen in time: {self.tallies}")

    def wait_for_calls(self, count: int) -> None:
        """Wait until every role has ended `count` calls from now on; raises like `wait_for`."""
        wanted = {name: tally.calls + count for name, tally in self.tallies.items()}
        self.wait_for(lambda tallies: all(tallies[name].calls >= calls for name, calls in wanted.items()))

    def _run(self, role: Role, rng: Random) -> None:
        tally = self.tallies[role.name]
        while not self._over.is_set():
            headers, is_right = role.ask(rng)
            begun = time.monotonic()
            outcome = self._door(headers)
            took = time.monotonic() - begun
            right = is_right(outcome)
            with self._news:
                tally.calls += 1
                tally.kinds[outcome.kind] += 1
                tally.longest = max(tally.longest, took)
                if not right:
                    tally.wrong += 1
                    if len(tally.examples) < 5:
                        tally.examples.append(outcome)
                self._news.notify_all()

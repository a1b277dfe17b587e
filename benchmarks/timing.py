"""Two pieces of work timed in turn, so that a machine whose speed drifts slows both and the ratio holds."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 0.004
MAX_SPREAD = 0.10  # of the ratio: a wider run says more about the machine than about the code


@dataclass(frozen=True)
class Result:
    """One row.

    Attributes:
        name: What was measured, and against what.
        ratio: Median of the ratios of neighbouring windows.
        spread: Half the distance of their quartiles, as a share of the ratio.
        subject_us: Microseconds of one call of the subject, in its best window.
        base_us: The same of the base.
    """

    name: str
    ratio: float
    spread: float
    subject_us: float
    base_us: float

    @property
    def is_noisy(self) -> bool:
        """Whether the figure must not be quoted."""
        return self.spread > MAX_SPREAD


def compare(name: str, subject: Callable[[], object], base: Callable[[], object], *, rounds: int = 200) -> Result:
    """Time `subject` against `base` in `rounds` pairs of windows of some milliseconds."""
    repeats = (_repeats(subject), _repeats(base))
    subject_times, base_times = [], []
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            subject_times.append(_window(subject, repeats[0]))
            base_times.append(_window(base, repeats[1]))
    finally:
        gc.enable()
    ratios = [a / b for a, b in zip(subject_times, base_times, strict=True)]
    lower, median, upper = statistics.quantiles(ratios, n=4)
    return Result(name, median, (upper - lower) / 2 / median, min(subject_times) * 1e6, min(base_times) * 1e6)


def _window(work: Callable[[], object], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - began) / repeats


def _repeats(work: Callable[[], object]) -> int:
    _window(work, 3)
    return max(1, int(WINDOW_SECONDS / _window(work, 10)))

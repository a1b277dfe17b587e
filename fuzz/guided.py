"""Coverage-guided fuzzing with atheris, each target in a process of its own, because libFuzzer ends its process.

python -m fuzz.guided TARGET FOLDER SECONDS SEED     (what `python -m fuzz` starts)
"""

import contextlib
import importlib.util
import inspect
import subprocess
import sys
import tempfile
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fuzz.fault import Fault

NAMES = ("strict_json.loads", "verify.parse_token", "keyset.parse_jwks", "attribution")


def run(seed: int, seconds: float) -> int:
    """Attack each target for its part of the time, and print what was covered. How many targets failed."""
    if importlib.util.find_spec("atheris") is None:
        print("\nguided: NOT RUN, atheris is missing (it has wheels for Linux on x86-64 only)")
        return 0
    failed = 0
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            arguments = [name, folder, str(max(1, int(seconds / len(NAMES)))), str(seed)]
            done = subprocess.run(  # noqa: S603 - this very program
                [sys.executable, "-m", "fuzz.guided", *arguments], capture_output=True, text=True, check=False
            )
            lines = [line for line in (done.stdout + done.stderr).splitlines() if "Instrumenting" not in line]
            figures = [line for line in lines if "cov:" in line]
            print(f"\n{name}: {figures[-1].strip() if figures else 'no figures'}")
            if done.returncode:
                failed += 1
                print("\n".join(["FAULT", *lines[-40:]]))
            print(f"    {_coverage(name, Path(folder))}", flush=True)
    return failed


def _coverage(name: str, corpus: Path) -> str:
    """Which lines in the functions of the target's module what was found leads to."""
    from fuzz.guided_targets import TARGETS

    target = TARGETS[name]
    module: Any = target.module
    path = inspect.getfile(module)
    lines = _lines_of_functions(compile(Path(path).read_text(), path, "exec"))
    reached: set[int] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename != path:
            return None
        if event == "line":
            reached.add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for file in sorted(corpus.iterdir()):
            with contextlib.suppress(Fault):  # reported already
                target.feed(file.read_bytes())
    finally:
        sys.settrace(before)
    left = sorted(lines - reached)
    return f"{Path(path).name}: {len(lines) - len(left)} of {len(lines)} lines in functions; not reached: {left}"


def _lines_of_functions(code: CodeType) -> set[int]:
    lines: set[int] = set()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            lines |= _lines_of_functions(constant)
            if constant.co_flags & inspect.CO_OPTIMIZED:  # a function, and no body of a class
                begin = constant.co_firstlineno
                lines |= {line for *_, line in constant.co_lines() if line is not None and line > begin}
    return lines


def _child(name: str, folder: str, seconds: str, seed: str) -> None:
    import atheris

    with atheris.instrument_imports(include=["micromegas_auth"]):
        from fuzz.guided_targets import TARGETS
    target = TARGETS[name]
    for index, octets in enumerate(target.seeds()):
        (Path(folder) / f"seed-{index}").write_bytes(octets)
    limits = [f"-max_total_time={seconds}", f"-seed={int(seed) % (1 << 32) or 1}", "-max_len=2048", "-timeout=60"]
    atheris.Setup([sys.argv[0], folder, *limits, f"-artifact_prefix={folder}/"], target.feed)
    atheris.Fuzz()


if __name__ == "__main__":
    _child(*sys.argv[1:])

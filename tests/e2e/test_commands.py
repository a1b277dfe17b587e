"""The commands that README names, as a user starts them."""

import json
import re
import sys
from pathlib import Path

import pytest
from micromegas_server.demo.child import ChildProcess
from micromegas_server.demo.issuer import DemoIssuer

ROOT = Path(__file__).parents[2]


def test_demo_walks_and_ends() -> None:
    """Every step comes out as it should, and the exit code says so."""
    with ChildProcess(sys.executable, "-m", "micromegas_server.demo", "--once") as demo:
        assert demo.wait(60) == 0
    text = "\n".join(demo.lines)
    assert "11 of 11 steps came out as they should." in text
    assert "Traceback" not in text


def test_demo_serves_on_and_its_lines_can_be_pasted() -> None:
    """What it prints for Python and ADBC runs as it stands, and finds what the demo has logged."""
    with ChildProcess(sys.executable, "-m", "micromegas_server.demo") as demo:
        demo.wait_for(r"HOME=\S+ python -m micromegas\.cli\.query --all", timeout=60)
        pasted = re.findall(r'^(\S+ -c "$.*?"$)', "\n".join(demo.lines), re.MULTILINE | re.DOTALL)
        assert len(pasted) == 2
        for command in pasted:
            with ChildProcess("/bin/sh", "-c", command) as shell:
                assert shell.wait(60) == 0, shell.lines
            assert "execute_query" in "\n".join(shell.lines)
        assert demo.terminate() == 0


def test_demo_issuer_serves_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        DemoIssuer("0.0.0.0")  # noqa: S104


def test_benchmarks_write_their_figures(tmp_path: Path) -> None:
    """Each row has a ratio, or says that the machine was too noisy for one."""
    figures = tmp_path / "figures.json"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['', '--json', {str(figures)!r}]\n"
    code += "import runpy; runpy.run_module('benchmarks', run_name='__main__')"
    with ChildProcess(sys.executable, "-c", code) as benchmarks:
        assert benchmarks.wait(300) == 0, benchmarks.lines
    rows = json.loads(figures.read_text())["rows"]
    assert len(rows) >= 18
    assert all(row.get("ratio", 0) > 0 or row.get("too_noisy") for row in rows)

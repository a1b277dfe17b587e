"""The real micromegas client and CLI, in an environment of their own (they pin an older pyarrow and protobuf)."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.processes import clean_environment

ENVIRONMENT = Path(__file__).parents[2] / ".venv-micromegas"  # run.py test makes it
COMPLETE = ENVIRONMENT / "set-up.stamp"


class MicromegasClient:
    """A user of micromegas whose home folder is `home` and whose server is at `uri` (grpc://127.0.0.1:PORT).

    The user has no credential at first. Each run is a process of its own. Its exit code and output are in the
    CompletedProcess; a failure raises nothing. It raises subprocess.TimeoutExpired after a minute.
    """

    def __init__(self, home: Path, uri: str) -> None:
        self._home = home
        self._settings = home / ".micromegas"
        self._settings.mkdir(mode=0o700)
        self._env = {"HOME": str(home), "MICROMEGAS_ANALYTICS_URI": uri}

    def use_api_key(self, key: str) -> None:
        """Keep an API key where config.json says it is."""
        key_file = self._settings / "api.key"
        key_file.write_text(key + "\n")
        self._configure({"api_key_file": str(key_file)})

    def use_login(self, issuer: str, client_id: str, token: Mapping[str, object]) -> None:
        """Keep the answer that a browser login got, as `OidcAuthProvider.save` does; its id_token is what is sent."""
        saved = {"issuer": issuer, "client_id": client_id, "token": dict(token)}
        (self._settings / "tokens.json").write_text(json.dumps(saved))
        self._configure({"issuers": [{"issuer": issuer}], "client_id": client_id})

    def query(self, sql: str, *options: str) -> subprocess.CompletedProcess[str]:
        """The CLI, its output as CSV, over all time unless `options` (such as "--begin", "1h") say otherwise."""
        command = ("-m", "micromegas.cli.query", "--format", "csv", *(options or ("--all",)), sql)
        return self._run(command, {})

    def python(self, code: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A snippet of Python; `micromegas.connect_with_profile()` in it gives a client with the user's credential."""
        return self._run(("-c", code), env or {})

    def _configure(self, config: Mapping[str, object]) -> None:
        (self._settings / "config.json").write_text(json.dumps(config))

    def _run(self, arguments: tuple[str, ...], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ENVIRONMENT / "bin" / "python", *arguments],
            cwd=self._home,
            env=clean_environment(self._env | dict(env)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

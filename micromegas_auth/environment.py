"""Variables of the environment, given themselves or as the name of a file, made into fields of a pydantic model."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from micromegas_auth import strict_json
from micromegas_auth.errors import ConfigError
from micromegas_auth.watch import Look

FALLBACK_PREFIX = "MICROMEGAS"


def variable_of(prefix: str, name: str) -> str:
    """Which variable holds `name`: that with `prefix` where it or its `_FILE` is set, else that with MICROMEGAS."""
    own = f"{prefix}_{name}"
    is_set = any(os.environ.get(form, "").strip() for form in (own, f"{own}_FILE"))
    return own if is_set else f"{FALLBACK_PREFIX}_{name}"


def read_text(variable: str) -> tuple[str | None, Look | None]:
    """The text of `variable`, or of the file that `<variable>_FILE` names; and that file. None where neither is set.

    Raises:
        ConfigError: Both are set, or the file cannot be read.
    """
    text = os.environ.get(variable, "").strip() or None
    name = os.environ.get(f"{variable}_FILE", "").strip()
    if not name:
        return text, None
    if text is not None:
        raise ConfigError(f"{variable} and {variable}_FILE are both set: keep one of them")
    return _read_file(f"{variable}_FILE", name)


def _read_file(variable: str, name: str) -> tuple[str | None, Look]:
    file = Look.at(Path(name))
    try:
        return file.path.read_text("utf-8").strip() or None, file
    except UnicodeDecodeError:
        raise ConfigError(f"{variable}: not UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{variable}: {error.strerror}") from None


def parse(model: type[BaseModel], field: str, variable: str, text: str) -> Any:
    """The value of one field of a model, from JSON.

    Raises:
        ConfigError: It is malformed. Names the variable and the field within, never a value.
    """
    try:
        strict_json.loads(text.encode("utf-8", "surrogateescape"))
        value = getattr(model.model_validate_json(f'{{"{field}": {text}}}'), field)
    except ValidationError as error:
        raise ConfigError(f"{variable}: {_explain(error)}") from None
    except ValueError as error:
        raise ConfigError(f"{variable}: {_position(text) or error}") from None
    if value is None:
        raise ConfigError(f"{variable}: should be an object, not null")
    return value


def _position(text: str) -> str | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"not JSON: line {error.lineno} column {error.colno}"
    except (ValueError, RecursionError):
        pass
    return None


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        # Left out: the field that the variable fills, and the tags of the forms an entry may have.
        where = ".".join(str(part) for part in item["loc"][1:] if part not in ("text", "object"))
        message = "unknown field" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {message}" if where else message)
    return "; ".join(lines)

"""A server's own log and metrics, sent by OTLP to an ingestion server."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from micromegas_auth import ConfigError, RequestAuthenticator
from micromegas_auth.client import BearerAuth, ClientCredentials, TokenError
from micromegas_auth.environment import read_text
from micromegas_auth.fetch import is_trustworthy_url

AUDIT_LOGGER = "micromegas_auth.audit"
EXPORT_SECONDS = 30.0  # for how long one batch is tried again
CLOSE_SECONDS = 5.0
# What the exporters themselves say of an export that failed must not become the next one.
_NOT_SENT = ("opentelemetry", "urllib3", "requests", "httpx", "httpcore")

Credential = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class Telemetry:
    """Sends what a server logs, and how old its issuers' keys are.

    Nothing of a call waits for it: records gather in a bounded queue, which drops the oldest while the ingestion
    server is away for long.

    Args:
        url: The ingestion server, as `https://host:port`.
        credential: Signs each request; None for a server that lets everybody in.
        service: The name of this server.
        authenticator: Whose keys' ages are sent, as `micromegas_auth.keys.age`: one grows while its issuer is down.
    """

    def __init__(
        self, url: str, credential: Credential | None, service: str, authenticator: RequestAuthenticator
    ) -> None:
        resource = Resource.create({"service.name": service, "service.instance.id": str(uuid.uuid4())})
        routes = f"{url.rstrip('/')}/ingestion/otlp/v1"
        self._logs = LoggerProvider(resource, shutdown_on_exit=False)
        exporter = OTLPLogExporter(f"{routes}/logs", **_options(credential))
        self._logs.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=1000))
        self._metrics = MeterProvider(
            [PeriodicExportingMetricReader(OTLPMetricExporter(f"{routes}/metrics", **_options(credential)))],
            resource,
            shutdown_on_exit=False,
        )

        def ages(_: CallbackOptions) -> Iterable[Observation]:
            for issuer, age in authenticator.key_ages().items():
                if age is not None:
                    yield Observation(age, {"issuer": issuer})

        meter = self._metrics.get_meter("micromegas_auth")
        meter.create_observable_gauge("micromegas_auth.keys.age", [ages], "s", "since the keys were fetched")
        self._handler = _Handler(self._logs)
        logging.getLogger().addHandler(self._handler)

    @classmethod
    def from_env(cls, service: str, authenticator: RequestAuthenticator) -> "Telemetry | None":
        """From the variables that Micromegas' own services read; None where MICROMEGAS_TELEMETRY_URL is not set.

        The credential is MICROMEGAS_INGESTION_API_KEY, or else a token for MICROMEGAS_OIDC_CLIENT_ID (see
        `ClientCredentials.from_env`); without either, none is sent.

        Raises:
            ConfigError: A variable is malformed, or a credential would go over plain http beyond loopback.
        """
        url, _ = read_text("MICROMEGAS_TELEMETRY_URL")
        if url is None:
            return None
        try:
            credential = _credential()
        except ConfigError as error:
            raise ConfigError(f"for MICROMEGAS_TELEMETRY_URL: {error} (or set MICROMEGAS_INGESTION_API_KEY)") from None
        if not url.startswith(("http://", "https://")) or (credential is not None and not is_trustworthy_url(url)):
            raise ConfigError("MICROMEGAS_TELEMETRY_URL: must be an https URL (http only on a loopback host)")
        if urlsplit(url).path.strip("/"):
            raise ConfigError("MICROMEGAS_TELEMETRY_URL: give scheme, host and port alone, without a path")
        return cls(url, credential, service, authenticator)

    def audit(self, lines: str) -> None:
        """Send audit records: one or more lines, joined by newlines."""
        logger = self._logs.get_logger(AUDIT_LOGGER)
        for line in lines.split("\n"):
            logger.emit(timestamp=time.time_ns(), severity_number=SeverityNumber.INFO, severity_text="INFO", body=line)

    def close(self) -> None:
        """Send what is left, for at most 5 s; nothing that is logged after this."""
        logging.getLogger().removeHandler(self._handler)
        ending = threading.Thread(target=self._shut_down, name="micromegas-telemetry", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)

    def _shut_down(self) -> None:
        self._logs.shutdown()
        self._metrics.shutdown()


class _Handler(logging.Handler):
    """Hands each record of `logging` to OpenTelemetry, whose own handler is deprecated."""

    def __init__(self, logs: LoggerProvider) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_NOT_SENT):
            return
        try:
            self._logs.get_logger(record.name).emit(
                timestamp=int(record.created * 1e9),
                severity_number=_severity(record.levelno),
                severity_text=record.levelname,
                body=record.getMessage(),
            )
        except Exception:  # noqa: BLE001 - as every handler of `logging` does
            self.handleError(record)


def _severity(level: int) -> SeverityNumber:
    """Five of OpenTelemetry's 24 numbers are what `logging` has names for: DEBUG is 5, CRITICAL 21."""
    return SeverityNumber(4 * min(max(level // 10, 1), 5) + 1)


def _credential() -> Credential | None:
    key, _ = read_text("MICROMEGAS_INGESTION_API_KEY")
    if key is not None:
        return _ApiKey(key)
    if read_text("MICROMEGAS_OIDC_CLIENT_ID")[0] is None:
        return None
    return _Token(ClientCredentials.from_env())


def _unsigned(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # OTEL_EXPORTER_OTLP_HEADERS may hold the credential of another place, which the exporter would send here.
    request.headers.pop("authorization", None)
    return request


class _ApiKey:
    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["authorization"] = f"Bearer {self._key}"
        return request


class _Token(BearerAuth):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        try:
            super().__call__(request)
        except TokenError as error:
            # The exporter tries again what could not be sent, and drops what failed in any other way.
            raise requests.exceptions.ConnectionError(str(error)) from None
        return request


def _options(credential: Credential | None) -> dict[str, Any]:
    session = requests.Session()
    session.auth = credential or _unsigned
    session.trust_env = False  # a ~/.netrc would take the place of the credential
    return {"timeout": EXPORT_SECONDS, "compression": Compression.Gzip, "session": session}

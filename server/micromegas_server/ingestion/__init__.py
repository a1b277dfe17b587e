"""Takes telemetry over HTTP, as OTLP and as Micromegas sends it, and puts it into the lake."""

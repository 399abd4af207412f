"""Where Triton sends its spans: to the collector that the standard OTEL_ variables name, and nowhere without them."""

from collections.abc import Mapping


def trace_options(environment: Mapping[str, str]) -> list[str]:
    """tritonserver's options for exporting spans over OTLP/HTTP, which is the one protocol that it speaks.

    A request that brings a `traceparent` becomes a part of that trace.
    """
    base = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").removesuffix("/")
    url = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (f"{base}/v1/traces" if base else "")
    if not url or environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "otlp":
        return []
    settings = ["mode=opentelemetry", f"opentelemetry,url={url}", "level=TIMESTAMPS", "rate=1"]
    service = "opentelemetry,resource=service.name=triton"
    return [f"--trace-config={each}" for each in [*settings, service]]

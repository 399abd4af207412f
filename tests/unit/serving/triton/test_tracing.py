import pytest

from serving.triton.tracing import trace_options


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}, "http://collector:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/traces"}, "http://c/traces"),
    ],
)
def test_triton_exports_where_the_standard_variables_say(environment, url):
    assert f"--trace-config=opentelemetry,url={url}" in trace_options(environment)


@pytest.mark.parametrize("more", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}])
def test_and_nowhere_else(more):
    assert trace_options(more) == []

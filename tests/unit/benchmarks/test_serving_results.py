import pytest

from benchmarks.serving import results
from benchmarks.serving.results import Row, write_rows
from rats_train.files import read_json


def row(server: str) -> Row:
    return Row(
        server=server, concurrency=1, mix="3", batching="none", throughput_rps=1, p50_ms=1, p99_ms=1, errors=0, note=""
    )


def test_a_run_replaces_its_own_rows_and_provenance_alone(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FILE", tmp_path / "serving.json")
    monkeypatch.setattr(results, "provenance", lambda: {"commit": "a"})
    write_rows("throughput", [row("plain"), row("ours")])
    write_rows("overload", [row("ours")])
    monkeypatch.setattr(results, "provenance", lambda: {"commit": "b"})
    write_rows("throughput", [row("ours")])
    found = read_json(tmp_path / "serving.json")
    assert [(each["run"], each["server"]) for each in found["rows"]] == [("overload", "ours"), ("throughput", "ours")]
    assert found["runs"] == {"throughput": {"commit": "b"}, "overload": {"commit": "a"}}

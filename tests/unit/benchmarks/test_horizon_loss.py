"""The parts of the benchmark that need no GPU."""

import csv

import pytest
import torch

from benchmarks import horizon_loss as benchmark
from benchmarks.table import exit_status, write_rows
from rats_train.losses.horizon import reference_gated_horizon_loss

COLUMNS = "gpu torch triton commit shape dtype mode provider ms_p20 ms_p50 ms_p80 gbps copy_gbps peak_mb bitwise_equal"
ROW = benchmark.Row("g", "2", "3", "abc", "1x2", "float32", "both", "kernel", 0.1, 0.123456, 0.2, 1234.5, 2e3, 7, True)


def test_gigabytes_per_second() -> None:
    rate = benchmark.gigabytes_per_second(5, (1000, 1000), torch.bfloat16, milliseconds=0.01)
    assert rate == pytest.approx(1000)  # 5 passes over 2 MB in 10 microseconds


def test_the_largest_latents_have_half_a_gigabyte_and_more() -> None:
    largest = max(torch.Size(shape).numel() for shape in benchmark.SHAPES)
    assert largest * torch.bfloat16.itemsize >= 512e6


@pytest.mark.parametrize("mode", benchmark.MODES)
def test_a_call_gives_what_its_mode_measures(mode: str) -> None:
    inputs = benchmark.draw_inputs((2, 3, 4, 2, 2), torch.float32, "cpu")
    results = benchmark.prepare(reference_gated_horizon_loss, inputs, mode)()
    shapes = {"forward": [()], "backward": [(2, 3, 4, 2, 2)], "both": [(), (2, 3, 4, 2, 2)]}
    assert [tuple(result.shape) for result in results] == shapes[mode]


def test_every_provider_can_be_asked() -> None:
    for provider in benchmark.PROVIDERS:
        assert all(callable(benchmark.provide(provider, mode)) for mode in benchmark.MODES)
    assert benchmark.provide("kernel", "both") is not benchmark.provide("eager", "both")


@pytest.mark.parametrize("mode", benchmark.MODES)
def test_only_equal_bits_count_as_repeating(mode: str) -> None:
    inputs = benchmark.draw_inputs((2, 3, 4), torch.float32, "cpu")
    call = benchmark.prepare(reference_gated_horizon_loss, inputs, mode)
    assert benchmark.repeats_bitwise(call)
    drift = iter((0.0, 1e-7))
    assert not benchmark.repeats_bitwise(lambda: (torch.ones(2) + next(drift) * 2,))


def test_the_table_has_its_columns(tmp_path) -> None:
    path = tmp_path / "results" / "table.csv"
    write_rows(path, [ROW])
    lines = path.read_text().splitlines()
    assert lines[0] == COLUMNS.replace(" ", ",")
    (row,) = csv.DictReader(lines)
    assert (row["ms_p50"], row["gbps"], row["bitwise_equal"]) == ("0.1235", "1234", "True")
    assert [file.name for file in path.parent.iterdir()] == ["table.csv"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so(capsys) -> None:
    assert exit_status(benchmark.run) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no GPU found" in error
    assert "run it on such a machine" in error

"""The benchmark of a device at a tiny size: every row is there, and what is computed from rows follows from them."""

import json

import pytest

from bench.gpu import ARMS, BUDGETS, MOSEI_FRAMES, PASSES, RATE, SEEDS, line, main, on_paper, rounded, whole_study


@pytest.mark.slow
def test_every_row_is_printed_and_follows_from_the_others(capsys):
    hardware, peak, step, members, study, paper, sizes = rows = main(["--device", "cpu", "--tiny"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == json.loads(json.dumps(rounded(rows)))
    assert hardware["device"]["device"] == "cpu" and min(peak.values()) > 0
    # products of a step: two operations a weight and token forwards, twice as many backwards, and attention between
    tokens, width, block = 2 * round(5.12 * RATE) // 4, 16, 2 * 12 * 16 * 16
    outside = 4 * 74 * width + 4 * 74 * width // 2  # in: every token; out: the masked half
    by_weights = (
        6 * tokens * (block + outside) - 2 * tokens * 4 * 74 * width
    )  # nothing learns from the input's gradient
    assert 0.9 * by_weights < step["operations_a_step"] < 1.8 * by_weights
    assert step["bytes_a_step_at_least"] == 4 * 9 * step["parameters"] + 4 * tokens * 4 * 74
    per_second = step["operations_a_step"] / step["ms_a_step"] * 1e3
    assert step["share_of_the_product"] == pytest.approx(per_second / peak["product in float32, TFLOP/s"] / 1e12)
    assert paper["operations"] / step["operations_a_step"] == pytest.approx(20_000 * MOSEI_FRAMES / (4 * tokens))
    assert members["side by side"] == 4 and members["times_faster"] > 0
    assert sizes["frames"] == sorted(sizes["frames"]) and len(sizes["seconds"]) == 3 and study["fine_tuning_min"] > 0


def test_a_straight_line_by_hand():
    """Ten, nineteen and 31 seconds at 1, 2 and 3 million frames: 10.5 more a million; 9.5, 20 and 30.5 on the line."""
    found = line([1_000_000, 2_000_000, 3_000_000], [10.0, 19.0, 31.0])
    assert found["ns_a_frame"] == pytest.approx(10_500) and found["largest_residual"] == pytest.approx(1 / 19)


def test_a_thousand_times_by_hand():
    """A million frames a second, ten operations each: of 74 numbers in two bytes, .148 GB a second."""
    found = on_paper({"frames_s": 1e6, "operations_a_step": 40, "frames_a_step": 4})
    assert found["frames_TB"] == pytest.approx(MOSEI_FRAMES * 148e-9) and found["reading_GB_s"] == pytest.approx(0.148)
    assert found["operations"] == pytest.approx(MOSEI_FRAMES * 200_000)
    assert found["device_hours"] == pytest.approx(MOSEI_FRAMES / 180_000)


def test_the_whole_study_by_hand():
    """A million frames a second; forty members a second of 50 steps, so that 160 take twelve seconds at 150."""
    found = whole_study({"frames_s": 1e6}, {"lockstep, members/s": 40.0, "steps": 50}, 150)
    assert found["pretraining_min"] == pytest.approx(PASSES * MOSEI_FRAMES / 1e6 / 60)
    assert found["fine_tuning_min"] == pytest.approx(BUDGETS * SEEDS * ARMS / 40 * 3 / 60) == pytest.approx(0.2)

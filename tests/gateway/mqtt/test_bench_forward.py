"""The bench of forwarding runs and names its figures; how fast is not for a test to say."""

from __future__ import annotations

from fieldline_harness import bench_forward, turns


def test_quick_run_gives_all_figures() -> None:
    figures = {figure.name: figure for figure in bench_forward.run(quick=True)}
    assert {"forward.ratio_to_paho", "forward.cpu_us", "forward.messages_per_s"} <= set(figures)
    assert all(figure.value > 0 and figure.against for figure in figures.values())


def test_payload_is_of_the_size_that_is_claimed() -> None:
    [(_, payload, _)] = bench_forward.PlainPayload().messages(bench_forward.plain_record(1))
    assert len(payload) == turns.PAYLOAD_BYTES == 122

"""What a step tells while it runs."""

from heldout.stages.progress import progress


def test_a_log_file_gets_lines_not_redrawn_ones_and_at_most_one_in_ten_seconds(capsys, monkeypatch):
    clock = iter(range(1_000_000))
    monkeypatch.setattr("tqdm.std.time", lambda: next(clock) / 2)  # every look at the clock is half a second later
    list(progress(range(100), 100, "adgan 8"))
    log = capsys.readouterr().err
    lines = log.splitlines()
    assert "\r" not in log
    assert lines[-1].startswith("adgan 8: 100%") and "100/100" in lines[-1]
    elapsed = next(clock) / 2
    assert 3 <= len(lines) <= elapsed / 10 + 2  # the first and the last one come in any case

"""What is shown of a run, from messages as Snakemake sends them."""

import io
import logging

import pytest

from raw_exposures import raw_name, write_raw
from small_programmes import cache, programme
from snakewebb import progress
from snakewebb.outcome import Row, outcomes, table_lines, write_table
from snakewebb.progress import Run, Watcher, duration, reason_of

__all__ = ["cache", "programme"]


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test advances."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


def run_of(exposures, products=(), rules=("detector1", "image2")):
    """A run with a job of each rule for every exposure, and a mosaic for every product."""
    jobs = [(f"{rule} {root}", rule, {"exposure": root}) for root in exposures for rule in rules]
    run = Run()
    run.expect([*jobs, *((f"resample {name}", "resample", {"product": name}) for name in products)])
    return run


def do(run, *numbers, seconds=0.0, clock=None):
    for number in numbers:
        run.start(number, number.split()[0], run.jobs[number].wildcards)
        if clock:
            clock(seconds)
        run.finish(number)


def test_an_exposure_is_done_with_its_last_job_and_failed_with_any(clock):
    run = run_of(["a", "b", "c", "d"])
    do(run, "detector1 a", "image2 a", "detector1 b", "detector1 c")
    run.start("image2 b", "image2", {"exposure": "b"})
    run.fail("image2 c", "image2", "bad")
    assert run.exposures() == {"done": 1, "running": 1, "failed": 1, "waiting": 1}
    assert run.line().startswith("1 of 4 exposures done, 1 running, 1 failed, 4 of 8 jobs")


def test_time_left_is_that_of_each_rule_by_what_runs_at_once(clock):
    run = run_of(["a", "b", "c"])
    assert run.seconds_left() is None
    do(run, "detector1 a", seconds=10, clock=clock)
    do(run, "image2 a", seconds=2, clock=clock)
    assert run.seconds_left() == pytest.approx(2 * 10 + 2 * 2)
    # two at once for as long again: half of what is left
    for number in ("detector1 b", "detector1 c"):
        run.start(number, "detector1", {})
    clock(10)
    for number in ("detector1 b", "detector1 c"):
        run.finish(number)
    assert run.seconds_left() == pytest.approx(4 / (32 / 22))
    assert run.line().endswith("4 of 6 jobs, about 3 s left")


def test_a_job_that_succeeds_when_it_is_tried_again_has_not_failed(clock):
    run = run_of(["a"])
    run.fail("detector1 a", "detector1", "once")
    do(run, "detector1 a", "image2 a")
    assert run.line() == "1 of 1 exposures done, 2 of 2 jobs"


@pytest.mark.parametrize(("seconds", "words"), [(40.2, "40 s"), (100, "2 min"), (7200, "2.0 h")])
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_the_reason_is_the_last_error_of_the_log(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("2026-01-02 03:04:05,678 INFO read\n2026-01-02 03:04:05,679 ERROR uncal/a.fits: SCI is missing\n")
    assert reason_of([log]) == f"uncal/a.fits: SCI is missing (log: {log})"
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\nValueError: no such mode\n'
    log.write_text(f"2026-01-02 03:04:05,678 ERROR {trace}\n")
    assert reason_of([log]) == f"ValueError: no such mode (log: {log})"
    log.write_text("2026-01-02 03:04:05,678 INFO read\n")
    assert reason_of([log]) == f"it ended without a message: killed, or out of memory (log: {log})"
    assert reason_of([tmp_path / "none.log"]).startswith("it ended without a message")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class PlainFormatter(logging.Formatter):
    """As Snakemake's: arguments of a message are not filled in."""

    def format(self, record):
        return record.msg


def snakemake_log(stream):
    log = logging.Logger("of this test", logging.INFO)
    handler = logging.StreamHandler(stream)
    handler.name = "DefaultStreamHandler"
    handler.setFormatter(PlainFormatter())
    log.addHandler(handler)
    return log


def tell(logger, event, **fields):
    logger.info(event, extra={"event": event, **fields})


def play(log, watcher):
    watcher.expect([(1, "detector1", {"exposure": "a"}), (2, "detector1", {"exposure": "b"})])
    tell(log, "job_info", jobid=1, rule_name="detector1", wildcards={"exposure": "a"})
    tell(log, "job_finished", job_id=1)
    tell(log, "job_info", jobid=2, rule_name="detector1", wildcards={"exposure": "b"})
    tell(log, "job_error", jobid=2, rule_name="detector1", log=["logs/detector1/b.log"])


def screen(text):
    """Lines of a terminal after a text with carriage returns and erasures."""
    lines, line, column = [], "", 0
    for part in text.replace("\x1b[K", "\0"):
        if part == "\r":
            column = 0
        elif part == "\0":
            line = line[:column]
        elif part == "\n":
            lines.append(line)
            line, column = "", 0
        else:
            line = line[:column] + part + line[column + 1 :]
            column += 1
    return [*lines, line]


def test_in_a_terminal_a_bar_stays_below_the_messages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stream = Terminal()
    log = snakemake_log(stream)
    monkeypatch.setattr(progress.sys, "stderr", stream)
    watcher = Watcher.install(log)
    play(log, watcher)
    lines = screen(stream.getvalue())
    failed = "snakewebb: detector1 of b failed: it ended without a message: killed, or out of memory (log: logs/detector1/b.log)"
    assert lines[:-1] == ["job_info", "job_finished", "job_info", "job_error", failed]
    assert lines[-1] == "[####################] 1 of 2 exposures done, 1 failed, 1 of 2 jobs"
    watcher.end()
    log.info("the end")
    assert screen(stream.getvalue())[-2:] == ["the end", ""]


@pytest.mark.parametrize("quiet", [{"all"}, {"progress"}])
def test_quiet_runs_have_no_bar(monkeypatch, quiet):
    stream = Terminal()
    log = snakemake_log(stream)
    monkeypatch.setattr(progress.sys, "stderr", stream)
    play(log, Watcher.install(log, quiet=quiet))
    assert "[###" not in stream.getvalue()


def test_the_table_of_a_quiet_run_has_what_was_made(programme):
    root = raw_name("FGS_TRACK").removesuffix("_uncal.fits")
    write_raw(programme.folder / "uncal" / f"{root}_uncal.fits", "FGS_TRACK", NGROUPS=2)
    programme.snakemake("guider", "--quiet")
    assert (programme.folder / "logs" / "summary.tsv").read_text().splitlines()[1:] == [f"{root}\tmade\t"]


def test_without_a_terminal_there_is_a_line_now_and_then(clock):
    stream = io.StringIO()
    log = snakemake_log(stream)
    watcher = Watcher.install(log)
    watcher.expect([(n, "detector1", {"exposure": str(n)}) for n in range(100)])
    for number in range(100):
        tell(log, "job_info", jobid=number, rule_name="detector1", wildcards={"exposure": str(number)})
        clock(5)
        tell(log, "job_finished", job_id=number)
    lines = [line for line in stream.getvalue().splitlines() if line.startswith("snakewebb:")]
    assert lines[0] == "snakewebb: 13 of 100 exposures done, 13 of 100 jobs, about 7 min left"
    assert len(lines) == 7


def test_the_table_tells_of_every_product_what_became_of_it(tmp_path, clock):
    run = run_of(["a", "b", "c"], ["P", "Q", "R"])
    do(run, "detector1 a", "image2 a", "resample P", "detector1 c", "image2 c")
    run.start("detector1 b", "detector1", {"exposure": "b"})
    run.fail("detector1 b", "detector1", "all saturated (log: b.log)")
    products = {"K": ["k"], "P": ["a"], "Q": ["a", "b"], "R": ["c"]}
    rows = outcomes(run, products, [("uncal/x.fits", "zero bytes")])
    assert rows == [
        Row("Q", "failed", "detector1 of b: all saturated (log: b.log)"),
        Row("R", "not made", "the run ended before resample of R; run again"),
        Row("P", "made"),
        Row("K", "kept"),
        Row("uncal/x.fits", "left out", "zero bytes"),
    ]
    lines = table_lines(rows)
    assert lines[0] == "snakewebb: 4 products: 1 failed, 1 not made, 1 made, 1 kept; 1 file left out"
    assert lines[1] == "  Q             failed    detector1 of b: all saturated (log: b.log)"
    write_table(rows, tmp_path / "logs" / "summary.tsv")
    assert (tmp_path / "logs" / "summary.tsv").read_text().splitlines()[-1] == "uncal/x.fits\tleft out\tzero bytes"


def test_a_failure_that_concerns_everything_is_the_reason_of_what_waits():
    run = run_of(["a"])
    run.jobs[9] = progress.Job("references", {"set": "0123"})
    run.fail(9, "references", "3 files are not in the CRDS cache (log: r.log)")
    (row,) = outcomes(run, {"a": ["a"]}, [])
    assert row == Row("a", "failed", "references of 0123: 3 files are not in the CRDS cache (log: r.log)")


def test_a_long_table_is_cut_in_the_terminal():
    rows = [Row(f"p{number}", "made") for number in range(30)]
    lines = table_lines(rows)
    assert len(lines) == 22
    assert lines[-1] == "  and 10 more: logs/summary.tsv"

"""What Snakemake prints when a run ends early: the end of each failed job's log, and how to go on."""

import re
from collections.abc import Iterable
from pathlib import Path

TAIL_LINES = 15
_LOG_OF_A_FAILED_JOB = re.compile(r"^ +log: (.+?) \(check log file", re.MULTILINE)


def explain(snakemake_logs: Iterable[str | Path], command: str) -> str:
    """Return the last lines of every failed job's log, and the line that resumes.

    Args:
        snakemake_logs: the log files of the Snakemake run itself.
        command: the command that was run.
    """
    logs = [Path(log) for log in snakemake_logs]
    text = "".join(log.read_text(encoding="utf-8", errors="replace") for log in logs if log.is_file())
    parts = [_tail(Path(name)) for name in dict.fromkeys(_LOG_OF_A_FAILED_JOB.findall(text))]
    parts.append(f"Files that are finished stay valid. Resume with:\n    {command}")
    return "\n".join(["", *parts])


def _tail(log: Path) -> str:
    if not log.is_file():
        return f"{log}: no log was written"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    return "\n".join([f"--- {log}", *lines, ""])

"""Whatever happens to a small file, its reader gives the undamaged content, or one short line.

HELDOUT_EXAMPLES sets the number of examples of each file.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heldout.errors import HeldoutError
from tests.faults.readers import NAMES, of_small_files

EXAMPLES = int(os.environ.get("HELDOUT_EXAMPLES", "60"))
SCRAPS = (
    b"",
    b"\0",
    b"\n",
    b" ",
    b"0",
    b"-",
    b"NaN",
    b"1e999",
    b"null",
    b"[]",
    b"{",
    b"}",
    b'"',
    b",",
    b"\xff\xfe",
    b"[" * 9999,
)
places = st.floats(0, 1)  # of the length of the file
edits = st.one_of(
    st.tuples(st.just("insert"), places, st.sampled_from(SCRAPS) | st.binary(max_size=20)),
    st.tuples(st.just("overwrite"), places, st.sampled_from(SCRAPS) | st.binary(max_size=20)),
    st.tuples(st.just("delete"), places, places),
    st.tuples(st.just("repeat"), places, places),
    st.tuples(st.just("fill with zeros"), places, places),
    st.tuples(st.just("swap lines"), places, places),
    st.tuples(st.just("be another file"), st.sampled_from(NAMES), st.none()),
)


def edited(content: bytes, edit: tuple, paths: dict[str, Path]) -> bytes:
    kind, first, second = edit
    if kind == "be another file":
        return paths[first].read_bytes()
    at = round(first * len(content))
    if kind == "insert":
        return content[:at] + second + content[at:]
    if kind == "overwrite":
        return content[:at] + second + content[at + len(second) :]
    if kind == "swap lines":
        lines = content.splitlines(keepends=True) or [b""]
        one, other = (min(int(place * len(lines)), len(lines) - 1) for place in (first, second))
        lines[one], lines[other] = lines[other], lines[one]
        return b"".join(lines)
    low, high = sorted((at, round(second * len(content))))
    part = {"delete": b"", "repeat": 2 * content[low:high], "fill with zeros": bytes(high - low)}[kind]
    return content[:low] + part + content[high:]


@pytest.mark.parametrize("name", NAMES)
def test_an_edited_file_is_one_line_or_changes_nothing(finished, name):
    readers = of_small_files(finished)
    path, read = readers[name]
    content, expected = path.read_bytes(), read()
    paths = {other: readers[other][0] for other in NAMES}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize="HELDOUT_EXAMPLES" not in os.environ,  # CI tries the same ones each time
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.lists(edits, min_size=1, max_size=3))
    def whatever_is_done(changes: list[tuple]) -> None:
        changed = content
        for edit in changes:
            changed = edited(changed, edit, paths)
        path.write_bytes(changed)
        try:
            assert read() == expected, "another content"
        except HeldoutError as error:
            assert 0 < len(str(error)) < 1000 and "\n" not in str(error)
        finally:
            path.write_bytes(content)

    whatever_is_done()

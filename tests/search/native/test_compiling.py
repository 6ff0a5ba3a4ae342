"""Compiling on first use: one library, however many ask for it, and another one for everything that it depends on."""

import subprocess
import sys
from pathlib import Path

import pytest

from heldout.search.native import compiling

SOURCE = 'extern "C" int answer() { return 42; }\n'
ASK = """
import sys
from pathlib import Path
from heldout.search.native.compiling import function
print(function(Path(sys.argv[1]), "answer")())
"""


@pytest.fixture
def source(compiler, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    compiling._tried.cache_clear()
    path = tmp_path / "answer.cpp"
    path.write_text(SOURCE, encoding="utf-8")
    yield path
    compiling._tried.cache_clear()


def built(source: Path) -> list[Path]:
    return sorted((source.parent / "extensions" / "heldout").iterdir())


def test_jobs_that_compile_at_once_leave_one_library_and_nothing_else(source):
    command = [sys.executable, "-c", ASK, str(source)]
    jobs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [job.communicate()[0] for job in jobs] == ["42\n", "42\n"]
    (library,) = built(source)
    assert library.suffix == ".so"


def test_what_is_built_is_loaded_without_a_compiler(source, monkeypatch):
    assert compiling.function(source, "answer")() == 42
    compiling._tried.cache_clear()
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    assert compiling.function(source, "answer")() == 42


def test_another_source_processor_or_pytorch_is_another_library(source, monkeypatch):
    compiling.function(source, "answer")
    for number, change in enumerate(["source", "processor", "torch", "flags"], start=2):
        if change == "source":
            source.write_text(SOURCE.replace("42", "43"), encoding="utf-8")
        elif change == "processor":
            monkeypatch.setattr(compiling, "processor", lambda: "another")
        elif change == "torch":
            monkeypatch.setattr(compiling.torch, "__version__", "9.9.9")
        else:
            monkeypatch.setattr(compiling, "FLAGS", ("-std=c++17", "-O1"))
        compiling._tried.cache_clear()
        assert compiling.function(source, "answer")() == 43
        assert len(built(source)) == number


def test_an_error_of_the_compiler_is_told_in_one_line(source):
    source.write_text('extern "C" int answer() { return nothing; }\n', encoding="utf-8")
    with pytest.raises(compiling.Unavailable, match="answer.cpp does not compile: .*nothing") as error:
        compiling.function(source, "answer")
    assert "\n" not in str(error.value) and built(source) == []


def test_a_folder_that_cannot_be_written_is_told_in_one_line(source, monkeypatch):
    source.with_name("a file").write_text("", encoding="utf-8")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(source.with_name("a file")))
    with pytest.raises(compiling.Unavailable, match="cannot be built or loaded"):
        compiling.function(source, "answer")


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: b"", lambda content: b"x" + content[1:]]
)
def test_a_library_that_was_damaged_is_built_anew(source, damage):
    """Loading it could end the process."""
    compiling.function(source, "answer")
    (library,) = built(source)
    content = library.read_bytes()
    library.unlink()  # this process has it in memory
    library.write_bytes(damage(content))
    compiling._tried.cache_clear()
    assert compiling.function(source, "answer")() == 42
    assert [path.read_bytes() for path in built(source)] == [content]

"""Compilers that are there and cannot do their work: PyTorch searches instead, and one line says why."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from heldout.search.native import compiling

# A shell script in the compiler's place; $out is the library that it is asked for.
OUT = 'out=; for word in "$@"; do [ "$last" = -o ] && out="$word"; last="$word"; done\n'
SCRIPTS = {
    "fails": ("exit 1", "does not compile: .*cxx ends with 1"),
    "ends by a signal": ("kill -9 $$", "does not compile: .*cxx ends with -9"),
    "hangs": ("sleep 600", "has not ended after 0.5 s"),
    "starts a process that hangs": ("sleep 600 & wait", "has not ended after 0.5 s"),
    "waits for input": ("cat; exit 1", "does not compile"),
    "writes nothing": ("exit 0", "wrote no library"),
    "writes an empty library": (': > "$out"', "compiles to a broken library: .*file too short"),
    "writes text": ('echo hello > "$out"', "compiles to a broken library"),
    "writes a folder": ('mkdir "$out"', "wrote no library"),
    "cuts the library off": ('c++ "$@" && truncate -s 8000 "$out"', "compiles to a broken library"),
    "leaves the function out": ('echo | c++ -shared -fPIC -x c++ - -o "$out"', "undefined symbol: answer"),
    "writes a library that aborts": (
        'echo "#include <cstdlib>\nstruct A { A() { abort(); } } a; extern \\"C\\" int answer() { return 1; }"'
        ' | c++ -shared -fPIC -x c++ - -o "$out"',
        "compiles to a broken library",
    ),
    "writes a library that hangs": (
        'echo "#include <unistd.h>\nstruct A { A() { sleep(600); } } a; extern \\"C\\" int answer() { return 1; }"'
        ' | c++ -shared -fPIC -x c++ - -o "$out"',
        "compiles to a broken library: .* has not ended after",
    ),
    "complains at length": ("yes error: no | head -c 1000000; exit 1", "does not compile: error: no$"),
    "complains in one long line": ("head -c 1000000 /dev/zero | tr '\\0' e; exit 1", "does not compile: e+$"),
    "complains in no encoding": ("printf '\\377\\376 error\\n'; exit 1", "does not compile: .*error"),
}


@pytest.fixture
def source(compiler, tmp_path, monkeypatch) -> Iterator[Path]:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    compiling._tried.cache_clear()
    path = tmp_path / "answer.cpp"
    path.write_text('extern "C" int answer() { return 42; }\n', encoding="utf-8")
    yield path
    compiling._tried.cache_clear()


def refused(source: Path, reason: str) -> None:
    with pytest.raises(compiling.Unavailable, match=reason) as error:
        compiling.function(source, "answer")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    folder = source.parent / "extensions" / "heldout"
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.mark.parametrize(("script", "reason"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_compiler_that_cannot_run_is_a_reason_of_one_line(source, monkeypatch, script, reason):
    cxx = source.with_name("cxx")
    cxx.write_text(f"#!/bin/sh\n{OUT}{script}\n", encoding="utf-8")
    cxx.chmod(0o755)
    monkeypatch.setenv("CXX", str(cxx))
    monkeypatch.setattr(compiling, "LIMIT_S", 0.5 if "hang" in reason or "ended" in reason else 60)
    refused(source, reason)


def without_interpreter(path: Path) -> str:
    path.write_bytes(b"\x7fnothing that runs")
    path.chmod(0o755)
    return str(path)


def not_executable(path: Path) -> str:
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(stat.S_IRUSR)
    return str(path)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (lambda path: "/bin/false", "does not compile: /bin/false ends with 1"),
        (lambda path: "/nowhere/c++", "there is no C\\+\\+ compiler '/nowhere/c\\+\\+'"),
        (lambda path: str(path.parent), "there is no C\\+\\+ compiler"),
        (lambda path: "'c++", "CXX is no command"),
        (not_executable, "there is no C\\+\\+ compiler"),
        (without_interpreter, "cannot be built or loaded .*Exec format error"),
        (lambda path: "c++ --no-such-option", "does not compile: .*no-such-option"),
    ],
)
def test_a_cxx_that_is_no_compiler_is_a_reason_of_one_line(source, monkeypatch, named, reason):
    monkeypatch.setenv("CXX", named(source.with_name("cxx")))
    refused(source, reason)


@pytest.mark.parametrize("cxx", ["", "  "])
def test_a_cxx_that_is_blank_means_the_systems_compiler(source, monkeypatch, cxx):
    monkeypatch.setenv("CXX", cxx)
    assert compiling.function(source, "answer")() == 42


def test_a_scoring_whose_compiler_cannot_run_searches_with_pytorch_and_says_so(task, tmp_path, monkeypatch, capsys):
    task.train()
    monkeypatch.setenv("CXX", "/bin/false")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    compiling._tried.cache_clear()
    _, found = task.score("adgan")
    compiling._tried.cache_clear()
    lines = [line for line in capsys.readouterr().err.splitlines() if "/bin/false" in line]
    assert len(lines) == 1 and "joint_search.cpp does not compile" in lines[0]
    assert len(found.columns["index"])

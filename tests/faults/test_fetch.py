"""Folders that are not fetch's own, mirrors that misbehave, and archives that are not what they should be."""

import hashlib
import json
import os
import shutil
import socketserver
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heldout.errors import HeldoutError
from heldout.stages import transfer
from heldout.stages.fetch import fetch
from heldout.storage.folders import md5_of
from tests.stages.test_fetch import change_source

CONTENT = b"a few digits" * 1000
OTHER = b"letters"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def mirror(tmp_path, monkeypatch) -> Path:
    """A mirror of an MNIST of two small files, and of a Fashion-MNIST with the same names."""
    for name, content in {"mnist": CONTENT, "fashion_mnist": OTHER}.items():
        (tmp_path / "mirror" / name).mkdir(parents=True)
        for file in ("a.gz", "b.gz"):
            (tmp_path / "mirror" / name / file).write_bytes(content)
        files = dict.fromkeys(("a.gz", "b.gz"), md5(content))
        change_source(monkeypatch, "dataset", name, files=files, sizes=dict.fromkeys(files, len(content)), restore=None)
    return tmp_path / "mirror"


def contents(folder: Path) -> dict[str, object]:
    """Everything in a folder: bytes of files, targets of links, and folders."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.is_dir() or path.read_bytes()
        for path in folder.rglob("*")
    }


def refused(folder: Path, *arguments, match: str) -> None:
    """Check that a fetch ends in one line of bounded length, and changes nothing."""
    before = contents(folder) if folder.is_dir() else None
    with pytest.raises(HeldoutError, match=match) as error:
        fetch("mnist", folder, *arguments)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    assert (contents(folder) if folder.is_dir() else None) == before


def write(content: bytes = b"a year of work", name: str = "thesis.txt") -> Callable[[Path, Path], None]:
    def put(folder: Path, _: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return put


def link(name: str, target: str) -> Callable[[Path, Path], None]:
    return lambda folder, _: (folder / name).symlink_to(target)


def fetched(name: str, then: Callable[[Path, Path], None] = lambda folder, mirror: None):
    def put(folder: Path, mirror: Path) -> None:
        fetch(name, folder, str(mirror))
        then(folder, mirror)

    return put


def cut_off(folder: Path, _: Path) -> None:
    (folder / "fetched.json").write_bytes((folder / "fetched.json").read_bytes()[:20])


FOREIGN = {
    "a file of the user": write(),
    "a hidden file": write(name=".thesis"),
    "a file in a folder": write(name="chapters/one.txt"),
    "a link to a file": link("thesis.txt", "/etc/hostname"),
    "a link to a missing file": link("thesis.txt", "/nowhere"),
    "an official name with other content": write(name="a.gz"),
    "an official name of a link to a missing file": link("a.gz", "/nowhere"),
    "another fetched.json": write(b'{"mine": {"notes": 1}}', "fetched.json"),
    "a fetched.json that is a list": write(b"[1, 2]", "fetched.json"),
    "an empty fetched.json": write(b"", "fetched.json"),
    "a fetched.json that is not text": write(b"\xff\xfe", "fetched.json"),
    "a record that is cut off": fetched("mnist", cut_off),
    "fetched, and a file more": fetched("mnist", write()),
    "another dataset with the same names": fetched("fashion_mnist"),
}


@pytest.mark.parametrize("fill", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_that_fetch_did_not_make_is_refused_and_stays_as_it_is(mirror, tmp_path, fill):
    folder = tmp_path / "mine"
    folder.mkdir()
    fill(folder, mirror)
    refused(folder, str(mirror), match=r"mine/.* was not written by `heldout fetch mnist`.*; nothing was changed")


def damage(folder: Path, _: Path) -> None:
    (folder / "a.gz").write_bytes(b"damaged")


def unlist(folder: Path, _: Path) -> None:
    (folder / "fetched.json").unlink()  # as Snakemake does before it repeats the rule


def abandon(folder: Path, _: Path) -> None:
    (folder / ".heldout-abc" / "content").mkdir(parents=True)
    (folder / ".heldout-abc" / "lock").touch()


OWN = {
    "an empty folder": lambda folder, mirror: None,
    "fetched before": fetched("mnist"),
    "damaged since": fetched("mnist", damage),
    "a file is missing": fetched("mnist", lambda folder, _: (folder / "a.gz").unlink()),
    "its record was removed": fetched("mnist", unlist),
    "an official file, put there by hand": write(CONTENT, "a.gz"),
    "what the system adds": fetched("mnist", write(name=".DS_Store")),
    "left by a killed process": fetched("mnist", abandon),
    "links to DVC's cache": fetched("mnist", lambda folder, _: as_link(folder / "a.gz")),
}


def as_link(path: Path) -> None:
    """Replace a file by a link to it elsewhere, as DVC does with `cache.type: symlink`."""
    shutil.move(path, path.parents[1] / "cached")
    path.symlink_to(path.parents[1] / "cached")


@pytest.mark.parametrize("fill", OWN.values(), ids=OWN)
def test_a_folder_that_fetch_made_is_filled_again(mirror, tmp_path, fill):
    folder = tmp_path / "raw"
    folder.mkdir()
    fill(folder, mirror)
    fetch("mnist", folder, str(mirror))
    found = contents(folder)
    assert [found.pop(name) for name in ("a.gz", "b.gz")] == [CONTENT, CONTENT]
    assert json.loads(found.pop("fetched.json")).keys() == {"a.gz", "b.gz"}
    assert set(found) <= {".DS_Store"}


@pytest.mark.parametrize("moment", ["a.gz", "b.gz", "fetched.json"])
def test_a_crash_while_files_are_replaced_loses_none_and_the_next_fetch_heals(mirror, tmp_path, monkeypatch, moment):
    folder = tmp_path / "raw"
    fetch("mnist", folder, str(mirror))
    replace = os.replace

    def crash(source, target):
        if Path(target).name == moment:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("heldout.storage.files.os.replace", crash)
        with pytest.raises(KeyboardInterrupt):
            fetch("mnist", folder, str(mirror))
    assert {path.name: path.read_bytes() for path in folder.glob("*.gz")} == {"a.gz": CONTENT, "b.gz": CONTENT}
    fetch("mnist", folder, str(mirror))


@pytest.mark.parametrize("name", ["mnist", "mnist5k"])
def test_a_file_where_the_folder_should_be_is_one_line(mirror, tmp_path, name):
    (tmp_path / "raw").write_text("thesis")
    with pytest.raises(HeldoutError, match="cannot write .*raw"):
        fetch(name, tmp_path / "raw", str(mirror))
    assert (tmp_path / "raw").read_text() == "thesis"


def answer(*parts: bytes, pause_s: float = 0.0, forever: bool = False) -> type[socketserver.BaseRequestHandler]:
    """A server that sends the parts with pauses between them; `forever` repeats the last one."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            left = list(parts)
            try:
                while left:
                    self.request.sendall(left[0])
                    if len(left) > 1 or not forever:
                        left.pop(0)
                    time.sleep(pause_s)
            except OSError:  # the other side has gone
                return

    return Handler


OK = b"HTTP/1.1 200 OK\r\n"
END = b"Connection: close\r\n\r\n"
LENGTH = f"Content-Length: {len(CONTENT)}\r\n".encode()
SLOW = {"pause_s": 0.05, "forever": True}
MIRRORS = {
    "one byte every moment": (answer(OK + LENGTH + END, b"a", **SLOW), "too slow"),
    "a header every moment": (answer(OK, b"X-Wait: a\r\n", **SLOW), "too slow|got more than 100 headers"),
    "half a line of headers": (answer(OK, b"X", **SLOW), "too slow"),
    "no answer": (answer(b"", **SLOW), "too slow|timed out"),
    "a silence after the headers": (answer(OK + LENGTH + END, b"", **SLOW), "too slow|timed out"),
    "a body without end": (answer(OK + END, b"a" * 4096, forever=True), f"larger than the {len(CONTENT)} bytes"),
    "a chunked body without end": (
        answer(OK + b"Transfer-Encoding: chunked\r\n" + END, b"400\r\n" + b"a" * 1024 + b"\r\n", forever=True),
        f"larger than the {len(CONTENT)} bytes",
    ),
    "a byte too many": (answer(OK + END + CONTENT + b"a"), f"larger than the {len(CONTENT)} bytes"),
    "a byte too few": (answer(OK + END + CONTENT[1:]), "damaged: its hash is"),
    "an end before the announced one": (answer(OK + LENGTH + END + b"a"), "ended after 1 of 12000 bytes"),
    "a false chunk": (answer(OK + b"Transfer-Encoding: chunked\r\n" + END + b"xyz\r\n"), "IncompleteRead|invalid"),
    "an empty body": (answer(OK + b"Content-Length: 0\r\n" + END), "damaged: its hash is"),
    "a page that says sorry": (answer(OK + END + b"<html>sorry</html>"), "damaged: its hash is"),
    "not found": (answer(b"HTTP/1.1 404 Not Found\r\n" + END), "Not Found"),
    "a reason of many lines": (answer(b"HTTP/1.1 500 " + b"very " * 5000 + b"\r\n" + END), "very very|got more than"),
    "no HTTP": (answer(b"SSH-2.0-OpenSSH\r\n"), "SSH-2.0"),
    "nothing at all": (answer(), "without response|reset"),
    "a redirect to a file": (answer(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n" + END), "not allowed"),
    "a redirect to itself": (answer(b"HTTP/1.1 302 Found\r\nLocation: /again\r\n" + END), "infinite loop"),
}


@pytest.fixture
def served() -> Iterator[Callable[[type], str]]:
    servers = []

    def serve(handler: type[socketserver.BaseRequestHandler]) -> str:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("handler", "reason"), MIRRORS.values(), ids=MIRRORS)
def test_a_mirror_that_misbehaves_ends_soon_in_one_line(mirror, served, tmp_path, monkeypatch, handler, reason):
    monkeypatch.setattr(transfer, "PATIENCE_S", 0.4)
    monkeypatch.setattr(transfer, "LOOK_S", 0.02)
    began = time.monotonic()
    refused(tmp_path / "raw", served(handler), match=rf"mnist: cannot fetch http://127.*/mnist/a.gz \(.*({reason})")
    assert time.monotonic() - began < 5 and not (tmp_path / "raw").exists()


def test_a_slow_mirror_that_is_fast_enough_is_waited_for(mirror, served, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PATIENCE_S", 0.2)
    monkeypatch.setattr(transfer, "LOOK_S", 0.02)
    parts = [CONTENT[start : start + 1000] for start in range(0, len(CONTENT), 1000)]
    fetch("mnist", tmp_path / "raw", served(answer(OK + LENGTH + END, *parts, pause_s=0.05)))
    assert (tmp_path / "raw" / "a.gz").read_bytes() == CONTENT


def test_the_next_address_is_asked_when_one_is_too_slow(mirror, served, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PATIENCE_S", 0.2)
    slow = served(answer(OK + LENGTH + END, b"a", **SLOW))
    change_source(monkeypatch, "dataset", "mnist", addresses=(f"{slow}/", f"{mirror}/mnist/"))
    fetch("mnist", tmp_path / "raw", None)
    assert (tmp_path / "raw" / "a.gz").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "address", ["http://", "http://[", "http://a:b/", "http://a b/", "https://\0", "~nobody/x", "\0"]
)
def test_an_address_that_is_none_is_one_line(mirror, tmp_path, address):
    refused(tmp_path / "raw", address, match="mnist: cannot fetch")


ARCHIVE = "bedroom_val_lmdb.zip"
INNER = "bedroom_val_lmdb"


def zipped(path: Path, content: bytes = b"database", member: str = f"{INNER}/data.mdb", **options) -> bytes:
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr(member, content)
    return path.read_bytes()


def encrypted(path: Path) -> None:
    """Set the flag of an encrypted member in both of its headers; Python's zipfile does not write one."""
    content = bytearray(zipped(path))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)


def misstated(path: Path) -> None:
    """State a small size of a large member."""
    content = zipped(path, b"\0" * 100_000, compression=zipfile.ZIP_DEFLATED)
    path.write_bytes(content.replace(struct.pack("<I", 100_000), struct.pack("<I", 10)))


def flipped(path: Path) -> None:
    content = bytearray(zipped(path))
    content[content.index(b"database")] ^= 1
    path.write_bytes(content)


ZIPS = {
    "encrypted": (encrypted, "is encrypted"),
    "a bomb": (
        lambda path: zipped(path, b"\0" * 100_000, compression=zipfile.ZIP_DEFLATED),
        "unpacks to 100000 bytes, more than the allowed 10000",
    ),
    "a bomb that states another size": (misstated, "is not a complete archive"),
    "a bit flipped": (flipped, "is not a complete archive .*CRC"),
    "cut off": (lambda path: path.write_bytes(zipped(path)[:-10]), "is not a complete archive"),
    "empty": (lambda path: path.write_bytes(b""), "is not a complete archive"),
    "a page": (lambda path: path.write_bytes(b"<html>sorry</html>"), "is not a complete archive"),
    "larger than it may be": (lambda path: path.write_bytes(b"a" * 20_000), "larger than the 10000 bytes"),
    "packed as bzip2": (lambda path: zipped(path, compression=zipfile.ZIP_BZIP2), "has an unsupported compression"),
    "packed as lzma": (lambda path: zipped(path, compression=zipfile.ZIP_LZMA), "has an unsupported compression"),
    "a name too long": (lambda path: zipped(path, member=f"{INNER}/{'a' * 300}"), "File name too long"),
    "a folder above": (lambda path: zipped(path, member=f"{INNER}/../../thesis.txt"), "outside the folder"),
    "an absolute path": (lambda path: zipped(path, member="/etc/thesis.txt"), "outside the folder"),
    "a folder instead of a file": (lambda path: path.mkdir(), "no such file"),
}


@pytest.fixture
def lsun(tmp_path, monkeypatch) -> Path:
    """A folder with one file of the user, and a mirror of an LSUN of one archive."""
    change_source(monkeypatch, "dataset", "lsun", archives=(ARCHIVE,), largest=10_000)
    for folder in (tmp_path / "mine", tmp_path / "mirror" / "lsun"):
        folder.mkdir(parents=True)
    (tmp_path / "mine" / "thesis.txt").write_text("a year of work")
    return tmp_path / "mine"


def refused_archive(lsun: Path, mirror: str, match: str, **options) -> None:
    before = contents(lsun.parent)
    with pytest.raises(HeldoutError, match=match) as error:
        fetch("lsun", lsun, mirror, **options)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    assert contents(lsun.parent) == before


@pytest.mark.parametrize(("make", "reason"), ZIPS.values(), ids=ZIPS)
def test_an_archive_that_will_not_do_is_one_line_and_nothing_is_left(lsun, tmp_path, make, reason):
    make(tmp_path / "mirror" / "lsun" / ARCHIVE)
    refused_archive(lsun, str(tmp_path / "mirror"), reason)


def test_plain_http_needs_the_checksum_that_the_experiment_states(lsun, tmp_path, served):
    content = zipped(tmp_path / "mirror" / "lsun" / ARCHIVE)
    address = served(answer(OK + END + content))
    refused_archive(lsun, address, "is plain http, so files can be altered in transit; add --md5")
    refused_archive(lsun, "", "http://dl.yf.io/lsun/scenes/ is plain http")
    refused_archive(lsun, address, "would have the md5 .* not the 0{32} of --md5; nothing was changed", md5="0" * 32)
    expected = tmp_path / "expected"
    shutil.copytree(lsun, expected)
    (expected / INNER).mkdir()
    (expected / INNER / "data.mdb").write_bytes(b"database")
    fetch("lsun", lsun, address, md5=f"{md5_of(expected)}.dir")
    assert md5_of(lsun) == md5_of(expected)


def test_a_checksum_is_for_a_folder_of_the_users_own(mirror, tmp_path):
    with pytest.raises(HeldoutError, match="mnist has published checksums; leave out --md5"):
        fetch("mnist", tmp_path / "raw", str(mirror), md5="0" * 32)

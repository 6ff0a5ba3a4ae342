"""Fetches the files of a dataset or of published weights to `data/raw/<name>`.

Every file must have its published checksum; a file with another one is deleted, and the error names it.
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
from importlib import resources
from pathlib import Path, PurePosixPath

from heldout import registry, shapes_no_number
from heldout.datasets import Download, Installed, OwnFolder
from heldout.errors import HeldoutError
from heldout.planning.experiment import MIRROR_VARIABLE
from heldout.storage.files import whole_folder
from heldout.storage.folders import FETCHED
from heldout.storage.hashing import file_md5, file_sha256, has_checksum

PATIENCE_S = 30  # an address that sends nothing for this long counts as unreachable


def fetch(name: str, folder: Path, mirror: str | None) -> None:
    """Write the files of a dataset or of weights, and `fetched.json` with each file's checksum and origin.

    Args:
        name: a registered dataset, or registered weights.
        folder: `data/raw/<name>`, which is replaced as a whole. For a dataset that reads a user's own folder, that
            folder: published archives are unpacked beside its files.
        mirror: a folder or an http(s) address with `<name>/<file>`; None: the official addresses. Files of an installed
            package need neither.

    Raises:
        HeldoutError: a file is not available, or fails its checksum.
    """
    source = _entry(name).source
    if isinstance(source, OwnFolder):
        _unpack_beside(name, source, folder, mirror)
        return
    with whole_folder(folder) as partial:
        if isinstance(source, Download) and source.archive and not mirror:
            origins = _unpack(name, source, *source.archive, partial)
        else:
            origins = {file: _bring(name, source, file, source.files[file], partial, mirror) for file in source.files}
        record = {file: {"checksum": source.files[file], "source": origin} for file, origin in origins.items()}
        (partial / FETCHED).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@shapes_no_number
def check(name: str, folder: Path) -> None:
    """Raise HeldoutError if a fetched file is missing or no longer has its published checksum."""
    for file, checksum in _entry(name).source.files.items():
        problem = _damage(folder / file, checksum) if (folder / file).is_file() else "missing"
        if problem:
            raise HeldoutError(f"{folder / file} is {problem}; delete {folder} and run again")


def _bring(name: str, source: Installed | Download, file: str, checksum: str, folder: Path, mirror: str | None) -> str:
    """Write one official file to `folder`; return its address."""
    path, problems = folder / file, []
    for address in _addresses(name, source, file, mirror):
        problem = _get(address, path)
        if problem is None:
            if isinstance(source, Download) and source.restore and not has_checksum(path, checksum):
                path.write_bytes(source.restore(file, path.read_bytes()))
            problem = _damage(path, checksum)  # one address may send a damaged file, the next one a correct one
        if problem is None:
            return address
        problems.append(f"{address} ({problem})")
    raise HeldoutError(f"{name}: cannot fetch {'; nor '.join(problems)}; {_remedy(name, source, mirror)}")


def _addresses(name: str, source: Installed | Download, file: str, mirror: str | None) -> list[str]:
    if isinstance(source, Installed):
        return [str(resources.files(source.package) / source.folder / file)]
    return [f"{mirror.rstrip('/')}/{name}/{file}"] if mirror else [base + file for base in source.addresses]


def _remedy(name: str, source: Installed | Download, mirror: str | None) -> str:
    if isinstance(source, Installed):
        return f"install another version of {source.package.partition('.')[0]}, as envs/constraints.txt says"
    if mirror:
        return "put the official file there, or unset the mirror to fetch from the official address"
    return (
        f"without internet access, set {MIRROR_VARIABLE} to a folder or address that holds "
        f"{name}/{next(iter(source.files))} and so on, or {source.otherwise}"
    )


def _unpack(name: str, source: Download, archive: str, checksum: str, folder: Path) -> dict[str, str]:
    """Fetch the official archive and unpack it; return the origin of every file."""
    address = _bring(name, source, archive, checksum, folder, mirror=None)
    with tarfile.open(folder / archive) as packed:
        packed.extractall(folder, filter="data")  # refuses members that would leave the folder
    (folder / archive).unlink()
    for file, published in source.files.items():
        if problem := _damage(folder / file, published):
            raise HeldoutError(f"{name}: {file} in {address} is {problem}")
    return dict.fromkeys(source.files, address)


def _unpack_beside(name: str, source: OwnFolder, folder: Path, mirror: str | None) -> None:
    """Unpack each archive `X.zip` to `folder/X`, unless that exists; the archives have no published checksum."""
    if not source.archives:
        raise HeldoutError(f"{name} reads a folder of yours; there is nothing to fetch. See: heldout datasets {name}")
    for archive in source.archives:
        inner = archive.removesuffix(".zip")
        if (folder / inner).is_dir():
            continue
        address = f"{mirror.rstrip('/')}/{name}/{archive}" if mirror else source.address + archive
        with whole_folder(folder / inner) as partial:
            if problem := _get(address, partial / archive):
                raise HeldoutError(f"{name}: cannot fetch {address} ({problem}); unpack {archive} in {folder} by hand")
            try:
                with zipfile.ZipFile(partial / archive) as packed:
                    for member in packed.infolist():
                        _unpack_member(packed, member, inner, partial)
            except zipfile.BadZipFile as error:
                raise HeldoutError(f"{address} is not a complete archive ({error}); fetch it again") from error
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
    """Copy or download a file to `path`; return the reason of a failure, or None.

    torchvision downloads the file. pooch would be another dependency, and it limits neither the time nor the size of a
    whole transfer either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # from an earlier address; torchvision would accept it as complete
    if not address.startswith(("http://", "https://")):
        source = Path(address.removeprefix("file://")).expanduser()
        if not source.is_file():
            return "no such file"
        shutil.copyfile(source, path)
        return None
    from torchvision.datasets.utils import download_url  # takes 4 seconds to import

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


def _damage(path: Path, checksum: str) -> str | None:
    """Delete a file with a wrong checksum and return the problem; None if the checksum is right."""
    if has_checksum(path, checksum):
        return None
    found = file_sha256(path) if checksum.startswith("sha256:") else file_md5(path)
    path.unlink()
    return f"damaged: its hash is {found}, published {checksum}; it was removed"


def _entry(name: str) -> registry.Registration:
    """Return the dataset or the weights of this name."""
    return registry.load("weight" if name in registry.names("weight") else "dataset", name)

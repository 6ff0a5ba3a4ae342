"""Fetches the files of a dataset or of published weights to `data/raw/<name>`.

Every file must have its published checksum; a fetched file with another one is deleted, and the error names it.
"""

import json
import os
import shutil
import tarfile
import zipfile
import zlib
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from heldout import registry, shapes_no_number
from heldout.datasets import Download, Installed, OwnFolder
from heldout.errors import HeldoutError
from heldout.planning.experiment import MIRROR_VARIABLE
from heldout.stages.transfer import transfer
from heldout.storage.files import filled_folder, write_json
from heldout.storage.folders import FETCHED, IGNORED, md5_of
from heldout.storage.hashing import file_md5, file_sha256, has_checksum

LARGEST = 1 << 32  # bytes of a file whose source does not state its size
PLAIN = "http://"  # not encrypted: files can be altered in transit


def fetch(name: str, folder: Path, mirror: str | None, md5: str | None = None) -> None:
    """Write the files of a dataset or of weights, and `fetched.json` with each file's checksum and origin.

    Args:
        name: a registered dataset, or registered weights.
        folder: `data/raw/<name>`. For a dataset that reads a user's own folder, that folder: published archives are
            unpacked beside its files.
        mirror: a folder or an http(s) address with `<name>/<file>`; None: the official addresses. Files of an installed
            package need neither.
        md5: of a user's own folder with the unpacked archives, as the experiment states it; None: not checked.

    Raises:
        HeldoutError: a file is not available or fails its checksum, or `folder` holds files that `fetch` did not write.
    """
    source = _entry(name).source
    if isinstance(source, OwnFolder):
        _unpack_beside(name, source, folder, mirror, md5)
        return
    if md5:
        raise HeldoutError(f"{name} has published checksums; leave out --md5, which is for a folder of your own")
    _refuse_foreign(name, source, folder)
    with filled_folder(folder) as partial:
        if isinstance(source, Download) and source.archive and not mirror:
            origins = _unpack(name, source, *source.archive, partial)
        else:
            origins = {file: _bring(name, source, file, source.files[file], partial, mirror) for file in source.files}
    record = {file: {"checksum": source.files[file], "source": origin} for file, origin in origins.items()}
    write_json(folder / FETCHED, record)


@shapes_no_number
def check(name: str, folder: Path) -> None:
    """Raise HeldoutError if a fetched file is missing or no longer has its published checksum."""
    for file, checksum in _entry(name).source.files.items():
        problem = _damage(folder / file, checksum) if (folder / file).is_file() else "missing"
        if problem:
            raise HeldoutError(f"{folder / file} is {problem}; delete {folder} and run again")


def _refuse_foreign(name: str, source: Installed | Download, folder: Path) -> None:
    """Raise HeldoutError if a folder contains a file that `fetch` did not record and would not write identically."""
    recorded = _recorded(folder)
    for place, _, files in os.walk(folder):
        for path in (Path(place, file) for file in files):
            file = path.relative_to(folder).as_posix()
            if any(fnmatch(part, pattern) for part in Path(file).parts for pattern in IGNORED):
                continue
            if file == FETCHED and recorded:
                continue
            published = source.files.get(file)
            if published and recorded.get(file, {}).get("checksum") == published:
                continue
            if not published or not path.is_file() or not has_checksum(path, published):
                raise HeldoutError(
                    f"{path} was not written by `heldout fetch {name}`, which replaces only its own files; nothing was "
                    "changed. Choose another folder, or move the file away"
                )


def _recorded(folder: Path) -> dict[str, Any]:
    """Return the files in a folder's `fetched.json`, with checksum and source; empty if `fetch` did not write it."""
    try:
        content = json.loads((folder / FETCHED).read_text(encoding="utf-8"))
        return content if all({*facts} == {"checksum", "source"} for facts in content.values()) else {}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _bring(name: str, source: Installed | Download, file: str, checksum: str, folder: Path, mirror: str | None) -> str:
    """Write one official file to `folder`; return its address."""
    path, problems = folder / file, []
    largest = source.sizes.get(file, LARGEST) if isinstance(source, Download) else LARGEST
    for address in _addresses(name, source, file, mirror):
        problem = transfer(address, path, largest)
        if problem is None:
            if isinstance(source, Download) and source.restore and not has_checksum(path, checksum):
                path.write_bytes(source.restore(file, path.read_bytes()))
            problem = _damage(path, checksum)
            if problem:  # the next address may send a correct one
                path.unlink()
                problem += "; it was removed"
        if problem is None:
            return address
        problems.append(f"{address} ({problem})")
    raise HeldoutError(f"{name}: cannot fetch {', '.join(problems)}; {_remedy(name, source, mirror)}")


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
    """Fetch the official archive and unpack the dataset's files; return the origin of every file."""
    address = _bring(name, source, archive, checksum, folder, mirror=None)
    with tarfile.open(folder / archive) as packed:
        for file in source.files:
            packed.extract(file, folder, filter="data")  # refuses members that would leave the folder
    (folder / archive).unlink()
    for file, published in source.files.items():
        if problem := _damage(folder / file, published):
            raise HeldoutError(f"{name}: {file} in {address} is {problem}")
    return dict.fromkeys(source.files, address)


def _unpack_beside(name: str, source: OwnFolder, folder: Path, mirror: str | None, md5: str | None) -> None:
    """Unpack each archive `X.zip` to `folder/X`, unless that exists; the archives have no published checksum."""
    if not source.archives:
        raise HeldoutError(f"{name} reads your own folder; there is nothing to fetch. See: heldout datasets {name}")
    base = f"{mirror.rstrip('/')}/{name}/" if mirror else source.address
    if base.startswith(PLAIN) and not md5:
        raise HeldoutError(
            f"{name}: {base} is plain http, so files can be altered in transit; add --md5 with the checksum that your "
            f"experiment states for {folder}, or set {MIRROR_VARIABLE} to a folder or an https address"
        )
    with filled_folder(folder) as partial:
        for archive in source.archives:
            inner = archive.removesuffix(".zip")
            if (folder / inner).is_dir():
                continue
            if problem := transfer(base + archive, partial / archive, source.largest):
                raise HeldoutError(
                    f"{name}: cannot fetch {base}{archive} ({problem}); unpack {archive} in {folder} by hand"
                )
            (partial / inner).mkdir()
            try:
                with zipfile.ZipFile(partial / archive) as packed:
                    _unpack_members(packed, inner, partial / inner, source.largest)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                raise HeldoutError(f"{base}{archive} is not a complete archive ({error}); fetch it again") from error
            (partial / archive).unlink()
        if md5 and (found := md5_of(folder, partial)) != md5.removesuffix(".dir"):
            raise HeldoutError(
                f"{folder} with the fetched archives would have the md5 {found}, not the {md5} of --md5; nothing was "
                "changed. Correct the experiment's md5, or unpack what it also covers (training archives) first"
            )


def _unpack_members(packed: zipfile.ZipFile, inner: str, folder: Path, largest: int) -> None:
    """Write the files of an archive to `folder`; all of them must be in its folder `inner`."""
    members = [member for member in packed.infolist() if PurePosixPath(member.filename).parts != (inner,)]
    if (size := sum(member.file_size for member in members)) > largest:
        raise HeldoutError(f"{inner}.zip unpacks to {size} bytes, more than the allowed {largest}; it was refused")
    for member in members:
        parts = PurePosixPath(member.filename).parts
        if len(parts) != 2 or parts[0] != inner or parts[1] == "..":
            raise HeldoutError(f"{inner}.zip contains {member.filename}, outside the folder {inner}; it was refused")
        if member.flag_bits & 1:
            raise HeldoutError(f"{inner}.zip is encrypted; put one without a password there")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise HeldoutError(f"{inner}.zip has an unsupported compression; pack it with `zip`")
        with packed.open(member) as source, open(folder / parts[1], "wb") as target:
            shutil.copyfileobj(source, target)


def _damage(path: Path, checksum: str) -> str | None:
    """Return the problem of a file with a wrong checksum; None if the checksum is right."""
    if has_checksum(path, checksum):
        return None
    found = file_sha256(path) if checksum.startswith("sha256:") else file_md5(path)
    return f"damaged: its hash is {found}, published {checksum}"


def _entry(name: str) -> registry.Registration:
    """Return the dataset or the weights of this name."""
    return registry.load("weight" if name in registry.names("weight") else "dataset", name)

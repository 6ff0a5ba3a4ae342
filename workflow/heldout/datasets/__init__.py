"""Labelled images: the contract of a dataset, one file each. `_template.py` is a dataset to copy.

A dataset is one file with one class, registered under the file's name:

    @registry.dataset("my_dataset", classes=("cat", "dog"), source=Installed(...))
    class MyDataset: ...                                     # see `Dataset`

1. `heldout fetch` copies or downloads the files of `source` to `data/raw/<name>` and checks their checksums.
2. `heldout prepare` creates the class with the experiment's options and calls `read`, once.
3. It pads or resizes the images to a square (`DatasetOptions.size`) and stores them as one array, and the labels in a
   separate file.

Training and scoring read only that array. The code of `read` is part of the digest of every result on the dataset; the
origin of its files is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import Field

from heldout import registry

if TYPE_CHECKING:  # the command line lists datasets without NumPy
    from pathlib import Path

    import numpy as np


class DatasetOptions(registry.Params):
    """The options of every dataset; a dataset with its own options derives a class from this one."""

    size: Literal[32, 64] | None = Field(
        None,
        description="side in pixels; none: padded (black) to the next power of two; a number: resized after that",
    )


@dataclass(frozen=True)
class LabelledImages:
    """All images of a dataset, in an order that never changes.

    Attributes:
        images: uint8 `(N, C, H, W)`, C 1 (grey) or 3 (RGB), at most 256 pixels wide and high.
        labels: integers `(N,)`, each the index of the image's class in the registered `classes`.
        official_test: bool `(N,)`, true in the official test part; all false if there is none. Then a stratified fifth
            is the test part.
        sources: N strings, each a hash or key of the file from which the image was decoded; None: splits use the
            pixels. Splits are drawn by them, so that a decoder with slightly different pixels changes no split.
    """

    images: np.ndarray
    labels: np.ndarray
    official_test: np.ndarray
    sources: list[str] | None = None


class Dataset(Protocol):
    """The contract of a registered class."""

    def __init__(self, params: DatasetOptions) -> None:
        """Keep the options. The annotation of `params` is the class of the options."""

    def read(self, raw: Path) -> LabelledImages:
        """Read every image from `raw`, the folder with the source's files.

        The files have passed their checksums. Reading twice must give the same bits.

        Raises:
            HeldoutError: a user's own folder does not match the options.
        """
        ...


@dataclass(frozen=True)
class Installed:
    """Files inside an installed Python package.

    Attributes:
        package: the package, such as `sklearn.datasets`.
        folder: the folder in it that holds the files.
        files: file names with their MD5 checksums.
    """

    package: str
    folder: str
    files: dict[str, str]


@dataclass(frozen=True)
class Download:
    """Files that their authors publish.

    Attributes:
        files: file names with their published checksums: an MD5, or `sha256:` and the first digits of one. A mirror
            holds them as `<mirror>/<name>/<file>`.
        addresses: folders on the web or on this machine that hold the files; tried in turn.
        archive: name and checksum of a tar archive at the addresses that holds all files; None: they lie there singly.
        sizes: bytes of each file, and of the archive; no transfer brings more. Default: 4 GiB each.
        restore: given a file's name and a content that fails its checksum, returns the official content: for a
            distributor that is known to alter it.
        otherwise: what somebody without internet access can do instead, for the error.
    """

    files: dict[str, str]
    addresses: tuple[str, ...]
    archive: tuple[str, str] | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    restore: Callable[[str, bytes], bytes] | None = None
    otherwise: str = "use the dataset mnist5k, which needs no download"


@dataclass(frozen=True)
class OwnFolder:
    """A folder that the user has; its dataset has the options `folder` and `md5` (`_photographs.FolderOptions`).

    Attributes:
        address: where `archives` are published.
        archives: zip files, each `X.zip` with a folder `X`, that `heldout fetch` unpacks into the user's folder.
        largest: bytes that an archive may have, packed or unpacked.
    """

    address: str = ""
    archives: tuple[str, ...] = ()
    largest: int = 0
    files: dict[str, str] = field(default_factory=dict, init=False)  # none has a published checksum: `md5` pins them


Source = Installed | Download | OwnFolder

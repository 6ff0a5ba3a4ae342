"""The layout of a folder of images with one folder per class; `datasets/image_folder.py` describes it.

Planning checks it too, before any job, so nothing here imports a library.
"""

from collections.abc import Iterable
from pathlib import Path

from heldout import shapes_no_number
from heldout.errors import HeldoutError, short, unknown
from heldout.storage.folders import files_in

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
TRAIN, TESTS = "train", ("test", "val")
SHOWN, LONGEST = 10, 60  # names in a line, and characters of each


def listed(folder: Path, classes: list[str]) -> list[tuple[bool, int, Path]]:
    """Return for each image whether it is in the test part, its class number and its path, in this order.

    Raises:
        HeldoutError: the folder has another layout, a class has no images, a folder is not a class, or an image is in
            no class folder.
    """
    files = files_in(folder)
    parts = _parts(folder, {path.parts[0] for path in files if len(path.parts) > 1}, classes)
    depth = 1 if parts else 0  # of the classes' folders
    _refuse_missing(folder, parts, {path.parts[depth] for path in files if len(path.parts) > depth + 1}, classes)
    _refuse_strays(folder, files, depth, classes)
    found = []
    for path in files:
        if len(path.parts) > depth + 1 and path.suffix.lower() in ENDINGS:
            found.append((parts[1:] == [path.parts[0]], classes.index(path.parts[depth]), folder / path))
    with_images = {label for _, label, _ in found}
    for label, name in enumerate(classes):
        if label not in with_images:
            place = folder / "*" / name if parts else folder / name
            raise HeldoutError(f"{place} contains no images ({', '.join(ENDINGS)})")
    return sorted(found, key=lambda image: image[:2])  # stable: keeps the order of names


@shapes_no_number
def shown(names: Iterable[object]) -> str:
    """Return the first names of a list, long ones cut, and the length of a longer list."""
    words = [short(name, LONGEST) for name in names]
    return f"{', '.join(words[:SHOWN])}, ... ({len(words)} in all)" if len(words) > SHOWN else ", ".join(words)


@shapes_no_number
def _refuse_strays(folder: Path, files: list[Path], depth: int, classes: list[str]) -> None:
    """Raise HeldoutError for all images outside class folders, or for all folders that are not a class."""
    loose = [path for path in files if len(path.parts) <= depth + 1 and path.suffix.lower() in ENDINGS]
    if loose:
        verb, them = ("is", "it") if len(loose) == 1 else ("are", "them")
        places = shown(folder / path for path in loose)
        raise HeldoutError(f"{places} {verb} not in a class folder; put {them} into one, or move {them} away")
    others = {Path(*path.parts[: depth + 1]): None for path in files if len(path.parts) > depth + 1}
    strange = [folder / place for place in others if place.name not in classes]
    if strange:
        verb, what = ("is", "a class") if len(strange) == 1 else ("are", "classes")
        names = shown(dict.fromkeys(repr(place.name) for place in strange))
        raise HeldoutError(
            f"{shown(strange)} {verb} not {what} of this experiment; add {names} to `classes`, or move what is there"
        )


def _parts(folder: Path, above: set[str], classes: list[str]) -> list[str]:
    """Return the folders that contain the class folders, training first; empty if `above` are the class folders.

    Raises:
        HeldoutError: a mixture of the two layouts, one part without the other, or two test parts.
    """
    reserved = {TRAIN, *TESTS}
    is_parted = above <= reserved and not above <= set(classes)  # a class may be called `train`
    if not is_parted and not above & reserved - set(classes):
        return []
    for test in TESTS:
        if above == {TRAIN, test}:
            return [TRAIN, test]
    named = sorted(above & reserved) + sorted(above - reserved)[:1]
    raise HeldoutError(
        f"{folder} contains the folders {', '.join(named)}; it may contain either a folder per class, or train and "
        "test (or train and val), each with a folder per class"
    )


def _refuse_missing(folder: Path, parts: list[str], there: set[str], classes: list[str]) -> None:
    """Raise HeldoutError for a class without a folder, if there are other folders."""
    places = [folder / part for part in parts] or [folder]
    for name in classes:
        if there and not any((place / name).is_dir() for place in places):
            raise unknown(f"classes, in {' and '.join(map(str, places))}", "folder", name, sorted(there))

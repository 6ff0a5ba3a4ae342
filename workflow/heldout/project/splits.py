"""`heldout splits`: a table of split manifests, and a comparison of two."""

import json
from pathlib import Path

from heldout.errors import HeldoutError
from heldout.project.inventory import PLACES
from heldout.project.text import aligned
from heldout.storage.manifests import PARTS, SplitManifest, read_manifest

UNKNOWN = "?"  # not recorded in an older manifest
STATED = (
    "dataset",
    "prepared",
    "protocol",
    "variant",
    "held_out",
    "split_seed",
    "train_items",
    "test_items",
    "contamination",
    "drop_duplicates",
    "normal",
)
COLUMNS = ("dataset", "protocol", "variant", "held_out", "split_seed")


def manifests(paths: list[Path]) -> dict[Path, SplitManifest]:
    """Return the given manifests, or all that are here; each is checked against its own hash.

    Raises:
        HeldoutError: there is none, or one is damaged.
    """
    folder, ending = PLACES["split"]
    paths = paths or sorted(Path(folder).rglob(f"*{ending}"))
    if not paths:
        raise HeldoutError(f"no split in {folder} yet; make those of config.yaml with: snakemake --cores all")
    return {path: read_manifest(path, digest=None) for path in paths}


def table(found: dict[Path, SplitManifest]) -> str:
    """Return a row per manifest: the task, the images in each part, the share of anomalies, and duplicates.

    `train` includes contaminating images; `also in train` counts test images that are pixel-identical to a known image.
    """
    header = [*COLUMNS, "normal", "train", "contaminating", *PARTS[1:], "anomalies", "also in train", "file"]
    rows = [header]
    for path, manifest in found.items():
        rows.append(
            [
                *(str(UNKNOWN if (value := getattr(manifest, column)) is None else value) for column in COLUMNS),
                " ".join(manifest.normal),
                str(len(manifest.train)),
                str(manifest.anomalies_trained_on),
                *(str(len(manifest.part(part))) for part in PARTS[1:]),
                f"{manifest.share_of_anomalies:.1%}",
                str(manifest.test_images_also_in_training),
                str(path),
            ]
        )
    return aligned(rows)


def comparison(one: SplitManifest, other: SplitManifest) -> str:
    """Return the settings in which two manifests differ, and the number of images that each part has in common."""
    same_images = one.prepared == other.prepared is not None
    rows = [["", "first", "second", "in common"]]
    for key in STATED:
        said = [_said(key, getattr(each, key)) for each in (one, other)]
        if said[0] != said[1]:
            rows.append([key, *said, ""])
    for part in PARTS:
        common = str(len({*one.part(part)} & {*other.part(part)})) if same_images else "?"
        if one.content[part] == other.content[part]:
            common = "all, the same pixels"
        rows.append([part, str(len(one.part(part))), str(len(other.part(part))), common])
    if one.sha256 == other.sha256:
        return "the same split"
    return aligned(rows) + (
        ""
        if same_images
        else "\n  ?: the manifests refer to different prepared images, so their indices cannot be compared"
    )


def _said(key: str, value: object) -> str:
    return UNKNOWN if value is None and key in ("prepared", "variant") else json.dumps(value)

"""`heldout splits`: split manifests as a table, and two of them side by side."""

import json
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError
from heldout.keeping.inventory import PLACES
from heldout.keeping.text import aligned
from heldout.protocols import PARTS, STATED, read_manifest

COLUMNS = ("dataset", "protocol", "variant", "held_out", "split_seed")


def manifests(paths: list[Path]) -> dict[Path, dict[str, Any]]:
    """Return the given manifests, checked to be whole, or all that lie here.

    Raises:
        HeldoutError: there is none, or one is damaged.
    """
    folder, ending = PLACES["split"]
    paths = paths or sorted(Path(folder).rglob(f"*{ending}"))
    if not paths:
        raise HeldoutError(f"no split in {folder} yet; make those of config.yaml with: snakemake --cores all")
    return {path: read_manifest(path, _digest_in(path)) for path in paths}


def table(found: dict[Path, dict[str, Any]]) -> str:
    """Return a row per manifest: the task, the images in each part, the share of anomalies, and duplicates.

    `train` counts contaminating images too; `also in train` are test images that equal a training image.
    """
    header = [*COLUMNS, "normal", "train", "contaminating", *PARTS[1:], "anomalies", "also in train", "file"]
    rows = [header]
    for path, manifest in found.items():
        bad = sum(count for name, count in manifest["counts"]["train"].items() if name not in manifest["normal"])
        rows.append(
            [
                *(str(manifest[column]) for column in COLUMNS),
                " ".join(manifest["normal"]),
                str(len(manifest["train"])),
                str(bad),
                *(str(len(manifest[part])) for part in PARTS[1:]),
                f"{manifest['share_of_anomalies']:.1%}",
                str(manifest["test_images_also_in_training"]),
                str(path),
            ]
        )
    return aligned(rows)


def comparison(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return what two manifests say differently, and how many images of each part they have in common."""
    same_images = one["prepared"] == other["prepared"]
    rows = [["", "first", "second", "in common"]]
    for key in (*STATED, "normal"):
        if one[key] != other[key]:
            rows.append([key, *(json.dumps(each[key]) for each in (one, other)), ""])
    for part in PARTS:
        common = str(len({*one[part]} & {*other[part]})) if same_images else "?"
        if one["content"][part] == other["content"][part]:
            common = "all, the same pixels"
        rows.append([part, str(len(one[part])), str(len(other[part])), common])
    if one["sha256"] == other["sha256"]:
        return "the same split"
    return aligned(rows) + (
        "" if same_images else "\n  ?: they are about other prepared images, so indices say nothing"
    )


def _digest_in(path: Path) -> str:
    """The digest in a manifest's name."""
    return path.stem.rpartition("-")[2]

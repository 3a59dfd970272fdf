"""Options of `infer` that meet, and the table of runs in which each pair of their values does.

    pip install covertable && python tests/option_pairs.py    writes option_pairs.csv anew

A column of the table is an option, a cell what stands on the command line for it. `RULES` are the
documented refusals; no row breaks one, so every pair they leave is really run.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

Row = Mapping[str, str]
TABLE = Path(__file__).with_name("option_pairs.csv")

# "inputs" and "place" are names; test_option_pairs.py says what stands for them.
OPTIONS: dict[str, tuple[str, ...]] = {
    "inputs": ("picture", "folder", "film", "video", "animation", "people", "several"),
    "place": ("folders", "files"),
    "frames": ("", "--frame_first 1", "--frame_last 2 --frame_step 2"),
    "turn": ("", "--frame_flip", "--frame_rotate 90"),
    "body": ("", "--body none --hand_detector"),
    "hand": ("", "--hand"),
    "face": ("", "--face"),
    "foot": ("", "--foot"),
    "refine": ("", "--refine"),
    "turned": ("", "--turned"),
    "mode": ("", "--mode reference"),
    "detect_every": ("", "--detect_every 3"),
    "track_every": ("", "--track_every 2"),
    "identification": ("", "--identification"),
    "smooth": ("", "--smooth"),
    "min_track": ("", "--min_track 0", "--min_track 0.2"),
    "keep_id": ("", "--keep_id 0"),
    "number_people_max": ("", "--number_people_max 1"),
    "fps": ("", "--fps 50"),
    "segment": ("", "--segment 0.2"),
    "skip_existing": ("", "--skip_existing"),
    "csv": ("", "--write_csv", "--write_csv --csv_layout wide"),
    "csv_empty_frames": ("", "--csv_empty_frames"),
    "parquet": ("", "--write_parquet"),
    "coco_json": ("", "--write_coco_json"),
    "coco_dataset": ("", "--write_coco_dataset"),
    "angles": ("", "--write_angles"),
    "json": ("", "--write_json", "--write_json --json_format body25"),
    "txt": ("", "--write_txt"),
    "images": ("", "--write_images", "--write_images --write_images_format jpg"),
    "video": ("", "--write_video"),
    "controlnet": ("", "--write_controlnet", "--write_controlnet --controlnet_format list"),
    "heatmaps": ("", "--write_heatmaps", "--write_heatmaps --write_heatmaps_format npy"),
    "trc": ("", "--write_trc"),
    "deeplabcut": ("", "--write_deeplabcut"),
    "render_ids": ("", "--render_ids true", "--render_ids false"),
    "render_pose": ("", "--render_pose 0", "--disable_blending"),
    "keypoint_scale": ("", "--keypoint_scale 1", "--keypoint_scale 3"),
    "keep_filled": ("", "--keep_filled"),
    "part_candidates": ("", "--part_candidates"),
    "threads": ("--threads 1", "--threads 2"),
}


@dataclass(frozen=True)
class Rule:
    """What cannot be asked for together.

    options  that the rule is about
    keeps    whether a row keeps to it
    reason   what is said to who does not
    """

    options: tuple[str, ...]
    keeps: Callable[[Row], bool]
    reason: str


_FOLLOWS = ("identification", "smooth", "track_every", "keep_id")
_STAGES = ("heatmaps", "part_candidates", "keypoint_scale")


def follows(row: Row) -> bool:
    """Whether people have ids."""
    return any(row[name] for name in _FOLLOWS)


def _looks_inside(row: Row) -> bool:
    inside = row["heatmaps"] or row["part_candidates"]
    return bool(inside) or row["keypoint_scale"] == "--keypoint_scale 1"


RULES = (
    Rule(
        ("csv", *_FOLLOWS),
        lambda row: "wide" not in row["csv"] or follows(row),
        "--csv_layout wide follows each person",
    ),
    Rule(
        ("trc", *_FOLLOWS),
        lambda row: not row["trc"] or follows(row),
        "--write_trc follows each person",
    ),
    Rule(
        ("deeplabcut", *_FOLLOWS),
        lambda row: not row["deeplabcut"] or follows(row),
        "--write_deeplabcut follows each person",
    ),
    Rule(
        ("csv", "place"),
        lambda row: "wide" not in row["csv"] or row["place"] == "folders",
        "--csv_layout wide writes a file for each person",
    ),
    Rule(
        ("csv_empty_frames", "csv", "angles"),
        lambda row: not row["csv_empty_frames"] or bool(row["csv"] or row["angles"]),
        "--csv_empty_frames applies to --write_csv and --write_angles",
    ),
    Rule(
        ("detect_every", *_STAGES),
        lambda row: not (row["detect_every"] and _looks_inside(row)),
        "heat maps and candidates need whole frames",
    ),
    Rule(
        ("mode", *_STAGES),
        lambda row: not (row["mode"] and _looks_inside(row)),
        "has no heat maps, candidates and scale 1",
    ),
    Rule(
        ("track_every", *_STAGES),
        lambda row: not (row["track_every"] and _looks_inside(row)),
        "need the network on every frame; omit --track_every",
    ),
    Rule(
        ("inputs", *_STAGES),
        lambda row: not (row["inputs"] == "people" and _looks_inside(row)),
        "heat maps, candidates and scale 1 need a network",
    ),
    Rule(
        ("mode", "detect_every"),
        lambda row: not (row["mode"] and row["detect_every"]),
        "needs whole frames; omit --detect_every",
    ),
    Rule(
        ("mode", "refine"),
        lambda row: not (row["mode"] and row["refine"]),
        "has no second look",
    ),
    Rule(
        ("mode", "turned"),
        lambda row: not (row["mode"] and row["turned"]),
        "does not turn pictures",
    ),
    Rule(
        ("body", *_STAGES),
        lambda row: not (row["body"] and _looks_inside(row)),
        "are those of the body network; omit --body none",
    ),
    Rule(
        ("body", "foot"),
        lambda row: not (row["body"] and row["foot"]),
        "foot needs a body network, too",
    ),
    Rule(
        ("body", "track_every"),
        lambda row: not (row["body"] and row["track_every"]),
        "--track_every follows bodies; omit it or --body none",
    ),
    Rule(
        ("inputs", "turn"),
        lambda row: not (row["inputs"] == "people" and row["turn"]),
        "cannot be turned",
    ),
)


def read() -> list[dict[str, str]]:
    """The rows of the table."""
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def pairs(row: Row) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    """The pairs of values that meet in a row."""
    return set(combinations(((name, row[name]) for name in OPTIONS), 2))


def may_meet(pair: tuple[tuple[str, str], tuple[str, str]]) -> bool:
    """Whether some values of the other options make a pair one that no rule forbids."""

    def kept(rule: Rule) -> bool:
        free = {name: OPTIONS[name] for name in rule.options}
        free |= {name: (value,) for name, value in pair}
        rows = (dict(zip(free, values, strict=True)) for values in product(*free.values()))
        return any(map(rule.keeps, rows))

    return all(map(kept, RULES))


def _write() -> None:
    from covertable import make

    constraints = [
        {"operator": "fn", "requires": list(rule.options), "evaluate": rule.keeps} for rule in RULES
    ]
    rows = make(OPTIONS, constraints=constraints)
    with TABLE.open("w", newline="") as file:
        table = csv.DictWriter(file, [*OPTIONS], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    _write()

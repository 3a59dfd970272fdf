"""What a run writes: the kinds of files, their places and their names.

Some kinds have one file per frame, others one file for all frames of a video, or for all pictures:

| kind       | a frame                                | many frames                          |
| ---------- | -------------------------------------- | ------------------------------------ |
| images     | `<name>_rendered.png`                  |                                      |
| json       | `<name>_keypoints.json`                |                                      |
| txt        | `<name>.txt`                           |                                      |
| controlnet | `<name>_controlnet.json` and `.png`    | or `<name>_controlnet.json` of all   |
| heatmaps   | `<name>_pose_heatmaps.png`             |                                      |
| video      |                                        | `<name>_rendered.mp4`                |
| csv        |                                        | `<name>.csv`                         |
| jsonl      |                                        | `<name>.jsonl`                       |
| parquet    |                                        | `<name>.parquet`                     |
| coco_json  |                                        | `<name>_coco.json`                   |
| coco_dataset |                                      | `<name>_coco_dataset.json`           |
| angles     |                                        | `<name>_angles.csv`                  |
| csv_wide   |                                        | a file a person, and `<name>_wide.json` |
| trc        |                                        | a file a person, and `<name>_trc.json` |
| angle_plots |                               | a file a person, and `<name>_angle_plots.json` |
| deeplabcut |                                        | `<name>_dlc.csv`                     |
| pose       |                                        | `<name>.pose`                        |

For kinds with one file per person the table names the file that lists them; see
`outputs.person_files`.

`<name>` is the path of the picture or video below the folder that was searched, without its suffix;
for a frame of a video `_` and its number in twelve digits follow, as in OpenPose.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import OutputError, SourceError
from openpose_ext.formats.heatmaps import heatmaps
from openpose_ext.outputs.controlnet_canvas import CANVAS_SIDE, controlnet_canvas
from openpose_ext.outputs.controlnet_json import write_controlnet
from openpose_ext.outputs.draw import draw
from openpose_ext.outputs.heatmaps import write_heatmaps
from openpose_ext.outputs.openpose_json import write_openpose
from openpose_ext.outputs.pictures import write_picture
from openpose_ext.outputs.scale import scaled
from openpose_ext.outputs.txt import write_txt
from openpose_ext.outputs.video import VIDEO_SUFFIXES
from openpose_ext.sources.source import Report
from openpose_ext.stages.estimator import Stages
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25

__all__ = [
    "FILE_SUFFIXES",
    "KINDS",
    "WITH_IDS",
    "Aside",
    "Drawing",
    "HeatmapChoice",
    "Results",
    "ends_run",
    "failing_alone",
]

_OF_A_FRAME = {
    "images": ("_rendered.{images}",),
    "json": ("_keypoints.json",),
    "txt": (".txt",),
    "controlnet": ("_controlnet.png", "_controlnet.json"),
    "heatmaps": ("_pose_heatmaps.{heatmaps}",),
}
_OF_MANY = {
    "video": "_rendered.mp4",
    "csv": ".csv",
    "jsonl": ".jsonl",
    "parquet": ".parquet",
    "coco_json": "_coco.json",
    "coco_dataset": "_coco_dataset.json",
    "angles": "_angles.csv",
    "csv_wide": "_wide.json",
    "trc": "_trc.json",
    "angle_plots": "_angle_plots.json",
    "deeplabcut": "_dlc.csv",
    "pose": ".pose",
}
KINDS = (*_OF_A_FRAME, *_OF_MANY)

# Kinds that need the people's ids.
WITH_IDS = ("csv_wide", "trc", "angle_plots", "deeplabcut")

# A place with one of these suffixes is a file, any other one a folder.
FILE_SUFFIXES = {
    "video": tuple(VIDEO_SUFFIXES),
    "csv": (".csv",),
    "jsonl": (".jsonl", ".ndjson"),
    "parquet": (".parquet",),
    "coco_json": (".json",),
    "coco_dataset": (".json",),
    "angles": (".csv",),
}


# Errors after which nothing more can be written: a full disk, or a folder that is gone.
_FATAL = frozenset(
    getattr(errno, name)
    for name in (
        "ENOSPC", "EDQUOT", "EROFS", "EIO", "ENOENT", "ENODEV", "ENXIO", "ESTALE", "ENOTCONN",
        "EHOSTDOWN", "ETIMEDOUT",
    )
    if hasattr(errno, name)
)  # fmt: skip


@contextmanager
def failing_alone(report: Report) -> Iterator[None]:
    """Report a result that cannot be written. Raise the OutputError if no other can be, either."""
    try:
        yield
    except OutputError as error:
        if ends_run(error):
            raise
        report(SourceError(str(error)))


def ends_run(error: OutputError) -> bool:
    """Whether nothing more can be written: the disk is full, or the folder is gone."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _FATAL


ControlNetFormat = Literal["object", "list"]


class Thresholds(TypedDict):
    """Scores above which parts, and points of hands and faces, are drawn."""

    threshold: float
    hand_threshold: float
    face_threshold: float


@dataclass(frozen=True)
class Drawing:
    """How people are drawn.

    skeletons       whether they are drawn at all
    threshold       draw body parts with scores above this
    hand_threshold  draw points of hands with scores above this
    face_threshold  draw points of faces with scores above this
    black           draw on black instead of on the picture
    ids             draw the people's ids
    """

    skeletons: bool
    threshold: float
    hand_threshold: float
    face_threshold: float
    black: bool
    ids: bool = False

    def __call__(self, frame: Frame, poses: Poses) -> Picture:
        """The frame's picture (H, W, 3) uint8 BGR with its people; must not be changed."""
        canvas = np.zeros((*frame.size[::-1], 3), np.uint8) if self.black else frame.image
        if not self.skeletons:
            return canvas
        return draw(canvas, poses, ids=self.ids, **self.thresholds)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds as keyword arguments of `draw`."""
        return {
            "threshold": self.threshold,
            "hand_threshold": self.hand_threshold,
            "face_threshold": self.face_threshold,
        }


@dataclass(frozen=True)
class HeatmapChoice:
    """Which maps are written, and in which units; see `formats.heatmaps`."""

    parts: bool
    background: bool
    pafs: bool
    scale: int


class Aside(NamedTuple):
    """What some files hold besides a frame's people; None if no file needs it.

    candidates  all peaks in pixels of the picture, by part
    geometry    how the picture lies in the network's input
    """

    candidates: Mapping[str, npt.NDArray[np.float32]] | None = None
    geometry: Geometry | None = None

    @classmethod
    def of(cls, stages: Stages) -> Aside:
        peaks = zip(stages.topology.parts, stages.peaks, strict=True)
        return cls(
            {part: stages.geometry.from_maps(found).astype(np.float32) for part, found in peaks},
            stages.geometry,
        )


@dataclass(frozen=True)
class Results:
    """What is written, and how.

    places      by kind: a folder, or the file for kinds of many frames
    formats     suffixes of "images" and "heatmaps"
    drawing     how people are drawn
    maps        which heat maps are written
    body25      whether JSON has BODY_25's order of parts, whatever the network's is
    scale       unit of the coordinates in JSON, txt and tables; see `outputs.scale`
    candidates  whether JSON also has all peaks
    keep_filled  whether JSON, txt and tables also have the parts that the decoder filled
    video_rate  frames per second of drawn videos, None for the source's
    threads     threads of the video's encoder
    quick_video  whether the encoder delays few frames, see `VideoWriter`
    output      folder for kinds without a place of their own; a folder even if it has a suffix
    controlnet  JSON for ControlNet: "object" is one file per frame, "list" one for all frames
    empty_frames  whether CSV has rows for frames in which nobody was found
    person_height  height of the people in metres, for TRC in metres; None for pixels
    canvas      short side of ControlNet's pictures in pixels, 0 for the frame's own size
    drawn_as    file names of drawn pictures, by name, instead of `<name>_rendered`; the plan puts
                the inputs' own names in. None for the usual names
    """

    places: Mapping[str, Path]
    formats: Mapping[str, str]
    drawing: Drawing
    maps: HeatmapChoice
    body25: bool = False
    scale: int = 0
    candidates: bool = False
    keep_filled: bool = False
    video_rate: float | None = None
    threads: int = 1
    quick_video: bool = False
    output: Path | None = None
    controlnet: ControlNetFormat = "object"
    canvas: int = CANVAS_SIDE
    empty_frames: bool = False
    person_height: float | None = None
    drawn_as: Mapping[Path, Path] | None = None

    @property
    def needs_stages(self) -> bool:
        """Whether files need the maps or peaks of a frame, not only its people."""
        return self.candidates or self.scale == 1 or "heatmaps" in self.places

    @property
    def draws(self) -> bool:
        """Whether any file shows people drawn."""
        return "images" in self.places or "video" in self.places

    @property
    def of_frames_only(self) -> bool:
        """Whether all files belong to a single frame."""
        return self.places.keys() <= _OF_A_FRAME.keys() and not self._of_many.keys() & {
            *self.places
        }

    def only(self, kinds: Collection[str]) -> Results:
        """The same with these kinds only."""
        return self._where(lambda kind, place: kind in kinds)

    @property
    def folders(self) -> list[Path]:
        """The folders that are written to, each once; without those of files given by name."""
        places = (p for kind, p in self.places.items() if not self.is_file(kind, p))
        return list(dict.fromkeys(places))

    def _where(self, keep: Callable[[str, Path], bool]) -> Results:
        return replace(self, places={k: p for k, p in self.places.items() if keep(k, p)})

    def files(self, name: Path) -> dict[str, list[Path]]:
        """The files of one frame called `name`, by kind."""
        files = {
            kind: [
                self.places[kind] / name.with_name(name.name + end.format_map(self.formats))
                for end in ends
                if end != self._of_many.get(kind)
            ]
            for kind, ends in _OF_A_FRAME.items()
            if kind in self.places
        }
        drawn = (self.drawn_as or {}).get(name)
        if drawn is not None and "images" in files:
            files["images"] = [self.places["images"] / drawn]
        return files

    def books(self, name: Path) -> dict[str, Path]:
        """The files that hold many frames of the input called `name`, by kind."""
        return {
            kind: place
            if self.is_file(kind, place)
            else place / name.with_name(name.name + self._of_many[kind])
            for kind, place in self.places.items()
            if kind in self._of_many
        }

    @property
    def _of_many(self) -> dict[str, str]:
        """The endings of the files that hold many frames, by kind."""
        listed = {"controlnet": "_controlnet.json"} if self.controlnet == "list" else {}
        return _OF_MANY | listed

    def is_file(self, kind: str, place: Path) -> bool:
        """Whether the place of a kind is a file, which its suffix tells."""
        return place != self.output and place.suffix.lower() in FILE_SUFFIXES.get(kind, ())

    def have(self, name: Path) -> bool:
        """Whether all files of one frame exist."""
        return all(file.exists() for files in self.files(name).values() for file in files)

    def write_maps(self, name: Path, stages: Stages, report: Report) -> None:
        """Write the heat maps of a frame, if they are asked for; see `write`."""
        for file in self.files(name).get("heatmaps", ()):
            maps = heatmaps(
                stages.heat,
                stages.paf,
                stages.topology,
                parts=self.maps.parts,
                background=self.maps.background,
                pafs=self.maps.pafs,
                scale=self.maps.scale,
                stride=stages.geometry.stride,
            )
            with failing_alone(report):
                write_heatmaps(file, maps)

    def write(
        self,
        name: Path,
        frame: Frame,
        poses: Poses,
        aside: Aside,
        report: Report,
        *,
        draws: bool,
    ) -> tuple[Picture | None, dict[str, float]]:
        """Draw a frame and write its own files.

        report  called with the error of a file that cannot be written, if others can be
        draws   whether to draw the frame, for a file or for a preview

        Returns the drawing, or None, and the seconds of "draw" and "write". Raises OutputError if
        nothing more can be written.
        """
        start = perf_counter()
        drawn = self.drawing(frame, poses) if draws else None
        begin = perf_counter()
        files = self.files(name)
        for file in files.get("images", ()):
            assert drawn is not None
            with failing_alone(report):
                write_picture(file, drawn)
        in_units = self.in_units(poses, aside)
        for file in files.get("json", ()):
            listed = in_units.as_topology(BODY_25) if self.body25 else in_units
            candidates = aside.candidates if self.candidates else None
            with failing_alone(report):
                write_openpose(file, listed, candidates=candidates)
        for file in files.get("txt", ()):
            with failing_alone(report):
                write_txt(file, in_units)
        for file in files.get("controlnet", ()):
            thresholds = self.drawing.thresholds
            with failing_alone(report):
                if file.suffix == ".json":
                    write_controlnet(file, poses, **thresholds)
                else:
                    write_picture(file, controlnet_canvas(poses, side=self.canvas, **thresholds))
        end = perf_counter()
        seconds = {"draw": begin - start} if drawn is not None else {}
        return drawn, seconds | {"write": end - begin}

    def in_units(self, poses: Poses, aside: Aside) -> Poses:
        """The people in the unit and with the parts that files are to have."""
        return scaled(self.told(poses), self.scale, aside.geometry)

    def told(self, poses: Poses) -> Poses:
        """The people in pixels of the picture, without filled parts unless `keep_filled` is set."""
        return poses if self.keep_filled else poses.without_filled()

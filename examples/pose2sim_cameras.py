"""From the videos of several cameras to markers in space: pose2sim_cameras.py PROJECT [FLAG ...]

PROJECT is a folder as Pose2Sim wants it: Config.toml, calibration/, and the videos of all cameras,
which began at the same time, in videos/. FLAGs go to `infer`, such as --frame_last 49. Pose2Sim
tells how far the markers lie from what the cameras saw; the last line is their file.

    pip install openpose_ext Pose2Sim
"""

import os
import sys
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # no windows

import rtoml
from Pose2Sim.Pose2Sim import Pose2SimPipeline

from openpose_ext import infer


def find_people(project: Path, flags: list[str]) -> None:
    """Write the people of each camera, BODY_25 with feet, to pose/CAMERA_json."""
    for video in sorted((project / "videos").iterdir()):
        place = project / "pose" / f"{video.stem}_json"
        asked = ["--foot", "--json_format", "body25", "--identification", "--write_json"]
        if infer.main([str(video), *asked, str(place), *flags]) != 0:
            sys.exit(f"{video} could not be read")


def into_space(project: Path) -> Path:
    """Find the same person in all cameras, and triangulate; returns the markers' file."""
    config = rtoml.load(project / "Config.toml")
    config["project"]["project_dir"] = str(project.resolve())
    config["pose"]["pose_model"] = "BODY_25"
    config["triangulation"] |= {"make_c3d": False, "show_interp_indices": False}
    pipeline = Pose2SimPipeline(config)
    pipeline.calibration()
    pipeline.personAssociation()
    pipeline.triangulation()
    return max((project / "pose-3d").glob("*.trc"), key=lambda file: file.stat().st_mtime)


def main(folder: str, *flags: str) -> Path:
    project = Path(folder)
    find_people(project, [*flags])
    markers = into_space(project)
    print(markers)
    return markers


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])

"""Write the two public-domain pictures of the demo into a folder.

`astronaut.png` (NASA) ships with scikit-image, `grace_hopper.jpg` (U.S. Navy) with matplotlib.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.cbook
import skimage.data
import skimage.io


def write(folder: Path) -> None:
    """Write both into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    skimage.io.imsave(folder / "astronaut.png", skimage.data.astronaut(), check_contrast=False)
    hopper = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    (folder / "grace_hopper.jpg").write_bytes(Path(hopper).read_bytes())


if __name__ == "__main__":
    write(Path(sys.argv[1]))

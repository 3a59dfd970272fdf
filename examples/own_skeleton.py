"""Maps of a skeleton of your own, decoded: here a stick figure of four parts, drawn as maps."""

import numpy as np

import openpose_ext as op

STICK = op.Topology(
    name="stick",
    parts=("Head", "Hip", "RFoot", "LFoot"),
    limbs=((0, 1), (1, 2), (1, 3)),
    paf_channels=((0, 1), (2, 3), (4, 5)),  # x and y of each limb's field
    redundant=(),
    mirror=(0, 1, 3, 2),  # left and right change places in a mirrored picture
    colours=((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)),
)


def maps(people: list[np.ndarray], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Heat maps and fields as a perfect network would give them; points are in map cells."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    heat = np.zeros((len(STICK.parts), height, width), np.float32)
    paf = np.zeros((STICK.paf_count, height, width), np.float32)
    for points in people:
        for part, (px, py) in enumerate(points):
            heat[part] = np.maximum(heat[part], np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2))
        for (a, b), channels in zip(STICK.limbs, STICK.paf_channels, strict=True):
            start, way = points[a], points[b] - points[a]
            unit = way / np.linalg.norm(way)
            along = (x - start[0]) * unit[0] + (y - start[1]) * unit[1]
            across = np.abs((x - start[0]) * unit[1] - (y - start[1]) * unit[0])
            inside = (along >= 0) & (along <= np.linalg.norm(way)) & (across <= 1)
            for channel, component in zip(channels, unit, strict=True):
                paf[channel][inside] = component
    return heat, paf


def main() -> op.Poses:
    people = [np.array([[8, 6], [9, 16], [6, 26], [13, 26]], np.float32)]
    people.append(people[0] + np.float32([20, 2]))
    poses = op.decode_body(*maps(people, 36, 48), topology=STICK, stride=8)
    for person in poses.keypoints:
        print(
            [f"{part} {x:.0f} {y:.0f}" for part, (x, y, _) in zip(STICK.parts, person, strict=True)]
        )
    return poses


if __name__ == "__main__":
    main()

"""Skeletons as data: parts, limbs, PAF channels, mirror pairs and colours.

Source: part and limb order of OpenPose's COCO, BODY_25, hand and face networks (Cao et al.,
"OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields").
"R" and "L" are the person's own right and left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from openpose_ext import _core

__all__ = [
    "BODY_25",
    "COCO_18",
    "FACE_68",
    "FACE_70",
    "FEET_6",
    "FOOT_2",
    "HAND_21",
    "Topology",
]

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Topology:
    """What a network's channels mean, and how the parts are connected.

    name          short name, as used in files
    parts         K part names, in the order of the heat maps
    limbs         L pairs (a, b) of part indices; the field points from a to b
    paf_channels  L pairs (x, y) of channels among the PAF maps; empty for a skeleton without PAF
    redundant     indices of limbs that close a loop (shoulder-ear): they confirm or join people
                  but never start one
    mirror        K part indices: where each part goes when the picture is mirrored
    colours       K RGB triples, the original OpenPose's
    feet          indices of parts beyond the ankles; feet alone do not make a person
    lengths       L typical limb lengths relative to one of them, 0 if unknown: a limb far longer
                  than the person's others suggest is dropped; empty turns this rule off
    sigmas        K standard deviations of careful annotators for each part, relative to the square
                  root of the person's area (COCO's sigmas); empty if unknown

    Raises ValueError if an index is out of range or the lengths disagree.
    """

    name: str
    parts: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    paf_channels: tuple[tuple[int, int], ...]
    redundant: tuple[int, ...]
    mirror: tuple[int, ...]
    colours: tuple[Colour, ...]
    feet: tuple[int, ...] = ()
    lengths: tuple[float, ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        parts = range(len(self.parts))
        if not self.parts:
            raise ValueError(f"topology {self.name!r} has no parts")
        for a, b in self.limbs:
            if a not in parts or b not in parts or a == b:
                raise ValueError(
                    f"topology {self.name!r}: limb ({a}, {b}) does not join two of the "
                    f"{len(self.parts)} parts"
                )
        if self.paf_channels and len(self.paf_channels) != len(self.limbs):
            raise ValueError(
                f"topology {self.name!r}: {len(self.limbs)} limbs but "
                f"{len(self.paf_channels)} pairs of PAF channels"
            )
        if self.lengths and len(self.lengths) != len(self.limbs):
            raise ValueError(
                f"topology {self.name!r}: {len(self.limbs)} limbs but {len(self.lengths)} lengths"
            )
        if any(not 0 <= length < math.inf for length in self.lengths):
            raise ValueError(
                f"topology {self.name!r}: lengths must be 0 or more, not {self.lengths}"
            )
        if self.sigmas and len(self.sigmas) != len(self.parts):
            raise ValueError(
                f"topology {self.name!r}: {len(self.parts)} parts but {len(self.sigmas)} sigmas"
            )
        if not all(0 < sigma < math.inf for sigma in self.sigmas):
            raise ValueError(f"topology {self.name!r}: sigmas must be above 0, not {self.sigmas}")
        channels = sorted(c for pair in self.paf_channels for c in pair)
        if channels != list(range(len(channels))):
            raise ValueError(
                f"topology {self.name!r}: the PAF channels must be 0 to "
                f"{len(channels) - 1}, each once"
            )
        if any(limb not in range(len(self.limbs)) for limb in self.redundant):
            raise ValueError(f"topology {self.name!r}: redundant names a limb that does not exist")
        if sorted(self.mirror) != list(parts) or any(
            self.mirror[self.mirror[k]] != k for k in parts
        ):
            raise ValueError(f"topology {self.name!r}: mirror must exchange parts in pairs")
        if len(self.colours) != len(self.parts):
            raise ValueError(f"topology {self.name!r}: there must be one colour per part")
        if any(foot not in parts for foot in self.feet):
            raise ValueError(f"topology {self.name!r}: feet names a part that does not exist")

    @property
    def paf_count(self) -> int:
        """Number of PAF channels."""
        return 2 * len(self.paf_channels)

    @cached_property
    def core(self) -> _core.Topology:
        """The same skeleton as the C++ core takes it."""
        return _core.Topology(
            len(self.parts),
            self.limbs,
            self.paf_channels or None,
            self.redundant,
            self.feet,
            self.lengths,
            self.sigmas,
        )

    def __reduce__(self) -> tuple[type[Topology], tuple[object, ...]]:
        # Leave out the cached C++ object; another process makes its own.
        return Topology, (
            self.name,
            self.parts,
            self.limbs,
            self.paf_channels,
            self.redundant,
            self.mirror,
            self.colours,
            self.feet,
            self.lengths,
            self.sigmas,
        )


def _pairs(first_channels: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((x, x + 1) for x in first_channels)


# Lengths: medians over 3,295 people labelled in COCO and in Leeds Sports Pose Extended, as shares
# of neck to hip. The feet used here were not labelled by people.
# Sigmas: COCO's, and COCO-WholeBody's of the feet; the neck has that of a shoulder, the middle of
# the hips that of a hip.
COCO_18 = Topology(
    name="coco_18",
    parts=(
        "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "RHip",
        "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar",
    ),
    limbs=(
        (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11),
        (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (2, 16), (5, 17),
    ),
    paf_channels=_pairs(
        (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26)
    ),
    redundant=(17, 18),
    mirror=(0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16),
    colours=(
        (255, 0, 85), (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0),
        (85, 255, 0), (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255),
        (0, 85, 255), (0, 0, 255), (255, 0, 170), (170, 0, 255), (255, 0, 255), (85, 0, 255),
    ),
    lengths=(
        0.30, 0.30, 0.55, 0.48, 0.55, 0.48, 1.0, 0.73, 0.75, 1.0, 0.73, 0.75, 0.35, 0.10, 0.16,
        0.10, 0.16, 0.38, 0.38,
    ),
    sigmas=(
        0.026, 0.079, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089, 0.107, 0.087,
        0.089, 0.025, 0.025, 0.035, 0.035,
    ),
)  # fmt: skip

BODY_25 = Topology(
    name="body_25",
    parts=(
        "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist",
        "MidHip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar",
        "LEar", "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel",
    ),
    limbs=(
        (1, 8), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11),
        (8, 12), (12, 13), (13, 14), (1, 0), (0, 15), (15, 17), (0, 16), (16, 18), (2, 17),
        (5, 18), (14, 19), (19, 20), (14, 21), (11, 22), (22, 23), (11, 24),
    ),
    paf_channels=_pairs(
        (
            0, 14, 22, 16, 18, 24, 26, 6, 2, 4, 8, 10, 12, 30, 32, 36, 34, 38, 20, 28, 40, 42,
            44, 46, 48, 50,
        )
    ),
    redundant=(18, 19),
    mirror=(
        0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21,
    ),
    colours=(
        (255, 0, 85), (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0),
        (85, 255, 0), (0, 255, 0), (255, 0, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255),
        (0, 170, 255), (0, 85, 255), (0, 0, 255), (255, 0, 170), (170, 0, 255), (255, 0, 255),
        (85, 0, 255), (0, 0, 255), (0, 0, 255), (0, 0, 255), (0, 255, 255), (0, 255, 255),
        (0, 255, 255),
    ),
    feet=(19, 20, 21, 22, 23, 24),
    lengths=(
        0.97, 0.30, 0.30, 0.55, 0.48, 0.55, 0.48, 0.23, 0.73, 0.75, 0.23, 0.73, 0.75, 0.35, 0.10,
        0.16, 0.10, 0.16, 0.38, 0.38, 0, 0, 0, 0, 0, 0,
    ),
    sigmas=(
        0.026, 0.079, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.107, 0.087, 0.089, 0.107,
        0.087, 0.089, 0.025, 0.025, 0.035, 0.035, 0.068, 0.066, 0.066, 0.092, 0.094, 0.094,
    ),
)  # fmt: skip

HAND_21 = Topology(
    name="hand_21",
    parts=(
        "Wrist", "ThumbCMC", "ThumbMCP", "ThumbIP", "ThumbTip", "IndexMCP", "IndexPIP",
        "IndexDIP", "IndexTip", "MiddleMCP", "MiddlePIP", "MiddleDIP", "MiddleTip", "RingMCP",
        "RingPIP", "RingDIP", "RingTip", "LittleMCP", "LittlePIP", "LittleDIP", "LittleTip",
    ),
    limbs=(
        (0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (0, 9), (9, 10),
        (10, 11), (11, 12), (0, 13), (13, 14), (14, 15), (15, 16), (0, 17), (17, 18), (18, 19),
        (19, 20),
    ),
    paf_channels=(),
    redundant=(),
    mirror=tuple(range(21)),
    colours=(
        (100, 100, 100), (100, 0, 0), (150, 0, 0), (200, 0, 0), (255, 0, 0), (100, 100, 0),
        (150, 150, 0), (200, 200, 0), (255, 255, 0), (0, 100, 50), (0, 150, 75), (0, 200, 100),
        (0, 255, 125), (0, 50, 100), (0, 75, 150), (0, 100, 200), (0, 125, 255), (100, 0, 100),
        (150, 0, 150), (200, 0, 200), (255, 0, 255),
    ),
)  # fmt: skip


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}{number}" for number in range(count))


def _open(first: int, last: int) -> tuple[tuple[int, int], ...]:
    """The line through points first to last."""
    return tuple((k, k + 1) for k in range(first, last))


def _closed(first: int, last: int) -> tuple[tuple[int, int], ...]:
    return (*_open(first, last), (last, first))


_WHITE = (255, 255, 255)

# The face of OpenPose: the 68 points of iBUG, and the pupils. The jaw goes from the right ear over
# the chin to the left one, brows and nostrils from right to left, the nose down, eyes and lips
# around, the right eye from its outer corner, the left one from its inner one, lips from the right.
FACE_70 = Topology(
    name="face_70",
    parts=(
        *_numbered("Jaw", 17), *_numbered("RBrow", 5), *_numbered("LBrow", 5),
        *_numbered("NoseBridge", 4), *_numbered("Nostril", 5), *_numbered("REye", 6),
        *_numbered("LEye", 6), *_numbered("OuterLip", 12), *_numbered("InnerLip", 8), "RPupil",
        "LPupil",
    ),
    limbs=(
        *_open(0, 16), *_open(17, 21), *_open(22, 26), *_open(27, 30), *_open(31, 35),
        *_closed(36, 41), *_closed(42, 47), *_closed(48, 59), *_closed(60, 67),
    ),
    paf_channels=(),
    redundant=(),
    mirror=(
        *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
        45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
        54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65, 69, 68,
    ),
    colours=(_WHITE,) * 70,
)  # fmt: skip

FACE_68 = Topology(
    name="face_68",
    parts=FACE_70.parts[:68],
    limbs=FACE_70.limbs,
    paf_channels=(),
    redundant=(),
    mirror=FACE_70.mirror[:68],
    colours=FACE_70.colours[:68],
)

# One foot, as networks of right feet see it.
FOOT_2 = Topology(
    name="foot_2",
    parts=("Heel", "BigToe"),
    limbs=((0, 1),),
    paf_channels=(),
    redundant=(),
    mirror=(0, 1),
    colours=((0, 255, 255),) * 2,
)

# Both feet of a person, as networks of whole people see them.
FEET_6 = Topology(
    name="feet_6",
    parts=("LAnkle", "LHeel", "LBigToe", "RAnkle", "RHeel", "RBigToe"),
    limbs=((0, 1), (0, 2), (3, 4), (3, 5)),
    paf_channels=(),
    redundant=(),
    mirror=(3, 4, 5, 0, 1, 2),
    colours=((0, 0, 255),) * 3 + ((0, 255, 255),) * 3,
)

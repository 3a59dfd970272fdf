"""Drop-in replacement of pytorch-openpose: its shapes and rules, on our engines and C++ decoder.

    from openpose_ext.compat.pytorch_openpose import Body, Hand
    from openpose_ext.compat import pytorch_openpose as util

    candidate, subset = Body("body_pose_model.pth")(picture)
    canvas = util.draw_bodypose(picture, candidate, subset)
    for x, y, side, is_left in util.handDetect(candidate, subset, picture):
        peaks = Hand("hand_pose_model.pth")(picture[y : y + side, x : x + side])

The same as the original: preprocessing (to the byte), scales, both enlargements of the maps,
clipping of the heat maps at 0, the decoders and their quirks. Different: pictures that the original
failed on, or float pictures, are refused with a reason; drawing does not modify the canvas and
keeps its size; only the strongest 1,024 peaks of a part are kept. `PoseEstimator` is faster and
finds more people; this module is for programs that need the same results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any, Generic, Self, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from openpose_ext.backends.protocol import BackendInfo
from openpose_ext.errors import ModelError
from openpose_ext.models.convert.formats import converted
from openpose_ext.models.lookup import find_model
from openpose_ext.models.network import BodyNetwork, CropMaps, HandNetwork
from openpose_ext.outputs.draw import draw
from openpose_ext.sources.pictures import PictureLike, as_picture
from openpose_ext.stages.arms import seed_squares
from openpose_ext.stages.decode import decode_hand_reference, decode_reference, full_size
from openpose_ext.stages.preprocess import HEIGHT, Preprocessing
from openpose_ext.types.arrays import Picture
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import COCO_18, HAND_21

__all__ = ["Body", "Hand", "draw_bodypose", "draw_handpose", "handDetect"]

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
N = TypeVar("N", BodyNetwork, HandNetwork)

# Heights of the network input for a picture or a crop, as multiples of 368.
BODY_SCALE = 0.5
HAND_SCALES = (0.5, 1.0, 1.5, 2.0)

_PARTS = len(COCO_18.parts)
_POINTS = len(HAND_21.parts)


class _Seed(Generic[N]):
    """A network with the original's preprocessing. Thread-safe; close it, or use it in `with`."""

    _kind: type[N]

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        backend: str = "auto",
        device: str = "cpu",
        precision: str = "f32",
        threads: int | None = None,
    ) -> None:
        file = find_model(path, self._kind.names)
        if file.suffix == ".pth" and backend != "torch":
            file = converted(file)
        self._network: N = self._kind.open(
            file, backend=backend, device=device, precision=precision, threads=threads
        )
        refusal = self._refusal()
        if refusal is not None:
            self.close()
            raise ModelError(f"{file} {refusal}")

    def _refusal(self) -> str | None:
        """The reason why this network cannot follow the original's rules, or None."""
        if self._network.fixed_size is None:
            return None
        width, height = self._network.fixed_size
        return (
            f"takes pictures of {width} x {height} only, and the seed's rules need a network of "
            "any size: export it with --dynamic"
        )

    @property
    def info(self) -> BackendInfo:
        """Engine, device, precision and file of the network."""
        info: BackendInfo = self._network.info
        return info

    def close(self) -> None:
        """Release the network."""
        self._network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _seen_at(self, picture: Picture, scale: float) -> tuple[npt.NDArray[np.uint8], Geometry]:
        """The network's input (1, h, w, 3) at a scale, and its geometry."""
        stride = self._network.stride
        preprocess = Preprocessing(height=round(scale * HEIGHT), stride=stride, resize="seed")
        image, geometry = preprocess(picture)
        if geometry.network[0] <= stride:
            height, width = picture.shape[:2]
            raise ValueError(
                f"the picture is too narrow: {width} x {height} becomes {geometry.content[0]} x "
                f"{geometry.content[1]} pixels for the network, and it needs more than {stride}"
            )
        return image[None], geometry


class Body(_Seed[BodyNetwork]):
    """Finds people as pytorch-openpose's `Body` does.

    path       body_pose_model.pth (converted once, beside it or in the user's cache; needs the
               extra "torch"), or any body network of COCO's 18 parts that takes every size
    precision  "f32" for the original's numbers; "auto", "bf16", "f16" are faster and less exact
    backend, device, threads  as of `PoseEstimator`

    Heat maps are clipped at 0 before they are enlarged, for every file: the original has a ReLU
    after its last layer by mistake. `PoseEstimator` does not do this.

    Raises ModelError if the file is missing, is not a body network of COCO_18, or takes a single
    input size; BackendError if an engine or torch is missing.
    """

    _kind = BodyNetwork

    def _refusal(self) -> str | None:
        if self._network.topology != COCO_18:
            return f"finds {self._network.topology.name}, but the seed's arrays are of coco_18"
        return super()._refusal()

    def __call__(self, oriImg: PictureLike) -> tuple[Doubles, Doubles]:  # noqa: N803, its name
        """The peaks and the people of a picture.

        oriImg  (H, W, 3) uint8 BGR; a path or a PIL image, too

        Returns
            candidate  (P, 4) float64: x, y in whole pixels, score, id; of shape (0,) if P = 0
            subset     (N, 20) float64: ids of a person's 18 parts or -1, total score, count

        Raises TypeError or ValueError if the picture is invalid, is grey, has four channels, or is
        at most 8 pixels wide when resized to a height of 184; BackendError if the engine fails.
        """
        image, geometry = self._seen_at(as_picture(oriImg), BODY_SCALE)
        heat, paf = self._network.run(image)
        # Double precision makes no difference here: the decoder widens every value it reads, and
        # the mean over one scale is that scale.
        return decode_reference(
            full_size(np.maximum(heat[0], 0), geometry), full_size(paf[0], geometry)
        )


class Hand(_Seed[HandNetwork]):
    """Finds the points of a hand as pytorch-openpose's `Hand` does.

    path       hand_pose_model.pth, or any hand network of 22 maps that takes every size; the rest
               as of `Body`

    Raises ModelError if the file is missing, is not such a network, or takes a single input size;
    BackendError if an engine or torch is missing.
    """

    _kind = HandNetwork

    def _refusal(self) -> str | None:
        if self._network.regresses:
            return "gives points, but the seed's rules are for maps: use PoseEstimator(hand=...)"
        return super()._refusal()

    def __call__(self, oriImg: PictureLike) -> Ints:  # noqa: N803, its name
        """The points of the hand in a crop.

        oriImg  (H, W, 3) uint8 BGR: the square around one hand; left hands are not mirrored

        Returns (21, 2) int64: x, y in whole pixels of the crop, 0, 0 for a missing point. Raises
        as `Body` does; a crop must not be much higher than wide.
        """
        crop = as_picture(oriImg)
        mean = np.zeros((_POINTS, *crop.shape[:2]))
        for scale in HAND_SCALES:
            image, geometry = self._seen_at(crop, scale)
            answer = self._network.run(image)
            assert isinstance(answer, CropMaps)
            # All channels at once, including the background, because OpenCV's rounding may depend
            # on it.
            mean += full_size(answer.heat[0], geometry)[:_POINTS] / np.float32(len(HAND_SCALES))
        return decode_hand_reference(mean)[:, :2].astype(np.int64)


def handDetect(  # noqa: N802, its name
    candidate: npt.ArrayLike,
    subset: npt.ArrayLike,
    oriImg: PictureLike,  # noqa: N803
) -> list[list[Any]]:
    """The squares in which to look for hands, for people found by `Body`.

    candidate, subset  as returned by `Body`
    oriImg             the picture; only its size is used

    Returns [x, y, side, is_left] for each hand: whole pixels of the picture, and a bool. Ordered by
    person, the left hand first. A hand needs shoulder, elbow and wrist, and at least 20 pixels. A
    square that reaches outside the picture is shifted right and down, or made smaller. Raises
    ValueError if the arrays have another form; TypeError or ValueError if the picture is invalid.
    """
    height, width = as_picture(oriImg).shape[:2]
    return [
        [*square, is_left]
        for person in _people(candidate, subset)
        for square, is_left in zip(
            seed_squares(person, COCO_18, (width, height)), (True, False), strict=True
        )
        if square is not None
    ]


def draw_bodypose(canvas: Picture, candidate: npt.ArrayLike, subset: npt.ArrayLike) -> Picture:
    """Draw people on a copy of the canvas, in the original's colours (red and blue exchanged).

    canvas             (H, W, 3) uint8 BGR; not changed, unlike the original's
    candidate, subset  as `Body` gives them

    Raises ValueError if the canvas or the arrays have another form.
    """
    canvas = as_picture(canvas)
    return _drawn(canvas, _people(candidate, subset), None)


def draw_handpose(
    canvas: Picture, all_hand_peaks: Iterable[npt.ArrayLike], show_number: bool = False
) -> Picture:
    """Draw hands on a copy of the canvas, in the colours of the original's OpenCV variant.

    canvas          (H, W, 3) uint8 BGR; not changed. The result has its size, while the
                    original's has that of a figure
    all_hand_peaks  (21, 2) each: x, y in the canvas; points at 0, 0 are missing, and not drawn
    show_number     write each point's number beside it

    Raises ValueError if the canvas or the peaks have another form.
    """
    canvas = as_picture(canvas)
    peaks = [_peaks(one) for one in all_hand_peaks]
    # In pairs, because a person has two hands; the last pair may have one hand.
    hands = np.zeros((-(-len(peaks) // 2), 2, _POINTS, 3), np.float32)
    for place, points in zip(hands.reshape(-1, _POINTS, 3), peaks, strict=False):
        place[:] = points
    drawn = _drawn(canvas, np.zeros((len(hands), _PARTS, 3)), hands)
    if show_number:
        for points in peaks:
            for number, (x, y) in _present(points):
                cv2.putText(
                    drawn,
                    str(number),
                    (x, y),
                    cv2.FONT_HERSHEY_DUPLEX,
                    0.3,
                    (0, 0, 0),
                    lineType=cv2.LINE_AA,
                )
    return drawn


def _people(candidate: npt.ArrayLike, subset: npt.ArrayLike) -> Doubles:
    """(N, 18, 3): x, y, and 1 for parts of the person; else 0, 0, 0."""
    peaks, rows = np.asarray(candidate, np.float64), np.asarray(subset, np.float64)
    if peaks.size == 0:
        peaks = np.zeros((0, 4))
    if peaks.ndim != 2 or peaks.shape[1] != 4:
        raise ValueError(f"candidate must be (P, 4), or (0,) if there is none, not {peaks.shape}")
    if rows.ndim != 2 or rows.shape[1] != _PARTS + 2:
        raise ValueError(f"subset must be (N, {_PARTS + 2}), not {rows.shape}")
    ids = rows[:, :_PARTS].astype(np.intp)
    if ids.size and ids.max() >= len(peaks):
        raise ValueError(f"subset names candidate {ids.max()} of {len(peaks)}")
    people = np.zeros((len(ids), _PARTS, 3))
    seen = ids >= 0
    people[seen, :2] = peaks[ids[seen], :2]
    people[seen, 2] = 1
    return people


def _peaks(points: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """(21, 3) of a hand's (21, 2): a third column of 1, or 0 for a point at 0, 0."""
    xy = np.asarray(points, np.float32)
    if xy.shape != (_POINTS, 2):
        raise ValueError(f"the peaks of a hand must be ({_POINTS}, 2), not {xy.shape}")
    return np.column_stack([xy, xy.any(axis=1)]).astype(np.float32)


def _present(points: npt.NDArray[np.float32]) -> Iterator[tuple[int, tuple[int, int]]]:
    for number in np.flatnonzero(points[:, 2]).tolist():
        yield number, (int(points[number, 0]), int(points[number, 1]))


def _drawn(canvas: Picture, people: Doubles, hands: npt.NDArray[np.float32] | None) -> Picture:
    """The canvas with these people in the original's style; points of score 0 are missing."""
    poses = Poses(
        people.astype(np.float32),
        np.ones(len(people), np.float32),
        np.zeros(people.shape[:2], np.bool_),
        COCO_18,
        (canvas.shape[1], canvas.shape[0]),
        hands,
    )
    return draw(canvas, poses, "seed", threshold=0, hand_threshold=0)

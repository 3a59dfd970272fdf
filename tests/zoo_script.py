"""VastModelZoo's openpose_vsx.py as its steps are described: the calls it makes, and its rules.

None of its code is here. It asks the runtime in its own way (a transposed view for a picture, the
format looked up among the operation's attributes, one picture a run whatever the batch), and its
rules are those of pytorch-openpose, so `oracle` and `hand_oracle` give them. Nothing here knows
`openpose_ext`.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

import hand_oracle
import oracle

SHOULDER_ELBOW_WRIST = ((5, 6, 7), (2, 3, 4))  # of the left arm, and of the right one
LEAST_SIDE = 20

Picture = np.ndarray[Any, Any]


class Network:
    """A compiled network, run on one stretched picture at a time."""

    def __init__(
        self, vsx: ModuleType, prefix: Path, vdsp_info: Path, device: int = 0, batch: int = 1
    ) -> None:
        self.vsx, self.device = vsx, device
        assert vsx.set_device(device) == 0
        model = vsx.Model(str(prefix), batch)
        self.operator = vsx.ModelOperator(model)
        self.fused = vsx.Operator.load_ops_from_json_file(str(vdsp_info))[0]
        graph = vsx.Graph()
        graph.add_operators(self.fused, self.operator)
        self.stream = vsx.Stream(graph, vsx.StreamBalanceMode.ONCE)
        self.stream.register_operator_output(self.operator)
        self.stream.build()
        self.height, self.width = model.input_shape[0][2:]

    def format(self) -> Any:
        """What the fused operation takes."""
        vsx = self.vsx
        if self.fused.op_type >= 100:
            built_in = self.fused.cast_to_buildin_operator()
            if "IIMAGE_FORMAT" in built_in.attributes:
                number = built_in.get_attribute(vsx.AttrKey.IIMAGE_FORMAT)
                return {5000: vsx.ImageFormat.RGB_PLANAR, 0: vsx.ImageFormat.YUV_NV12}[number]
        return vsx.ImageFormat.YUV_NV12

    def maps(self, picture: Picture) -> list[Picture]:
        """The outputs (C, h, w) float32, in the network's order, for a (H, W, 3) BGR picture."""
        size = self.width, self.height
        stretched = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        planes = cv2.cvtColor(stretched, cv2.COLOR_BGR2RGB).transpose(2, 0, 1)
        assert not planes.flags.c_contiguous
        image = self.vsx.create_image(planes, self.format(), *size, self.device)
        outputs = self.stream.run_sync([image])[0]
        return [self.vsx.as_numpy(out).astype(np.float32)[0] for out in outputs]

    def full_size(self, maps: Picture, picture: Picture) -> Picture:
        size = picture.shape[1], picture.shape[0]
        return oracle.full_size(maps, (self.width, self.height), size)


def people(body: Network, picture: Picture) -> Picture:
    """(P, 18, 3) float64: x, y in whole pixels and the peak's score; missing parts are 0, 0, 0."""
    paf, heat = sorted(body.maps(picture), key=len, reverse=True)
    found = oracle.decode(body.full_size(heat, picture), body.full_size(paf, picture))
    return oracle.people(found.candidate, found.subset)


def squares(found: Picture, picture: Picture) -> list[tuple[int, int, int, int, int]]:
    """(person, 0 left or 1 right, x, y, side) of each hand that is looked for, in whole pixels."""
    height, width = picture.shape[:2]
    result = []
    for person, parts in enumerate(found):
        for hand, arm in enumerate(SHOULDER_ELBOW_WRIST):
            if not parts[list(arm), 2].all():
                continue
            x, y, side = hand_oracle.box(*(tuple(parts[part, :2]) for part in arm))
            x, y = max(0.0, x), max(0.0, y)
            side = min(side, width - x, height - y)
            if side >= LEAST_SIDE:
                result.append((person, hand, int(x), int(y), int(side)))
    return result


def hands(network: Network, found: Picture, picture: Picture) -> Picture:
    """(P, 2, 21, 3) float64: x, y in whole pixels and the heat; missing points are 0, 0, 0.

    A point is put into the picture axis by axis, and only where it is not 0.
    """
    result = np.zeros((len(found), 2, 21, 3))
    for person, hand, x, y, side in squares(found, picture):
        crop = picture[y : y + side, x : x + side]
        (heat,) = network.maps(crop)
        points = hand_oracle.points(network.full_size(heat, crop))
        points[:, 0] += np.where(points[:, 0] != 0, x, 0)
        points[:, 1] += np.where(points[:, 1] != 0, y, 0)
        points[~points[:, :2].any(axis=1)] = 0
        result[person, hand] = points
    return result

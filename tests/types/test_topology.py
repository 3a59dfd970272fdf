"""Skeletons as data: consistent in themselves, refused where they are not."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

import openpose_ext as op

BODIES = [op.COCO_18, op.BODY_25]
ALL = [*BODIES, op.HAND_21]


def name_of(topology: op.Topology) -> str:
    """Return the test's label."""
    return topology.name


@pytest.mark.parametrize(
    ("topology", "parts", "limbs", "channels"),
    [(op.COCO_18, 18, 19, 38), (op.BODY_25, 25, 26, 52), (op.HAND_21, 21, 20, 0)],
    ids=["coco_18", "body_25", "hand_21"],
)
def test_openposes_skeletons_have_its_counts(
    topology: op.Topology, parts: int, limbs: int, channels: int
) -> None:
    assert len(topology.parts) == len(set(topology.parts)) == parts
    assert len(topology.limbs) == len(set(topology.limbs)) == limbs
    assert topology.paf_count == channels


@pytest.mark.parametrize("topology", ALL, ids=name_of)
def test_limbs_that_are_not_redundant_span_all_parts_as_a_tree(topology: op.Topology) -> None:
    limbs = [limb for k, limb in enumerate(topology.limbs) if k not in topology.redundant]
    assert len(limbs) == len(topology.parts) - 1
    reached = {limbs[0][0]}
    for _ in limbs:
        reached |= {end for limb in limbs if reached & set(limb) for end in limb}
    assert reached == set(range(len(topology.parts)))


@pytest.mark.parametrize("topology", BODIES, ids=name_of)
def test_mirroring_exchanges_left_and_right(topology: op.Topology) -> None:
    for part, other in enumerate(topology.mirror):
        name = topology.parts[part]
        swapped = {"R": "L", "L": "R"}.get(name[0], name[0]) + name[1:]
        assert topology.parts[other] == swapped


@pytest.mark.parametrize("topology", BODIES, ids=name_of)
def test_mirrored_limbs_are_as_long(topology: op.Topology) -> None:
    for (a, b), length in zip(topology.limbs, topology.lengths, strict=True):
        image = topology.limbs.index((topology.mirror[a], topology.mirror[b]))
        assert topology.lengths[image] == length


@pytest.mark.parametrize("topology", BODIES, ids=name_of)
def test_the_mirror_image_of_a_limb_is_a_limb(topology: op.Topology) -> None:
    for k, (a, b) in enumerate(topology.limbs):
        image = topology.limbs.index((topology.mirror[a], topology.mirror[b]))
        assert (k in topology.redundant) == (image in topology.redundant)


@pytest.mark.parametrize("topology", BODIES, ids=name_of)
def test_redundant_limbs_run_from_shoulder_to_ear(topology: op.Topology) -> None:
    names = [tuple(topology.parts[part] for part in topology.limbs[k]) for k in topology.redundant]
    assert names == [("RShoulder", "REar"), ("LShoulder", "LEar")]


def test_feet_hang_on_the_ankles() -> None:
    names = [op.BODY_25.parts[part] for part in op.BODY_25.feet]
    assert names == ["LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"]
    assert op.COCO_18.feet == ()


def test_both_bodies_join_the_same_parts_of_head_and_arms() -> None:
    above_the_hips = set(op.COCO_18.parts[:8]) | set(op.COCO_18.parts[14:])
    joined = [
        {
            names
            for a, b in body.limbs
            if set(names := (body.parts[a], body.parts[b])) <= above_the_hips
        }
        for body in BODIES
    ]
    assert joined[0] == joined[1]


@pytest.mark.parametrize("topology", ALL, ids=name_of)
def test_skeletons_are_values(topology: op.Topology) -> None:
    assert topology.core is topology.core  # made on first use, and left behind by what follows
    for other in (pickle.loads(pickle.dumps(topology)), copy.deepcopy(topology), replace(topology)):
        assert other == topology
        assert hash(other) == hash(topology)
        heat = np.zeros((len(topology.parts), 3, 3), np.float32)
        paf = np.zeros((topology.paf_count, 3, 3), np.float32)
        assert len(op.decode_body(heat, paf, topology=other)) == 0
    assert topology != replace(topology, name="other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": ()}, "no parts"),
        ({"limbs": ((0, 18), *op.COCO_18.limbs[1:])}, r"limb \(0, 18\)"),
        ({"limbs": ((-1, 0), *op.COCO_18.limbs[1:])}, r"limb \(-1, 0\)"),
        ({"limbs": ((3, 3), *op.COCO_18.limbs[1:])}, r"limb \(3, 3\)"),
        ({"paf_channels": ((0, 1),)}, r"19 limbs but 1 pairs"),
        ({"paf_channels": ((0, 2), *op.COCO_18.paf_channels[1:])}, "each once"),
        ({"paf_channels": ((38, 39), *op.COCO_18.paf_channels[1:])}, "each once"),
        ({"redundant": (19,)}, "redundant"),
        ({"redundant": (-1,)}, "redundant"),
        ({"mirror": (0, 1, 2)}, "mirror"),
        ({"mirror": (*range(1, 18), 0)}, "in pairs"),
        ({"colours": op.COCO_18.colours[1:]}, "colour"),
        ({"feet": (18,)}, "feet names a part that does not exist"),
        ({"feet": (-1,)}, "feet names"),
        ({"lengths": (1.0, 2.0)}, "19 limbs but 2 lengths"),
        ({"sigmas": (0.1, 0.1)}, "18 parts but 2 sigmas"),
        ({"sigmas": (*op.COCO_18.sigmas[1:], 0.0)}, "sigmas must be above 0"),
        ({"lengths": (*op.COCO_18.lengths[1:], -0.1)}, "lengths must be 0 or more"),
        ({"lengths": (*op.COCO_18.lengths[1:], float("nan"))}, "lengths must be 0 or more"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(op.COCO_18, **change)  # type: ignore[arg-type]

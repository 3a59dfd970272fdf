"""The original body pipeline in plain NumPy, SciPy and OpenCV: the specification in code.

Every rule is the one of the seed (Hzzone/pytorch-openpose), its quirks included, in the seed's
order of floating-point operations: `openpose_ext`'s reference mode must return the same bits.
Nothing here knows `openpose_ext`, and nothing here is fast.

Maps are (channels, H, W). Points are x, y with pixel centres at integers. A limb joins part A to
part B, and its field points from A to B.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Maps = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Size = tuple[int, int]

STRIDE = 8  # network pixels a map cell
PAD_VALUE = 128  # 0.0 after normalisation
SIGMA = 3.0  # picture pixels, of the smoothing before the peaks are sought
PEAK_THRESHOLD = 0.1  # the smoothed map must exceed it
PAF_THRESHOLD = 0.05  # a sample of the field must exceed it
SAMPLES = 10  # along a limb, both ends included
MIN_SHARE = 0.8  # of the samples must exceed PAF_THRESHOLD: more than 8, so 9
MIN_NORM = 0.001  # pixels; keeps coincident peaks from dividing by zero
MIN_PARTS = 4  # a person has at least as many parts,
MIN_SCORE = 0.4  # and at least this score a part


@dataclass(frozen=True)
class Topology:
    """A skeleton.

    parts         K, the number of parts
    limbs         L pairs (A, B) of parts, in the order in which they are assembled
    paf_channels  L pairs (x, y) of channels of the field
    redundant     the limbs that close a loop: they never start a person
    """

    parts: int
    limbs: tuple[Size, ...]
    paf_channels: tuple[Size, ...]
    redundant: tuple[int, ...]


COCO_18 = Topology(
    parts=18,
    limbs=(
        (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11),
        (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (2, 16), (5, 17),
    ),
    paf_channels=(
        (12, 13), (20, 21), (14, 15), (16, 17), (22, 23), (24, 25), (0, 1), (2, 3), (4, 5), (6, 7),
        (8, 9), (10, 11), (28, 29), (30, 31), (34, 35), (32, 33), (36, 37), (18, 19), (26, 27),
    ),
    redundant=(17, 18),
)  # fmt: skip

BODY_25 = Topology(
    parts=25,
    limbs=(
        (1, 8), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11),
        (8, 12), (12, 13), (13, 14), (1, 0), (0, 15), (15, 17), (0, 16), (16, 18), (2, 17),
        (5, 18), (14, 19), (19, 20), (14, 21), (11, 22), (22, 23), (11, 24),
    ),
    paf_channels=(
        (0, 1), (14, 15), (22, 23), (16, 17), (18, 19), (24, 25), (26, 27), (6, 7), (2, 3), (4, 5),
        (8, 9), (10, 11), (12, 13), (30, 31), (32, 33), (36, 37), (34, 35), (38, 39), (20, 21),
        (28, 29), (40, 41), (42, 43), (44, 45), (46, 47), (48, 49), (50, 51),
    ),
    redundant=(18, 19),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What the seed finds in the maps of one picture.

    candidate    (P, 4): x, y, score and id of every peak, part after part; (0,) without any
    connections  L arrays (n, 5): id of A, id of B, score, and the places of A and B among the
                 peaks of their parts
    subset       (N, K + 2): ids of a person's parts or -1, total score, count of parts
    actions      how often `assemble` took each of its branches
    """

    candidate: Doubles
    connections: list[Doubles]
    subset: Doubles
    actions: Counter[str]


def preprocess(
    image: npt.NDArray[np.uint8], scale: float = 0.5, boxsize: int = 368
) -> tuple[Floats, int, int]:
    """A (H, W, 3) picture -> the network's input (1, 3, Hp, Wp), padding below and to the right."""
    factor = scale * boxsize / image.shape[0]
    # fx and fy, not a size: the sampling step is then 1 / factor rather than W / Wp.
    small = cv2.resize(image, (0, 0), fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    down, right = (-side % STRIDE for side in small.shape[:2])
    padded = np.pad(small, ((0, down), (0, right), (0, 0)), constant_values=PAD_VALUE)
    normalised = padded.astype(np.float32) / np.float32(256) - np.float32(0.5)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None]), down, right


def full_size(maps: Floats, content: Size, picture: Size) -> Floats:
    """Maps (C, h, w) of the network -> (C, H, W), the size of the picture.

    content: (width, height) of the network's input that is no padding, below or to the right of
    it; picture: (W, H).
    """
    # All channels in one call: OpenCV interpolates up to four of them by other code, and a single
    # channel comes out up to 1e-5 different.
    cells = np.ascontiguousarray(maps.transpose(1, 2, 0))
    network = cv2.resize(cells, (0, 0), fx=STRIDE, fy=STRIDE, interpolation=cv2.INTER_CUBIC)
    network = network[: content[1], : content[0]]
    full = cv2.resize(network, picture, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(full.transpose(2, 0, 1))


def average(heats: Sequence[Floats], pafs: Sequence[Floats]) -> tuple[Doubles, Doubles]:
    """Full-size maps of M scales -> (heat, paf) in double.

    The field is a mean. The heat is not: the seed adds the accumulator to itself, so that scale
    m weighs 2 ** (M - 1 - m) / M.
    """
    heat, paf = np.zeros(heats[0].shape), np.zeros(pafs[0].shape)
    for heat_m, paf_m in zip(heats, pafs, strict=True):
        heat = heat + (heat + heat_m / np.float32(len(heats)))
        paf = paf + paf_m / np.float32(len(pafs))
    return heat, paf


def smooth(heat: Maps) -> Doubles:
    """A (H, W) map under a Gaussian of 25 taps, mirrored at the border, in double."""
    smoothed: Doubles = gaussian_filter(heat.astype(np.float64), sigma=SIGMA)
    return smoothed


def neighbours(smoothed: Doubles) -> list[Doubles]:
    """The values above, below, left and right of every pixel; 0 outside of the map."""
    around = np.pad(smoothed, 1)
    return [around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]


def find_peaks(heat: Maps, topology: Topology = COCO_18) -> list[Doubles]:
    """Peaks of maps (K or K + 1, H, W): K arrays (n, 4) of x, y, score, id.

    A peak is no lower than its four neighbours, so every pixel of a plateau is one. Its score is
    the map's before smoothing. Ids count on from part to part, row after row.
    """
    peaks: list[Doubles] = []
    count = 0
    for part in heat[: topology.parts]:
        smoothed = smooth(part)
        peak = smoothed > PEAK_THRESHOLD
        for neighbour in neighbours(smoothed):
            peak &= smoothed >= neighbour
        y, x = np.nonzero(peak)
        ids = np.arange(count, count + len(x))
        peaks.append(np.stack([x, y, part[y, x], ids], axis=1).astype(np.float64))
        count += len(x)
    return peaks


def as_candidate(peaks: Sequence[Doubles]) -> Doubles:
    """All peaks as the seed returns them: (P, 4), but (0,) where there are none."""
    candidate = np.concatenate(peaks)
    return candidate if len(candidate) else np.array([])


def score_limb(a: Doubles, b: Doubles, field: Maps) -> tuple[Doubles, Doubles]:
    """Score every pair of peaks a (n_a, 4) and b (n_b, 4) by the field (2, H, W) between them.

    Returns (score (n_a, n_b), samples (n_a, n_b, 10)): the mean of the samples, less a penalty
    that grows with a limb longer than half the height.
    """
    dx = b[None, :, 0] - a[:, None, 0]
    dy = b[None, :, 1] - a[:, None, 1]
    norm = np.maximum(MIN_NORM, np.sqrt(dx * dx + dy * dy))
    ux, uy = (dx / norm)[..., None], (dy / norm)[..., None]

    x = np.arange(SAMPLES) * (dx / (SAMPLES - 1))[..., None] + a[:, None, None, 0]
    y = np.arange(SAMPLES) * (dy / (SAMPLES - 1))[..., None] + a[:, None, None, 1]
    x[..., -1], y[..., -1] = b[None, :, 0], b[None, :, 1]
    column, row = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)

    samples = field[0].astype(np.float64)[row, column] * ux
    samples = samples + field[1].astype(np.float64)[row, column] * uy
    total = np.zeros(dx.shape)
    for t in range(SAMPLES):  # np.sum would add in another order
        total = total + samples[..., t]
    penalty = np.minimum(0.5 * field.shape[1] / norm - 1, 0)
    return total / SAMPLES + penalty, samples


def accept(score: Doubles, samples: Doubles) -> Mask:
    """Which of the pairs that `score_limb` scored may be limbs: (n_a, n_b)."""
    above = (samples > PAF_THRESHOLD).sum(axis=-1)
    accepted: Mask = (above > MIN_SHARE * SAMPLES) & (score > 0)
    return accepted


def choose(score: Doubles, accepted: Mask) -> list[Size]:
    """One-to-one pairs (i, j) of the accepted ones, best score first, equal ones in order."""
    pairs = np.argwhere(accepted)
    best_first = np.argsort(-score[accepted], kind="stable")
    free_a, free_b = np.ones(score.shape[0], bool), np.ones(score.shape[1], bool)
    chosen = []
    for i, j in pairs[best_first]:
        if free_a[i] and free_b[j]:
            free_a[i] = free_b[j] = False
            chosen.append((int(i), int(j)))
    return chosen


def connect(peaks: Sequence[Doubles], paf: Maps, topology: Topology = COCO_18) -> list[Doubles]:
    """Connections of the field (2 L, H, W): L arrays (n, 5) of id A, id B, score, i, j."""
    connections = []
    for (part_a, part_b), channels in zip(topology.limbs, topology.paf_channels, strict=True):
        a, b = peaks[part_a], peaks[part_b]
        rows = []
        if len(a) and len(b):
            score, samples = score_limb(a, b, paf[list(channels)])
            for i, j in choose(score, accept(score, samples)):
                rows.append([a[i, 3], b[j, 3], score[i, j], i, j])
        connections.append(np.array(rows, np.float64).reshape(-1, 5))
    return connections


def assemble(
    candidate: Doubles, connections: Sequence[Doubles], topology: Topology = COCO_18
) -> tuple[Doubles, Counter[str]]:
    """Join connections into people: (subset (N, K + 2) before pruning, actions taken)."""
    parts = topology.parts
    total, count = parts, parts + 1  # the columns behind the parts
    people: list[Doubles] = []
    actions: Counter[str] = Counter()
    for limb, (part_a, part_b) in enumerate(topology.limbs):
        for id_a, id_b, score, *_ in connections[limb]:
            peak_a, peak_b = candidate[int(id_a), 2], candidate[int(id_b), 2]
            found = [row for row in people if row[part_a] == id_a or row[part_b] == id_b]
            first = found[0] if found else None
            if first is None:
                if limb in topology.redundant:
                    actions["no start by a redundant limb"] += 1
                    continue
                row = np.full(parts + 2, -1.0)
                row[part_a], row[part_b] = id_a, id_b
                row[total], row[count] = (peak_a + peak_b) + score, 2
                people.append(row)
                actions["start"] += 1
            elif len(found) == 1:
                if first[part_b] == id_b:  # even where A is another peak, or none
                    held = first[part_a] == id_a
                    actions["confirm" if held else "B alone matches"] += 1
                    continue
                actions["extend" if first[part_b] < 0 else "overwrite"] += 1
                first[part_b] = id_b
                first[count] += 1
                first[total] += peak_b + score
            else:  # the seed has two slots; a third cannot happen with its limbs
                second = found[1]
                if not ((first[:parts] >= 0) & (second[:parts] >= 0)).any():
                    first[:parts] += second[:parts] + 1
                    first[count] += second[count]
                    first[total] += second[total]
                    first[total] += score
                    people = [row for row in people if row is not second]
                    actions["merge"] += 1
                else:
                    again = first[part_b] == id_b
                    actions["clash, B counted twice" if again else "clash, B shared"] += 1
                    first[part_b] = id_b
                    first[count] += 1
                    first[total] += peak_b + score
                if len(found) > 2:
                    actions["more than two rows"] += 1
    return np.array(people, np.float64).reshape(-1, parts + 2), actions


def prune(subset: Doubles) -> Doubles:
    """The people with enough parts and score, in the same order."""
    total, count = subset[:, -2], subset[:, -1]
    return subset[~((count < MIN_PARTS) | (total / count < MIN_SCORE))]


def decode(heat: Maps, paf: Maps, topology: Topology = COCO_18) -> Result:
    """People in picture-size maps: heat (K or K + 1, H, W), paf (2 L, H, W)."""
    peaks = find_peaks(heat, topology)
    candidate = as_candidate(peaks)
    connections = connect(peaks, paf, topology)
    subset, actions = assemble(candidate, connections, topology)
    return Result(candidate, connections, prune(subset), actions)


def people(candidate: Doubles, subset: Doubles) -> Doubles:
    """Parts of each person (N, K, 3): x, y, score, or 0, 0, 0 where one is missing."""
    ids = subset[:, :-2].astype(np.intp)
    rows = np.append(candidate.reshape(-1, 4)[:, :3], np.zeros((1, 3)), axis=0)
    return rows[np.where(ids >= 0, ids, -1)]  # the appended row is the missing part

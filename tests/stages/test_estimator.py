"""Pictures in, people out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import original_networks
import tiny_networks
from openpose_ext.backends.protocol import InputFormat
from openpose_ext.errors import BackendError, ModelError, SourceError, SourceWarning
from openpose_ext.models.lookup import EMBEDDED
from openpose_ext.models.manifest import Manifest, read_manifest, write_manifest
from openpose_ext.stages.decode import DecodeOptions
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.types.calibration import Calibration
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENPOSE_EXT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def lite(cache: None) -> Iterator[PoseEstimator]:
    with PoseEstimator(height=184) as estimator:
        yield estimator


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A woman, from the waist up; she looks at us."""
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


def turned(picture: np.ndarray, count: int) -> list[np.ndarray]:
    """Variants of two sizes, by turns."""
    return [picture[k : k + 300, : 400 - 100 * (k % 2)] for k in range(count)]


def test_somebody_is_found_where_she_is(lite: PoseEstimator, picture: np.ndarray) -> None:
    people = lite(picture)
    assert isinstance(people, Poses)
    assert people.size == (512, 512)
    assert people.topology is COCO_18
    best = dict(zip(COCO_18.parts, people[0].keypoints[0], strict=True))
    # Read off the picture by eye.
    for part, where in {"Nose": (222, 122), "REye": (203, 101), "LEye": (246, 103)}.items():
        assert np.abs(best[part][:2] - where).max() < 8, part
        assert best[part][2] > 0.3


def test_nobody_is_found_in_an_empty_picture(lite: PoseEstimator) -> None:
    people = lite(np.full((120, 160, 3), 90, np.uint8))
    assert len(people) == 0
    assert people.size == (160, 120)


def test_the_same_picture_in_any_form_gives_the_same_people(
    lite: PoseEstimator, picture: np.ndarray, tmp_path: Path
) -> None:
    image = pytest.importorskip("PIL.Image")
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), picture)
    read_only = picture.copy()
    read_only.setflags(write=False)
    expected = lite(picture)
    assert len(expected)
    forms = [read_only, np.asfortranarray(picture), file, str(file)]
    for form in [*forms, image.fromarray(picture[:, :, ::-1])]:
        assert lite(form).allclose(expected, pixels=0, score=0)


def test_the_time_of_each_stage_is_told(lite: PoseEstimator, picture: np.ndarray) -> None:
    for people in (lite(picture), *lite.batch([picture, picture])):
        assert list(people.timings) == ["preprocess", "network", "decode"]
        assert all(0 < seconds < 10 for seconds in people.timings.values())


def test_scores_are_calibrated_unless_raw_ones_are_asked_for(
    cache: None, picture: np.ndarray, tmp_path: Path
) -> None:
    network = tmp_path / "network.onnx"
    network.symlink_to(EMBEDDED / "lite_body.onnx")
    described = read_manifest(EMBEDDED / "lite_body.onnx")
    curve = Calibration((0.05, 0.5, 1.0), (0.2, 0.8, 0.9))

    def found(calibration: Calibration | None, **options: Any) -> Poses:
        write_manifest(replace(described, calibration=calibration), network)
        with PoseEstimator(network, height=184, **options) as estimator:
            return estimator(picture)

    raw = found(None)
    assert len(raw) > 0
    assert found(curve).allclose(curve(raw), pixels=0, score=0)
    assert found(curve, raw_scores=True).allclose(raw, pixels=0, score=0)
    original = found(None, mode="reference")
    assert found(curve, mode="reference").allclose(original, pixels=0, score=0)


@pytest.mark.parametrize("count", [0, 1, 2, 19])
def test_a_batch_is_its_single_calls_in_order(
    lite: PoseEstimator, picture: np.ndarray, count: int
) -> None:
    pictures = turned(picture, count)
    found = lite.batch(one for one in pictures)
    assert len(found) == count
    for one, people in zip(pictures, found, strict=True):
        assert people.allclose(lite(one), pixels=0, score=0)


def test_a_bad_picture_in_a_batch_is_told(lite: PoseEstimator, picture: np.ndarray) -> None:
    with pytest.raises(SourceError, match=r"none\.jpg"):
        lite.batch([picture, "none.jpg"])


def test_calls_from_many_threads_are_single_calls(lite: PoseEstimator, picture: np.ndarray) -> None:
    pictures = turned(picture, 12)
    expected = [lite(one) for one in pictures]
    with ThreadPoolExecutor(6) as threads:
        for people, single in zip(threads.map(lite, pictures), expected, strict=True):
            assert people.allclose(single, pixels=0, score=0)


def test_the_stages_lead_to_the_same_people(lite: PoseEstimator, picture: np.ndarray) -> None:
    picture = picture[:, 100:431]
    stages = lite.stages(picture)
    assert stages.people.allclose(lite(picture), pixels=0, score=0)
    width, height = stages.geometry.network
    assert stages.input.shape == (height, width, 3)
    assert stages.heat.shape == (19, height // 8, width // 8)
    assert stages.paf.shape == (38, height // 8, width // 8)
    assert len(stages.peaks) == 18
    assert len(stages.connections) == 19
    # Each seen part of the best person is one of the peaks, in the picture's frame.
    person = stages.people[0]
    for part, (x, y, score) in enumerate(person.keypoints[0]):
        if score > 0 and not person.filled[0, part]:
            peaks = stages.geometry.from_maps(stages.peaks[part])
            assert np.hypot(*(peaks[:, :2] - (x, y)).T).min() < 0.5
    # Each connection joins peaks that are there.
    for (a, b), chosen in zip(COCO_18.limbs, stages.connections, strict=True):
        assert np.all(chosen[:, 0] < len(stages.peaks[a]))
        assert np.all(chosen[:, 1] < len(stages.peaks[b]))


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 500), (500, 1), (2, 3000), (7, 9), (3000, 2), (513, 511)]
)
@pytest.mark.filterwarnings("ignore::openpose_ext.errors.SourceWarning")
def test_pictures_of_any_shape_run(lite: PoseEstimator, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    people = lite(picture)
    assert people.size == (shape[1], shape[0])
    assert np.isfinite(people.keypoints).all()


def test_parts_lie_in_the_picture(lite: PoseEstimator, picture: np.ndarray) -> None:
    for crop in (picture[60:, 150:300], picture[:200, 200:], picture[100:180, 180:280]):
        people = lite(crop)
        height, width = crop.shape[:2]
        assert np.all(people.keypoints[..., :2] >= 0)
        assert np.all(people.keypoints[..., :2] <= (width - 1, height - 1))


def test_stretching_and_padding_find_the_same_person(
    cache: None, picture: np.ndarray, lite: PoseEstimator
) -> None:
    with PoseEstimator(height=180, fit="stretch") as stretching:
        a, b = stretching(picture)[0].keypoints[0], lite(picture)[0].keypoints[0]
    both = (a[:, 2] > 0.3) & (b[:, 2] > 0.3)
    assert both.sum() >= 5
    assert np.abs(a[both, :2] - b[both, :2]).max() < 16


def test_the_reference_decoder_runs_on_the_same_maps(cache: None, picture: np.ndarray) -> None:
    with PoseEstimator(height=184, mode="reference") as estimator:
        people = estimator(picture)
        assert not people.filled.any()
        assert np.all(people.keypoints[..., :2] == np.rint(people.keypoints[..., :2]))
        with pytest.raises(ValueError, match=r'stages\(\) needs mode="fast"'):
            estimator.stages(picture)


def test_options_reach_the_decoder(cache: None, picture: np.ndarray) -> None:
    with PoseEstimator(height=184, options=DecodeOptions(max_people=1)) as estimator:
        assert len(estimator(np.hstack([picture, picture]))) == 1
    with PoseEstimator(height=184, options=DecodeOptions(peak_threshold=0.99)) as estimator:
        assert len(estimator(picture)) == 0


def test_engines_find_the_same_people(cache: None, picture: np.ndarray, shared: Path) -> None:
    pytest.importorskip("onnxruntime")
    file = shared / "weights" / "human-pose-estimation-0001-fp32.onnx"
    found = []
    for engine in ("openvino", "onnxruntime"):
        with PoseEstimator(file, backend=engine, precision="f32", height=184) as estimator:
            found.append(estimator(picture))
    assert len(found[0])
    assert found[0].allclose(found[1], pixels=0.05, score=1e-3)


@pytest.fixture(scope="module")
def found_by(cache: None, shared: Path) -> Callable[[str, str], list[np.ndarray]]:
    """The people of every fifth picture, by the network's precision and engine."""
    pictures = sorted((shared / "data" / "media").glob("*.jpg"))[::5]

    @functools.cache
    def found(precision: str, engine: str) -> list[np.ndarray]:
        file = shared / "weights" / f"human-pose-estimation-0001-{precision}.onnx"
        with PoseEstimator(file, backend=engine, precision="f32") as estimator:
            return [estimator(picture).keypoints for picture in pictures]

    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("int8-qdq", "openvino"), ("int8-qdq", "onnxruntime")),
        (("fp32", "openvino"), ("fp32", "onnxruntime")),
        (("int8-qdq", "openvino"), ("fp32", "openvino")),
    ],
    ids=["int8 on two engines", "fp32 on two engines", "int8 and fp32"],
)
def test_95_of_100_parts_are_found_within_two_pixels(
    found_by: Callable[[str, str], list[np.ndarray]], one: tuple[str, str], other: tuple[str, str]
) -> None:
    pytest.importorskip("onnxruntime")
    found = [found_by(*one), found_by(*other)]
    parts = sum(int((people[..., 2] > 0.05).sum()) for people in found[0])
    same = sum(map(parts_within_two_pixels, *found))
    assert parts > 100
    assert same >= 0.95 * parts


def parts_within_two_pixels(people: np.ndarray, others: np.ndarray) -> int:
    """Seen parts that the most similar of the other people has at the same place."""
    near = np.linalg.norm(people[:, None, :, :2] - others[None, :, :, :2], axis=3) <= 2
    seen = (people[:, None, :, 2] > 0.05) & (others[None, :, :, 2] > 0.05)
    return int((near & seen).sum(axis=2).max(axis=1, initial=0).sum())


def test_what_runs_is_told(lite: PoseEstimator) -> None:
    assert lite.info.model.name == "lite_body.onnx"
    assert lite.info.precision in ("f32", "bf16", "f16")


def test_another_topology_gives_its_parts(cache: None, tmp_path: Path) -> None:
    file = tiny_networks.write(tmp_path / "a.onnx", {"maps": 78})
    write_manifest(Manifest("body", "body_25", {"maps": "heat+paf"}), file)
    with PoseEstimator(file) as estimator:
        people = estimator(np.full((50, 50, 3), 20, np.uint8))
    assert people.topology is BODY_25


def test_a_network_of_fixed_size_gets_its_size(cache: None, tmp_path: Path) -> None:
    channels = {"pafs": 38, "heat": 19}
    file = tiny_networks.write(
        tmp_path / "a.onnx", channels, size=(1, 64, 96), output_size=(1, 8, 12)
    )
    given = InputFormat(size=(96, 64))
    write_manifest(Manifest("body", "coco_18", {"pafs": "paf", "heat": "heat"}, given), file)
    with PoseEstimator(file) as estimator:
        for shape in [(10, 10), (64, 96), (500, 30)]:
            stages = estimator.stages(np.zeros((*shape, 3), np.uint8))
            assert stages.input.shape == (64, 96, 3)
        assert len(estimator.batch([np.zeros((9, 9, 3), np.uint8)] * 3)) == 3


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"mode": "slow"}, ValueError, "mode must be"),
        ({"fit": "crop"}, ValueError, '"pad" or "stretch"'),
        ({"height": 0}, ValueError, "height must be at least 1"),
        ({"height": "368"}, TypeError, "height must be a whole number"),
        ({"max_pixels": 10}, ValueError, "max_pixels must hold one map cell"),
        ({"backend": "tensorrt"}, ValueError, "one of auto, openvino"),
        ({"precision": "f64"}, ValueError, "one of auto, f32"),
        ({"threads": 0}, ValueError, "threads must be"),
        ({"device": "abacus"}, BackendError, "no device"),
        ({"options": {"fill": False}}, TypeError, "must be DecodeOptions or None, not dict"),
        ({"mode": "reference", "options": DecodeOptions()}, ValueError, "no meaning in mode"),
        ({"body": "heavy"}, ModelError, "lite, mobilenet"),
        ({"body": None}, ValueError, "no network is given: name at least one of body"),
        ({"body": 3}, TypeError, "not int"),
        ({"streams": 0}, ValueError, "streams must be a whole number of at least 1"),
        ({"device": 0}, TypeError, "device must be a text"),
        ({"normalise": (128,)}, ValueError, "normalise must be a mean and a divisor"),
        ({"engine_options": "fast"}, TypeError, "engine_options must be a mapping, not str"),
        ({"engine_options": {"body": 4}}, TypeError, "engine_options must be a mapping, not int"),
        ({"engine_options": {"bach": 4}}, ValueError, "no engine has an option 'bach'"),
        ({"engine_options": {"hand": {"batch": 0}}}, ValueError, "batch must be a whole number"),
    ],
)
def test_arguments_out_of_range_are_refused_before_any_picture(
    cache: None, wrong: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        PoseEstimator(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (np.zeros((4, 4)), TypeError),
        (np.zeros((4, 4), np.uint8), ValueError),
        (None, TypeError),
        ("none.jpg", SourceError),
    ],
)
def test_what_is_no_picture_is_refused(
    lite: PoseEstimator, wrong: object, error: type[Exception]
) -> None:
    for use in (lite, lite.stages, lambda picture: lite.batch([picture])):
        with pytest.raises(error):
            use(wrong)  # type: ignore[operator]


def test_after_closing_calls_are_refused(cache: None, picture: np.ndarray) -> None:
    estimator = PoseEstimator()
    estimator.close()
    estimator.close()
    with pytest.raises(BackendError, match="closed"):
        estimator(picture)


# --- hands ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_hands(cache: None) -> Iterator[PoseEstimator]:
    with PoseEstimator(height=184, hand="lite", precision="f32") as estimator:
        yield estimator


def arms(picture: np.ndarray) -> np.ndarray:
    """Somebody whose arms are in the picture: the astronaut, made smaller."""
    return cv2.copyMakeBorder(
        cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA), 20, 20, 60, 60, 0
    )


def test_people_have_hands_where_a_hand_network_is_given(
    with_hands: PoseEstimator, lite: PoseEstimator, picture: np.ndarray
) -> None:
    people = with_hands(picture)
    assert lite(picture).hands is None
    assert lite.hand_info is None
    assert len(people)
    assert people.hands is not None
    assert people.hands.shape == (len(people), 2, 21, 3)
    assert people.hands.dtype == np.float32
    assert np.isfinite(people.hands).all()
    scores = people.hands[..., 2]
    assert ((scores == 0) | ((scores > 0.05) & (scores <= 1))).all()
    assert (people.hands[scores == 0] == 0).all()
    assert list(people.timings) == ["preprocess", "network", "decode", "hands"]
    assert with_hands.info.model.name == "lite_body.onnx"
    assert with_hands.hand_info is not None
    assert with_hands.hand_info.model.name == "lite_hand.onnx"


def test_hands_do_not_change_the_bodies_and_nobody_has_none(
    with_hands: PoseEstimator, picture: np.ndarray
) -> None:
    with PoseEstimator(height=184, precision="f32") as without:
        np.testing.assert_array_equal(without(picture).keypoints, with_hands(picture).keypoints)
    empty = with_hands(np.full((120, 160, 3), 90, np.uint8))
    assert empty.hands is not None
    assert empty.hands.shape == (0, 2, 21, 3)


def test_batches_and_stages_have_the_same_hands(
    with_hands: PoseEstimator, picture: np.ndarray
) -> None:
    pictures = [picture, arms(picture), *turned(picture, 3)]
    for one, people in zip(pictures, with_hands.batch(pictures), strict=True):
        assert people.allclose(with_hands(one), pixels=0, score=0)
    assert with_hands.stages(picture).people.allclose(with_hands(picture), pixels=0, score=0)


def test_hands_are_found_in_boxes_without_a_body(cache: None, shared: Path) -> None:
    file = shared / "data" / "media" / "pytorch_openpose_hand.jpg"
    for body in (None, "none"):
        with PoseEstimator(body, hand="lite", precision="f32") as estimator:
            assert estimator.info.model.name == "lite_hand.onnx"
            (hand,) = estimator.hands(file, [[0, 0, 200, 200]])
            assert hand.shape == (21, 3)
            # The wrist and the tips of thumb and little finger, read off the picture by eye.
            expected = [(97, 175), (165, 98), (44, 48)]
            assert np.abs(hand[[0, 4, 20], :2] - expected).max() < 12
            with pytest.raises(ValueError, match="no body network: only `hands`"):
                estimator(file)


def test_boxes_need_a_hand_network(lite: PoseEstimator, picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match='no hand network; make it with hand="lite"'):
        lite.hands(picture, [[0, 0, 90, 90]])


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"hand": "fingers"}, ModelError, "lite, landmark, openpose"),
        ({"hand": "lite_body.onnx"}, ModelError, "no network file"),
        ({"hand": "lite", "hand_scales": ()}, ValueError, "hand_scales must be positive"),
        ({"hand": "lite", "hand_scales": (1, -1)}, ValueError, "hand_scales must be positive"),
        ({"hand": "lite", "max_batch": 0}, ValueError, "max_batch must be at least 1"),
        ({"hand": "lite", "body": "heavy"}, ModelError, "lite, mobilenet"),
        ({"body": "none"}, ValueError, "no network is given: name at least one of body"),
    ],
)
def test_hand_arguments_out_of_range_are_refused(
    cache: None, wrong: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        PoseEstimator(**wrong)  # type: ignore[arg-type]


def test_engines_find_the_same_hands(cache: None, shared: Path) -> None:
    pytest.importorskip("onnxruntime")
    file = shared / "data" / "media" / "pytorch_openpose_hand.jpg"
    found = []
    for engine in ("openvino", "onnxruntime"):
        options = {"hand": "lite", "backend": engine, "precision": "f32"}
        with PoseEstimator(None, hand_scales=(1.0, 1.2), **options) as estimator:  # type: ignore
            found.append(estimator.hands(file, [[0, 0, 200, 200]], ["left"]))
    assert found[0].any()
    # Of an INT8 network engines round differently.
    np.testing.assert_allclose(found[0][..., :2], found[1][..., :2], atol=1)
    np.testing.assert_allclose(found[0][..., 2], found[1][..., 2], atol=0.02)


def test_calls_from_many_threads_find_the_same_hands(
    with_hands: PoseEstimator, picture: np.ndarray
) -> None:
    pictures = turned(picture, 8)
    expected = [with_hands(one) for one in pictures]
    with ThreadPoolExecutor(4) as threads:
        for people, single in zip(threads.map(with_hands, pictures), expected, strict=True):
            assert people.allclose(single, pixels=0, score=0)


@pytest.mark.torch
def test_the_original_hand_network_is_found_by_its_name(
    cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: np.ndarray
) -> None:
    monkeypatch.setenv("OPENPOSE_EXT_MODELS", str(tmp_path))
    original_networks.write(tmp_path / "hand_pose_model.pth", "hand")
    found = []
    for engine in ("openvino", "onnxruntime"):
        with PoseEstimator(
            None, hand="openpose", backend=engine, precision="f32", hand_scales=(0.5, 1.0)
        ) as estimator:
            found.append(estimator.hands(picture, [[100, 100, 90, 90]] * 2, ["left", "right"]))
    assert found[0].shape == (2, 21, 3)
    # Random maps have many maxima of nearly one height, but few of the points may change places.
    near = np.isclose(found[0], found[1], atol=0.05).all(axis=-1)
    assert near.mean() > 0.9


def test_a_panorama_that_is_shrunk_is_told_once(cache: None, tmp_path: Path) -> None:
    file = tmp_path / "wide.png"
    cv2.imwrite(str(file), np.zeros((60, 900, 3), np.uint8))
    with PoseEstimator(height=184) as estimator:
        with pytest.warns(SourceWarning, match=r"wide\.png of 900 x 60 .* instead of 184"):
            estimator(file)
        assert not len(estimator(file))  # and once only
    with PoseEstimator(height=184, max_pixels=368 * 184) as bounded:
        assert not len(bounded(file))  # who has asked for it knows


@pytest.mark.parametrize("several", [[0, 0], (0,)])
def test_several_pictures_are_told_of_batch(lite: PoseEstimator, several: Any) -> None:
    with pytest.raises(TypeError, match=r"batch\(pictures\)"):
        lite(several)
    with pytest.raises(ValueError, match=r"batch\(pictures\)"):
        lite(np.zeros((2, 40, 60, 3), np.uint8))


def test_what_no_memory_holds_is_refused_in_a_sentence(
    cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"height 100000: .* takes 400 GB, and there are \d+ GB"):
        PoseEstimator(height=100_000)
    with PoseEstimator(height=368, max_pixels=10**9) as estimator:
        monkeypatch.setattr("openpose_ext.stages.bodies.own_memory", lambda: 10**8)
        file = tmp_path / "wide.png"
        cv2.imwrite(str(file), np.zeros((2, 40, 3), np.uint8))
        with pytest.raises(SourceError, match=r"wide\.png: a network input of 7360 x 368"):
            estimator(file)


def test_a_height_at_which_nobody_is_found_is_told(cache: None) -> None:
    with pytest.warns(UserWarning, match="height 7: nobody is large enough"):
        PoseEstimator(height=7).close()

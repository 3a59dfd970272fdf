"""The JSON Schemas that come with the package, and what is written, by jsonschema."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from openpose_ext.outputs.coco_json import CocoWriter
from openpose_ext.outputs.controlnet_json import write_controlnet
from openpose_ext.outputs.json_lines import JsonLinesWriter
from openpose_ext.outputs.openpose_json import write_openpose
from openpose_ext.outputs.scale import scaled
from openpose_ext.outputs.wide_csv import WideCsvWriter
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, Topology
from random_people import frames, people

FOLDER = resources.files("openpose_ext") / "schemas"
SCHEMAS = {
    file.name.removesuffix(".json"): json.loads(file.read_text()) for file in FOLDER.iterdir()
}
REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)

both_skeletons = pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)


def errors(name: str, content: object) -> list[str]:
    validator = Draft202012Validator(SCHEMAS[name], registry=REGISTRY)
    return [error.message for error in validator.iter_errors(content)]


def test_there_is_a_schema_for_each_format() -> None:
    assert SCHEMAS.keys() == {
        "openpose", "json_lines", "coco_results", "coco_images", "controlnet", "person_files",
    }  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == f"{name}.json"


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("extras", [True, False], ids=["hands and ids", "bodies"])
@both_skeletons
def test_openpose_json(tmp_path: Path, topology: Topology, extras: bool, count: int) -> None:
    poses = people(count, topology, hands=extras, faces=extras, ids=extras)
    for candidates in (None, {"Nose": np.ones((3, 3), np.float32)}):
        for scale in (0, 3, 4):
            write_openpose(tmp_path / "a.json", scaled(poses, scale), candidates=candidates)
            content = json.loads((tmp_path / "a.json").read_text())
            assert errors("openpose", content) == []
            assert ("part_candidates" in content) is (candidates is not None)


@pytest.mark.parametrize("count", [0, 6])
def test_lists_of_files_a_person(tmp_path: Path, count: int) -> None:
    with WideCsvWriter(tmp_path / "a_wide.json") as sink:
        for frame, poses in frames(count, ids=True):
            sink.write(frame, poses)
    content = json.loads((tmp_path / "a_wide.json").read_text())
    assert errors("person_files", content) == []
    assert len(content["people"]) == (3 if count else 0)


@both_skeletons
@pytest.mark.parametrize("rate", [25.0, None], ids=["video", "pictures"])
@pytest.mark.parametrize("extras", [True, False], ids=["hands and ids", "bodies"])
def test_files_of_many_frames(
    tmp_path: Path, topology: Topology, rate: float | None, extras: bool
) -> None:
    lines, coco = JsonLinesWriter(tmp_path / "a.jsonl"), CocoWriter(tmp_path / "a.json")
    with lines, coco:
        for frame, poses in frames(6, topology, rate=rate, hands=extras, faces=extras, ids=extras):
            lines.write(frame, poses)
            coco.write(frame, poses)
    for line in (tmp_path / "a.jsonl").read_text().splitlines():
        assert errors("json_lines", json.loads(line)) == []
    assert errors("coco_results", json.loads((tmp_path / "a.json").read_text())) == []
    assert errors("coco_images", json.loads((tmp_path / "a_images.json").read_text())) == []


@both_skeletons
@pytest.mark.parametrize("hands", [True, False])
def test_controlnet_json(tmp_path: Path, topology: Topology, hands: bool) -> None:
    for poses in (people(3, topology, hands=hands, faces=hands), Poses.empty((64, 48), topology)):
        write_controlnet(tmp_path / "a.json", poses)
        assert errors("controlnet", json.loads((tmp_path / "a.json").read_text())) == []


def contents(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """A file of each format with people in it."""
    lines, coco = JsonLinesWriter(tmp_path / "a.jsonl"), CocoWriter(tmp_path / "a.json")
    with lines, coco:
        for frame, poses in list(frames(3, hands=True, faces=True))[2:]:
            lines.write(frame, poses)
            coco.write(frame, poses)
    write_openpose(tmp_path / "o.json", poses)
    write_controlnet(tmp_path / "c.json", poses)
    for name, file in (
        ("json_lines", "a.jsonl"),
        ("coco_results", "a.json"),
        ("coco_images", "a_images.json"),
        ("openpose", "o.json"),
        ("controlnet", "c.json"),
    ):
        yield name, json.loads((tmp_path / file).read_text())


def spoiled(content: Any) -> Iterator[Any]:
    """Copies of which one key, in some depth, is lost, misspelt or holds something else."""
    if isinstance(content, dict):
        for key in content:
            rest = {k: v for k, v in content.items() if k != key}
            yield rest
            yield {**rest, f"{key}_": content[key]}
            yield {**rest, key: {"no": "such"}}
            for inner in spoiled(content[key]):
                yield {**rest, key: inner}
    elif isinstance(content, list) and content:
        if isinstance(content[0], (int, float)):
            yield content[:-1]
            yield [*content[:-1], "1"]
        for inner in spoiled(content[0]):
            yield [inner, *content[1:]]


def test_schemas_refuse_what_is_spoiled(tmp_path: Path) -> None:
    for name, content in contents(tmp_path):
        assert errors(name, content) == []
        count = 0
        for wrong in spoiled(copy.deepcopy(content)):
            assert errors(name, wrong), (name, wrong)
            count += 1
        assert count > 10

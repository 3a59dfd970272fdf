"""The command `python -m openpose_ext.perf`: vamp's flags and fields, times that are honest.

The load itself on a clock of its own, against queues worked out by hand; then the command with
processes of its own, on networks of one layer and on the stand-in for a card.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

import compiled_networks
import tiny_networks
from openpose_ext import __main__ as console
from openpose_ext import perf
from openpose_ext.models.lookup import HAND_NETWORKS, find_model
from openpose_ext.models.manifest import read_manifest
from openpose_ext.run import load as measure
from openpose_ext.run.load import Answer, Load, drive, summary

CHANNELS = {"paf": 38, "heat": 19}


# The load -----------------------------------------------------------------------------------


class Clock:
    """Time that passes only by waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(measure, "perf_counter", lambda: self.now)
        self.never = Never(self)

    def pass_(self, seconds: float) -> None:
        self.now += seconds

    def server(self, seconds: Callable[[int], float]) -> measure.Work:
        """An instance that takes so long for each request, by its number."""

        def work(number: int) -> Answer:
            taken = self.now
            self.pass_(seconds(number))
            return Answer(taken, self.now, None)

        return work


class Never(threading.Event):
    """The end of a load that does not come however long one waits, by the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.clock.pass_(timeout)
        return self.is_set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def latencies(times: np.ndarray) -> tuple[list[float], list[float]]:
    """End-to-end and of the model, in milliseconds."""
    due, begun, answered, done = 1e3 * times.T
    return (done - due).round(6).tolist(), (answered - begun).round(6).tolist()


def test_a_request_that_waits_for_another_takes_twice_as_long_end_to_end(clock: Clock) -> None:
    times = drive([clock.server(lambda _: 0.01)], Load(count=5, depth=2))
    e2e, model = latencies(times)
    assert model == [10] * 5
    assert e2e == [10, 20, 20, 20, 20], "the first finds a free instance"


def test_one_after_the_other_nothing_waits(clock: Clock) -> None:
    times = drive([clock.server(lambda n: 0.01 + 0.001 * n)], Load(count=4))
    e2e, model = latencies(times)
    assert e2e == model == [10, 11, 12, 13]


def test_a_stall_makes_everyone_behind_it_late_and_nobody_is_left_out(clock: Clock) -> None:
    """100 requests a second, 1 ms each; one takes a second: the queue behind it is counted."""
    seconds = [0.001] * 300
    seconds[50] = 1.0
    load = Load(count=300, rate=100)
    e2e, model = latencies(drive([clock.server(seconds.__getitem__)], load, ended=clock.never))

    free, expected = 0.0, []
    for number, needed in enumerate(seconds):
        free = max(free, number / 100) + needed
        expected.append(1e3 * (free - number / 100))
    assert e2e == pytest.approx(expected)
    assert sorted(model) == pytest.approx([1e3 * s for s in sorted(seconds)])
    assert summary(np.array(model) / 1e3, [99])["p99"] == 1000
    assert summary(np.array(e2e) / 1e3, [99])["p99"] > 900_000, "not one request in 300: a third"


def test_a_duration_issues_what_is_due_within_it(clock: Clock) -> None:
    closed = drive([clock.server(lambda _: 0.03)], Load(seconds=0.1))
    assert len(closed) == 4, "at 0, 30, 60 and 90 ms"
    start = clock.now
    load = Load(seconds=0.1, rate=50, offset=0.01)
    paced = drive([clock.server(lambda _: 0.03)], load, ended=clock.never)
    assert (paced[:, 0] - start).tolist() == pytest.approx([0.01, 0.03, 0.05, 0.07, 0.09])


def test_the_engines_own_time_begins_when_it_has_answered_the_request_before() -> None:
    """An instance that takes two requests at a time and answers one every tick of 10 ms."""
    ticks = count(1)
    tick = threading.Lock()

    def work(number: int) -> Answer:
        with tick:
            return Answer(0.0, 0.01 * next(ticks), None)

    _, model = latencies(drive([work], Load(count=6, depth=2), ahead=2))
    assert model == pytest.approx([10] * 6)


def test_an_instance_that_fails_ends_the_load_of_all() -> None:
    def good(number: int) -> Answer:
        return Answer(0.0, 0.0, None)

    def bad(number: int) -> Answer:
        raise RuntimeError("the card is gone")

    with pytest.raises(RuntimeError, match="the card is gone"):
        drive([good, bad], Load(seconds=3600))


def test_a_load_that_is_ended_waits_for_no_further_request() -> None:
    ended = threading.Event()

    def work(number: int) -> Answer:
        ended.set()
        return Answer(0.0, 0.0, None)

    hour = Load(count=2, rate=1 / 3600)
    assert len(drive([work], hour, ended=ended)) == 1, "the second is due in an hour"


def test_percentiles_lie_between_neighbours_in_whole_microseconds() -> None:
    found = summary(np.array([5, 1, 4, 2, 3]) / 1000, [50, 90, 12.5])
    assert found == {"avg": 3000, "min": 1000, "max": 5000, "p50": 3000, "p90": 4600, "p12.5": 1500}
    assert summary(np.empty(0), [50]) == {}


# The command --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes any size and pixels as they are."""
    file = tmp_path_factory.mktemp("network") / "tiny.onnx"
    return tiny_networks.write(file, CHANNELS, first=("Mul", 1.0))


@pytest.fixture
def card(vaststreamx: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A compiled network with its preprocessing elsewhere, as the flags that name them."""
    monkeypatch.chdir(tmp_path)
    compiled_networks.write(tmp_path / "body" / "mod", params_file=tmp_path / "body.json")
    return "-m body/mod --vdsp_params body.json"


def run(words: str, capsys: pytest.CaptureFixture[str], expected: int = 0) -> Any:
    """Run in this process; what it said on stdout and stderr."""
    assert perf.main(words.split()) == expected
    return capsys.readouterr()


def fields(text: str) -> dict[str, str]:
    """The labels and values of a report, as those who parse vamp's find them."""
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        label, _, value = line.strip(" -").partition(": ")
        if label.endswith("latency (us):"):
            section = label.split()[0] + " "
        else:
            found[(section if label.endswith(" latency") else "") + label] = value
    return found


def test_the_line_of_the_vendors_page_runs_on_a_card(
    card: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a dash before its p; and without, as the page has it, which is said to be ignored."""
    line = f"{card} -b 1 -i 2 %s 2 -s [3,184,184] -d 0 --iterations 20"
    said = run(line % "-p", capsys)
    report = fields(said.out)
    assert report["input[0]"] == "[3,184,184], dtype:u1"
    assert [report[f"output[{k}]"][:10] for k in (0, 1)] == ["[38,23,23]", "[19,23,23]"]
    assert report["number of instances in each device"] == "2"
    assert (report["devices"], report["batch size"], report["samples"]) == ("[0]", "1", "20")
    assert len({*json.loads(report["process ids"])}) == 2
    assert float(report["throughput (qps)"]) > 0
    assert float(report["forwad time (s)"]) > 0
    for kind in ("e2e", "model"):
        names = ("min", "p50", "p90", "p95", "p99", "max")
        values = [int(report[f"{kind} {name} latency"]) for name in names]
        assert values == sorted(values)
        assert values[0] <= int(report[f"{kind} avg latency"]) <= values[-1]
    assert not said.err

    said = run(line % "p", capsys)
    assert said.err == "openpose-ext: p 2 is ignored; did you mean -p 2?\n"
    assert len(json.loads(fields(said.out)["process ids"])) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-d 0:1 -i 1 -p 2", {"devices": [0, 1], "processes": 2}),
        ("-d [0,1] -i 2 --forward_mode 1 -b 3", {"devices": [0, 1], "processes": 1}),
        ("--device_id 1 --none_vaml 1 --producer_mode 1", {"devices": [1], "processes": 1}),
    ],
)
def test_dies_of_a_card(
    card: str, capsys: pytest.CaptureFixture[str], words: str, expected: dict[str, Any]
) -> None:
    report = json.loads(run(f"{card} {words} --iterations 12 --json", capsys).out)
    assert report["devices"] == expected["devices"]
    assert len({*report["process_ids"]}) == expected["processes"]
    assert report["samples"] == 12 * report["batch_size"]
    assert report["engine"].startswith("vsx")


def test_the_hardware_configuration_reaches_the_card(
    card: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled_networks.write(tmp_path / "body" / "mod", hw_config="fast")
    run(f"{card} --iterations 1 --hwconfig fast", capsys)
    said = run(f"{card} --iterations 1 --hwconfig slow", capsys, 3)
    assert "Model: no hardware configuration slow" in said.err


def test_a_range_of_instances_gives_a_report_each(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "report.yaml"
    said = run(
        f"-m {network} -s [3,16,24] -i 1:2 -b 2 --iterations 10 --percentiles [25,99.9] --json "
        f"-f {file}",
        capsys,
    )
    reports = [json.loads(line) for line in said.out.splitlines()]
    assert [report["instances"] for report in reports] == [1, 2]
    assert reports == yaml.safe_load(file.read_text())
    for report in reports:
        assert report["input"] == [3, 16, 24]
        assert report["outputs"] == {"paf": [38, 2, 3], "heat": [19, 2, 3]}
        assert report["samples"] == 20
        assert report["throughput_qps"] == pytest.approx(20 / report["forward_time_s"], rel=1e-3)
        for kind in ("e2e_latency_us", "model_latency_us"):
            assert [*report[kind]] == ["avg", "min", "max", "p25", "p99.9"]
        assert report["model_latency_us"]["avg"] <= report["e2e_latency_us"]["avg"]


def test_processes_share_the_rate(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"-m {network} -s [3,16,16] -i 2 -p 2 --rate 200 -t 0.1 --json"
    report = json.loads(run(words, capsys).out)
    assert (report["rate"], report["samples"]) == (200, 20)


@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("torch", marks=pytest.mark.torch)])
def test_every_engine_is_measured(
    engine: str, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = network
    if engine == "torch":
        import torch

        file = tmp_path / "pool.pt"
        with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
            pool = torch.jit.trace(torch.nn.AvgPool2d(8), torch.zeros(1, 3, 16, 16))
        pool.save(str(file))
        file.with_name("pool.pt.toml").write_text(
            'kind = "hand"\ntopology = "hand_21"\n[outputs]\n0 = "heat"\n'
        )
    words = f"-m {file} --backend {engine} -s [3,16,16] --rate 1000 -t 0.05 --threads 1 --json"
    report = json.loads(run(words, capsys).out)
    assert report["engine"].startswith(f"{engine} ")
    assert report["samples"] == 50


def test_a_hand_network_by_its_name_in_its_own_size(capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(run("-m lite --kind hand --iterations 2 --json", capsys).out)
    side = read_manifest(find_model("lite", HAND_NETWORKS)).crop
    assert report["input"] == [3, side, side]
    assert [shape[0] for shape in report["outputs"].values()] == [22]


def test_options_may_stand_in_a_file_and_the_command_line_has_the_last_word(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(
        f"model_prefix: {network}\nshape: [3, 16, 16]\nb: 2\niterations: 50\njson: true\n"
        "percentiles: [10]\n"
    )
    report = json.loads(run(f"-c {file} --iterations 5", capsys).out)
    assert (report["samples"], report["batch_size"], report["input"]) == (10, 2, [3, 16, 16])
    assert "p10" in report["e2e_latency_us"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2", "is not YAML"),
        ("shape: " + "[" * 10_000, "is nested too deeply"),
        ("shape: [3, 1979-05-27, 16]", "1979-05-27"),
        ("- 3", "must contain options by name"),
        ("shape: {c: 3}", "'shape' is not an option with a value"),
        ("bacth_size: 3", "unknown flag --bacth_size; did you mean --batch_size?"),
    ],
)
def test_a_broken_file_of_options_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(text)
    assert reason in run(f"-c {file}", capsys, 2).err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "-m MODEL is needed"),
        ("-m NET -i 2 -p 3", "-p 3: 2 instances cannot be shared among more processes"),
        ("-m NET -i 1:4 -p 2", "-p 2: 1 instances cannot be shared"),
        ("-m NET -d 0:1 -i 4 -p 3", "-p 3: 2 devices cannot be shared"),
        ("-m NET -i 0", "'0' is not a number such as 2 or a range such as 1:4"),
        ("-m NET -i 4:1", "'4:1' is not a number"),
        ("-m NET -d 1", "-d 1: numbers are dies of a card"),
        ("-m NET -d [0,0]", "'[0,0]' is not a list of dies such as"),
        ("-m NET -s [1,3,16,16]", "without the batch"),
        ("-m NET -s [4,16,16]", "is not [3,H,W]"),
        ("-m NET -s [3,16,20]", "must be multiples of the stride 8"),
        ("-m NET --dtype uint32", "only uint8 is supported"),
        ("-m NET --vdsp_params x.json", "--vdsp_params is for cards only"),
        ("-m NET --hwconfig x.json", "--hwconfig is for cards only"),
        ("-m NET --freqlist [835]", "--freqlist: "),
        ("-m NET -g graph.txt", "--graph: graph files belong to vastpipe"),
        ("-m NET --cache_input 1", "--cache_input: "),
        ("-m NET --none_vaml 1", "--none_vaml is for cards only"),
        ("-m NET --producer_mode 1", "--producer_mode is for cards only"),
        ("-m NET --backend vastpipe", "backend must be one of auto, openvino"),
        ("-m NET --percentiles [101]", "is not a list of percentiles"),
        ("-m NET --rate 0", "must be above 0"),
        ("-m NET -t -1", "'-1' is not a number of seconds"),
        ("-m NET -b 2 --force_batch_size 3", "contradicts -b"),
        ("-m NET q 2", "'q' is neither a flag nor the value of one"),
        ("-m NET --path_output out", "--path_output needs --datalist"),
        ("-m NET --datalist none.txt", "none.txt: No such file"),
        ("--model_json a/mod.json --model_lib b/mod.so", "they must lie in one folder"),
    ],
)
def test_what_cannot_be_done_is_said(
    network: Path, capsys: pytest.CaptureFixture[str], words: str, reason: str
) -> None:
    assert reason in run(words.replace("NET", str(network)), capsys, 2).err


def test_what_asks_for_nothing_is_accepted(
    network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--none_vaml 0 --producer_mode 0 --cache_input 0 --force_batch_size 1 --dtype uint8"
    run(f"-m {network} -s [[3,16,16]] --iterations 1 {words}", capsys)


def test_a_fixed_network_takes_its_own_size_and_batch_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tiny_networks.write(
        tmp_path / "fixed.onnx", CHANNELS, first=("Mul", 1.0), size=(1, 16, 24),
        output_size=(1, 2, 3),
    )  # fmt: skip
    report = json.loads(run(f"-m {file} -b 2 --iterations 1 --json", capsys).out)
    assert report["input"] == [3, 16, 24]
    said = run(f"-m {file} -s [3,24,24]", capsys, 2)
    assert "fixed.onnx takes pictures of 24 x 16 only, not of 24 x 24" in said.err
    said = run(f"-m {file} -b 2 --force_batch_size 1", capsys, 2)
    assert "takes 1 pictures per run and no other number" in said.err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("-?", "-h", "--help"):
        assert console.main(["perf", word]) == 0
        assert "python -m openpose_ext.perf -m mobilenet" in capsys.readouterr().out


def test_a_missing_network_or_engine_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no network file" in run("-m nowhere.onnx", capsys, 3).err
    prefix = compiled_networks.write(tmp_path / "mod")
    assert "vaststreamx" in run(f"-m {prefix}", capsys, 3).err


# Processes that do not end well -------------------------------------------------------------


Measurement = tuple[subprocess.Popen[str], list[int]]


@contextmanager
def measurement(words: str) -> Iterator[Measurement]:
    """A measurement of an hour in two processes, both at work, and their ids."""
    argv = [sys.executable, "-m", "openpose_ext.perf", *words.split()]
    argv += ["-i", "2", "-p", "2", "-t", "3600", "--verbose"]
    command = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert command.stderr is not None
    ready = [
        re.fullmatch(r"process (\d+) has begun\n", command.stderr.readline()) for _ in range(2)
    ]
    try:
        yield command, [int(line[1]) for line in ready if line is not None]
    finally:
        command.kill()
        command.communicate()


@pytest.fixture
def endless(network: Path) -> Iterator[Measurement]:
    with measurement(f"-m {network} -s [3,16,16]") as running:
        yield running


linux_only = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="needs Linux to wait for a process"
)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(processes: list[int]) -> None:
    """Wait for the end of processes, by their descriptors."""
    for process in processes:
        ended, _, _ = select.select([process], [], [], 60)
        os.close(process)
        assert ended


def test_a_process_that_dies_ends_the_command_with_its_name(
    endless: Measurement,
) -> None:
    command, (first, second) = endless
    os.kill(second, signal.SIGKILL)
    out, err = command.communicate(timeout=60)
    assert command.returncode == 3
    assert err == (
        f"openpose-ext: process {second} was killed by SIGKILL before its measurement was done\n"
    )
    assert not out
    assert not alive(first)


def test_ctrl_c_ends_all_processes(endless: Measurement) -> None:
    command, pids = endless
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (130, "openpose-ext: interrupted\n")
    assert not any(map(alive, pids))


@linux_only
def test_processes_give_the_card_back(
    card: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both of the two, when they are done, interrupted, and when the command is killed."""
    compiled_networks.write(tmp_path / "body" / "mod", ended="ended.txt")
    ended = tmp_path / "body" / "ended.txt"
    run(f"{card} -i 2 -p 2 --iterations 8", capsys)
    assert ended.read_text() == "done\n" * 2
    for number, expected in ((signal.SIGINT, 4), (signal.SIGKILL, 6)):
        with measurement(card) as (command, pids):
            ends = [os.pidfd_open(pid) for pid in pids]
            command.send_signal(number)
            wait_for(ends)
        assert ended.read_text() == "done\n" * expected


@linux_only
def test_no_process_outlives_a_command_that_is_killed(
    endless: Measurement,
) -> None:
    command, pids = endless
    ends = [os.pidfd_open(pid) for pid in pids]
    command.kill()
    wait_for(ends)


# The files of a datalist --------------------------------------------------------------------


@pytest.fixture
def datalist(tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    """A list of five pictures of several sizes, as the zoo writes them, and these, BGR."""
    random = np.random.default_rng(3)
    sizes = [(16, 24), (50, 30), (16, 24), (7, 90), (24, 16)]
    pictures = [random.integers(0, 256, (h, w, 3), np.uint8) for h, w in sizes]
    lines = []
    for name, picture in zip("edcba", pictures, strict=True):
        np.savez(tmp_path / f"{name}.npz", input_0=picture[..., ::-1].transpose(2, 0, 1))
        lines.append(f"{tmp_path / name}.npz\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    return tmp_path / "list.txt", pictures


@pytest.mark.parametrize(
    "words", ["", "-b 2 -i 2 -p 2", "-b 3 --forward_mode 1 --cache_input_host 1 --cache_output 1"]
)
def test_outputs_are_written_in_the_order_of_the_list(
    network: Path,
    datalist: tuple[Path, list[np.ndarray]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: str,
) -> None:
    """Whole pictures are squashed into the input, as a card does."""
    file, pictures = datalist
    out = tmp_path / "out"
    command = f"-m {network} -s [3,16,24] --precision f32 --datalist {file} --path_output {out}"
    report = json.loads(run(f"{command} {words} --json", capsys).out)
    assert report["samples"] == 5
    assert sorted(os.listdir(out)) == [f"output_{k:06d}.npz" for k in range(5)]
    for k, picture in enumerate(pictures):
        seen = cv2.resize(picture, (24, 16), interpolation=cv2.INTER_LINEAR)[None]
        with np.load(out / f"output_{k:06d}.npz") as found:
            assert {*found.files} == {"output_0", "output_1"}
            for name, channels in (("output_0", 38), ("output_1", 19)):
                expected = tiny_networks.answer(seen, channels)
                assert found[name].shape == expected.shape
                np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-2)


def test_lists_that_cannot_be_run_are_refused(
    network: Path,
    datalist: tuple[Path, list[np.ndarray]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, _ = datalist
    command = f"-m {network} --datalist {file}"
    assert "takes pictures of any size" in run(command, capsys, 2).err
    command += " -s [3,16,24]"
    assert "-i must be a single number" in run(f"{command} -i 1:2", capsys, 2).err
    assert "omit -t" in run(f"{command} -t 1", capsys, 2).err
    assert "there are only 5 inputs" in run(f"{command} -i 6 -p 6", capsys, 2).err

    out = tmp_path / "out"
    out.mkdir()
    (out / "output_000005.npz").touch()
    assert "is from another run" in run(f"{command} --path_output {out}", capsys, 2).err

    (tmp_path / "c.npz").write_bytes(b"PK\3\4")
    assert f"{tmp_path / 'c.npz'} is not an npz" in run(command, capsys, 2).err
    (tmp_path / "c.npz").unlink()
    assert f"lists {tmp_path / 'c.npz'}, which does not exist" in run(command, capsys, 2).err

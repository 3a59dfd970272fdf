"""The table of engines, and opening a network on one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from openpose_ext.backends.protocol import Backend, Graph, InputFormat, WeightsReader, reason
from openpose_ext.errors import BackendError, ModelError
from openpose_ext.io.cpus import limited, own_cores

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "check_engine_options",
    "describe",
    "exists",
    "open_backend",
]

T = TypeVar("T")

# The default input if nothing else is known: pixels from 0 to 255.
_PIXELS = InputFormat()

_COUNTS = ("batch", "instances")  # of the engines' options

PRECISIONS = ("auto", "f32", "bf16", "f16")


@dataclass(frozen=True)
class _Engine:
    """An engine: its requirements and the files it reads.

    packages  modules that must be importable
    install   how to install them
    suffixes  of the files it reads
    parts     suffixes added to the prefix of a compiled network to give its files; such an engine
              reads no other files
    reads_weights  whether some of those files hold only weights
    options   the keys of `engine_options` it understands, with the value that None stands for
    """

    packages: tuple[str, ...]
    install: str
    suffixes: tuple[str, ...]
    parts: tuple[str, ...] = ()
    reads_weights: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        return [name for name in self.packages if find_spec(name) is None]

    @property
    def reads(self) -> str:
        """The files it reads, in words."""
        return ", ".join(self.suffixes) or "networks compiled by vamc, by their prefix"

    def can_read(self, file: Path) -> bool:
        if not self.parts:
            return file.suffix.lower() in self.suffixes
        return any(Path(f"{file}{part}").is_file() for part in self.parts)


# In the order in which "auto" tries them.
ENGINES: Mapping[str, _Engine] = {
    "openvino": _Engine(("openvino",), "pip install openvino", (".onnx", ".xml", ".pb", ".tflite")),
    "onnxruntime": _Engine(
        ("onnxruntime", "onnx"), 'pip install "openpose_ext[onnxruntime]"', (".onnx",)
    ),
    "torch": _Engine(
        ("torch",),
        'pip install "openpose_ext[torch]"',
        (".pth", ".pt", ".safetensors", ".caffemodel"),
        reads_weights=True,
    ),
    "vsx": _Engine(
        ("vaststreamx",),
        "the Python runtime of Vastai's cards, which is on no package index. Its wheels are on the "
        "vendor's developer site, behind a login; install the one that fits your driver",
        (),
        (".so", ".json", ".params"),
        options={"vdsp_params": None, "batch": 1, "instances": 1, "hw_config": None},
    ),
}


def open_backend(
    model_file: str | PathLike[str],
    backend: str = "auto",
    *,
    input_format: InputFormat = _PIXELS,
    device: str = "cpu",
    precision: str = "auto",
    threads: int | None = None,
    streams: int = 1,
    engine_options: Mapping[str, Any] | None = None,
    weights: WeightsReader | None = None,
) -> Backend:
    """Open a network on an engine.

    model_file    the network's file; for "vsx" the prefix of a compiled one, `mod` of `mod.so`
    backend       a name of `ENGINES`; "auto" takes the first that is installed and can run the file
    input_format  what the network's input expects
    device        in the engine's own notation: "cpu", "GPU", "cuda:0", dies "0,1"
    precision     "auto" (the engine's choice, see `info`), "f32", "bf16" or "f16"
    threads       limit of the engine's threads; None leaves it to the engine, within the cores
                  this process may use
    streams       maximum number of requests in flight; "vsx" uses as many as keep the card busy
    engine_options  options of single engines by name; other engines ignore them. "vsx" has
        vdsp_params  the JSON file of its preprocessing; None takes the one beside the network
            batch        pictures per run (other engines take any number); None is 1
            instances    copies of the network on each die (default 1)
            hw_config    a hardware configuration for its runtime, or None
        weights       for "torch" only: builds the network of a file that holds only weights

    Raises ValueError for an unknown name or a number out of range, ModelError if there is no such
    file, BackendError if the engine is not installed or refuses the file, device or precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    for name, count in (
        ("threads", 1 if threads is None else threads),
        ("streams", streams),
    ):
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {count!r}")
    options = check_engine_options(engine_options)
    file = Path(model_file)
    if threads is None and limited():
        threads = own_cores()

    def opened(adapter: ModuleType, engine: _Engine) -> Backend:
        own: dict[str, Any] = {
            name: options.get(name) or default for name, default in engine.options.items()
        }
        if engine.reads_weights:
            own["weights"] = weights
        params = options.get("vdsp_params")
        if params is not None and "vdsp_params" not in engine.options:
            raise BackendError(f"{params} is for networks compiled by vamc, not for {file}")
        result: Backend = adapter.open_engine(
            file,
            input_format=input_format,
            device=device,
            precision=precision,
            threads=threads,
            streams=streams,
            **own,
        )
        return result

    return _first_that_can(opened, file, backend, _on_gpu(device, backend, file))


def _on_gpu(device: str, backend: str, file: Path) -> str:
    """What to do to have a file run on a GPU, where the engine asked for cannot do it."""
    if device.lower().partition(":")[0] not in ("cuda", "gpu", "tensorrt"):
        return ""
    if backend == "auto":
        return (
            "\nOn an NVIDIA GPU: --backend torch, which reads .pth weights, or --backend "
            "onnxruntime after pip install onnxruntime-gpu; both with --device cuda"
        )
    if backend not in ENGINES or ENGINES[backend].can_read(file):
        return ""
    able = [name for name in ("onnxruntime", "torch") if ENGINES[name].can_read(file)]
    return "".join(f". On an NVIDIA GPU --backend {name} runs it" for name in able)


def check_engine_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check the options and return them, with files as paths; see `open_backend`.

    Raises TypeError or ValueError for options that no engine has.
    """
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"engine_options must be a mapping, not {type(options).__name__}")
    checked = dict(options or {})
    known = {name: engine for engine, one in ENGINES.items() for name in one.options}
    for name, value in checked.items():
        if name not in known:
            all_known = ", ".join(f"{option} ({engine})" for option, engine in known.items())
            raise ValueError(f"no engine has an option {name!r}; there are {all_known}")
        if value is None:
            continue
        if name in _COUNTS and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        if name == "vdsp_params":
            checked[name] = Path(value)
    return checked


def describe(
    model_file: str | PathLike[str],
    backend: str = "auto",
    *,
    device: str = "cpu",
    weights: WeightsReader | None = None,
) -> Graph:
    """Inputs and outputs as stated in a network's file. Raises as `open_backend` does.

    device   where a compiled network is loaded for this; files are read without a device
    weights  as in `open_backend`
    """

    def described(adapter: ModuleType, engine: _Engine) -> Graph:
        own: dict[str, Any] = {"device": device} if engine.parts else {}
        if engine.reads_weights:
            own = {"weights": weights}
        graph: Graph = adapter.describe(Path(model_file), **own)
        return graph

    return _first_that_can(described, Path(model_file), backend)


def exists(model_file: Path) -> bool:
    """Whether the network exists, as a file or as the prefix of a compiled one."""
    compiled = any(engine.parts and engine.can_read(model_file) for engine in ENGINES.values())
    return compiled or model_file.is_file()


def _first_that_can(
    use: Callable[[ModuleType, _Engine], T], file: Path, backend: str, hint: str = ""
) -> T:
    if backend != "auto" and backend not in ENGINES:
        raise ValueError(f"backend must be one of auto, {', '.join(ENGINES)}, not {backend!r}")
    if not exists(file):
        raise ModelError(f"there is no network file {file}")
    refusals = []
    able = [name for name, engine in ENGINES.items() if engine.can_read(file)]
    for name in (able or ENGINES) if backend == "auto" else [backend]:
        try:
            return use(_adapter(name, file), ENGINES[name])
        except BackendError as error:
            refusals.append(error)
    if backend != "auto":
        raise BackendError(f"{refusals[0]}{hint}") from refusals[0]
    if len(refusals) == 1 and not hint:
        raise refusals[0]
    reasons = "\n".join(f"  {error}" for error in refusals)
    raise BackendError(f"no engine runs {file}:\n{reasons}{hint}")


def _adapter(name: str, file: Path) -> ModuleType:
    engine = ENGINES[name]
    if not engine.can_read(file):
        raise BackendError(f"{name} reads {engine.reads}, not {file.name}")
    if engine.missing:
        raise BackendError(f"{name} needs {' and '.join(engine.missing)}: {engine.install}")
    try:
        return import_module(f"{__package__}.{name}")
    except ImportError as error:  # installed, but its libraries do not load
        raise BackendError(f"{name} is installed but cannot be loaded: {reason(error)}") from error

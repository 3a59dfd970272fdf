"""The report of a measurement, for JSON and YAML and in vamp's print form."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from openpose_ext.run.processes import Opened

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """The measured values; latencies in whole microseconds: avg, min, max and percentiles.

    opened         of each process: its id, engine, input and outputs
    instances      on each device
    devices        as they were given
    batch          pictures per request
    synchronous    whether requests were sent one after the other, without one waiting
    rate           requests per second, or None in a closed loop
    samples        total number of pictures
    seconds        from the first request to the last answer
    e2e_latency    from the due time of a request, including waiting
    model_latency  from the start of a request on the engine
    """

    opened: tuple[Opened, ...]
    instances: int
    devices: tuple[int | str, ...]
    batch: int
    synchronous: bool
    rate: float | None
    samples: int
    seconds: float
    e2e_latency: dict[str, int]
    model_latency: dict[str, int]

    @property
    def throughput(self) -> float:
        """Pictures per second."""
        return self.samples / self.seconds

    def fields(self) -> dict[str, Any]:
        """The report as a dict for JSON and YAML."""
        info, (width, height) = self.opened[0].info, self.opened[0].size
        return {
            "model": os.fspath(info.model),
            "engine": f"{info.engine} {info.version}",
            "precision": info.precision,
            "input": [3, height, width],
            "outputs": {name: list(shape) for name, shape in self.opened[0].outputs.items()},
            "instances": self.instances,
            "devices": list(self.devices),
            "batch_size": self.batch,
            "forward_mode": int(self.synchronous),
            "rate": self.rate,
            "process_ids": [one.pid for one in self.opened],
            "samples": self.samples,
            "forward_time_s": round(self.seconds, 6),
            "throughput_qps": round(self.throughput, 3),
            "e2e_latency_us": self.e2e_latency,
            "model_latency_us": self.model_latency,
        }

    def text(self) -> str:
        """The report in vamp's print form, with vamp's spelling of the names."""
        info, (width, height) = self.opened[0].info, self.opened[0].size
        outputs = self.opened[0].outputs.values()
        title = f"{info.model.name} on {info.engine} {info.version} ({info.device})"
        lines = [
            "[input_count]: 1",
            f"input[0]: [3,{height},{width}], dtype:u1",
            f"[output_count]: {len(outputs)}",
            *(
                f"output[{k}]: [{','.join(map(str, shape))}], dtype:f4"
                for k, shape in enumerate(outputs)
            ),
            f"{16 * '*'} {title} {16 * '*'}",
            f"  - number of instances in each device: {self.instances}",
            f"    devices: [{', '.join(map(str, self.devices))}]",
            f"    process ids: [{', '.join(str(one.pid) for one in self.opened)}]",
            f"    batch size: {self.batch}",
            f"    samples: {self.samples}",
            f"    forwad time (s): {self.seconds:.3f}",
            f"    throughput (qps): {self.throughput:.2f}",
        ]
        for of_what, latency in (("e2e", self.e2e_latency), ("model", self.model_latency)):
            lines.append(f"    {of_what} latency (us):")
            lines += [f"      {name} latency: {value}" for name, value in latency.items()]
        return "\n".join(lines)

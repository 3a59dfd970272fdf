"""The common part of all engines: a pool of requests that callers take in turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from openpose_ext.backends.protocol import BackendInfo, Outputs
from openpose_ext.errors import BackendError

__all__ = ["PooledBackend"]

Request = TypeVar("Request")
T = TypeVar("T")


class PooledBackend(ABC, Generic[Request]):
    """Runs batches on whichever of `info.streams` requests is free; see `Backend`.

    A request is taken from the pool before the work and returned afterwards, so the number in
    flight is limited; further callers wait. With `apart`, pictures of a batch run one after the
    other, whatever the graph takes. Raises BackendError for a network of batches of a fixed size.
    """

    def __init__(
        self, requests: Sequence[Request], info: BackendInfo, *, apart: bool = False
    ) -> None:
        if info.batch is not None and info.batch > 1:
            raise BackendError(
                f"{info.model} takes batches of {info.batch} pictures and no others; export it "
                "with a batch of 1, or of any size"
            )
        self.info = info
        self._apart = apart
        self._idle: SimpleQueue[Request | None] = SimpleQueue()  # None: closed
        for request in requests:
            self._idle.put(request)
        self._workers = ThreadPoolExecutor(len(requests), f"openpose_ext-{info.engine}")
        self._closing = Lock()
        self._closed = False

    @abstractmethod
    def _infer(self, request: Request, batch: npt.NDArray[np.uint8]) -> Outputs:
        """The outputs of one batch, valid until the request is used again."""

    def run(self, batch: npt.NDArray[np.uint8]) -> Outputs:
        batch = self._checked(batch)
        request = self._take()
        try:
            outputs = self._outputs(request, batch)
            return {name: _owned(output) for name, output in outputs.items()}
        finally:
            self._idle.put(request)

    def submit(self, batch: npt.NDArray[np.uint8], then: Callable[[Outputs], T]) -> Future[T]:
        batch = self._checked(batch)
        request = self._take()
        future = self._workers.submit(lambda: then(self._outputs(request, batch)))
        # Not in the work itself, so that a future cancelled before its start returns it, too.
        future.add_done_callback(lambda _: self._idle.put(request))
        return future

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            for _ in range(self.info.streams):
                self._idle.get()
            self._idle.put(None)
            self._workers.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _take(self) -> Request:
        request = self._idle.get()
        if request is None:
            self._idle.put(None)
            raise BackendError(f"{self.info.engine} with {self.info.model.name} is closed")
        return request

    def _outputs(self, request: Request, batch: npt.NDArray[np.uint8]) -> Outputs:
        if len(batch) == 1 or (self.info.batch is None and not self._apart):
            return self._infer(request, batch)
        singles = [
            {name: output.copy() for name, output in self._infer(request, one[None]).items()}
            for one in batch
        ]
        return {name: np.concatenate([one[name] for one in singles]) for name in singles[0]}

    def _checked(self, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if not isinstance(batch, np.ndarray) or batch.dtype != np.uint8:
            kind = batch.dtype if isinstance(batch, np.ndarray) else type(batch).__name__
            raise ValueError(f"a batch must be a uint8 array, not {kind}")
        if batch.ndim != 4 or batch.shape[3] != 3 or not batch.size:
            raise ValueError(f"a batch must be (N, H, W, 3) with N, H, W > 0, not {batch.shape}")
        size = self.info.fixed_size
        if size is not None and batch.shape[1:3] != size[::-1]:
            raise ValueError(
                f"{self.info.model.name} takes {size[0]} x {size[1]} pixels only, "
                f"not {batch.shape[2]} x {batch.shape[1]}"
            )
        return np.ascontiguousarray(batch)


def _owned(output: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return output if output.flags.owndata else output.copy()

"""Finds out whether a video file ends too early."""

from __future__ import annotations

import re

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

__all__ = ["Ending"]

# Seconds by which programs differ in what they write as the end.
_TOLERANCE = 0.1


class Ending:
    """Compares the last packets of a file with the end that its header states.

    Call `saw` with every packet of all streams, in the demuxer's order. If the header states no
    end, or programs disagree about what its fields mean, nothing counts as missing.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._format = container.format.name
        self._decoded = self._shown = -1  # the latest timestamps of the stream's packets, ticks
        self._whole = True  # whether the last packet is complete
        self._lasts = True  # whether packets have durations
        self._ends = {False: 0.0, True: 0.0}  # seconds: end of all streams, end of the pictures
        self._gap = 0  # longest time from a picture to the next, ticks

    def saw(self, packet: Packet[Stream]) -> None:
        """Take note of a packet that was read."""
        time = packet.dts if packet.pts is None else packet.pts
        tick = packet.time_base
        if time is None or tick is None:
            return
        ours = packet.stream.index == self._stream.index
        end = float((time + (packet.duration or 0)) * tick)
        self._ends[ours] = max(self._ends[ours], end)
        if not ours:
            return
        decoded = time if packet.dts is None else packet.dts
        if self._decoded >= 0:
            self._gap = max(self._gap, decoded - self._decoded)
        self._decoded = max(self._decoded, decoded)
        self._shown = max(self._shown, time)
        self._whole = not packet.is_corrupt
        self._lasts = bool(packet.duration)

    def early(self) -> str | None:
        """After the last packet: a sentence on how early the file ends, or None if it does not."""
        tick = self._stream.time_base
        if tick is None or self._shown < 0:
            return None
        listed = max((entry.timestamp for entry in self._stream.index_entries), default=-1)
        if "mov" in self._format or self._format == "avi":
            # These formats list every packet by its decoding time, without edit lists.
            # AVI has its list at the end; its header has the number of ticks.
            if self._format == "avi":
                listed = max(listed, self._stream.frames - max(self._gap, 1))
            cut = self._decoded < listed or not self._whole
            last = self._decoded
        else:
            # The other formats list only packets at which decoding can begin.
            cut, last = self._shown < listed, self._shown
        start = self._stream.start_time or 0
        if cut:
            return _after(float((last - start) * tick), float((max(last, listed) - start) * tick))
        return self._before_the_end_told(float(self._gap * tick))

    def _before_the_end_told(self, gap: float) -> str | None:
        """Matroska and FLV state the end of the longest stream, most Matroska files of each one."""
        if not ("matroska" in self._format or self._format == "flv"):
            return None
        if self._container.duration is None:
            return None
        told = self._container.duration / 1e6
        last = max(self._ends.values())
        said = re.fullmatch(r"(\d+):(\d+):([\d.]+)", self._stream.metadata.get("DURATION", ""))
        if said is not None:
            hours, minutes, seconds = map(float, said.groups())
            told = min(told, 3600 * hours + 60 * minutes + seconds)
            last = self._ends[True]
        tolerance = _TOLERANCE + (0.0 if self._lasts else gap)
        return _after(last, told) if last + tolerance < told else None


def _after(last: float, end: float) -> str:
    return f"it ends early, after {last:.1f} of {end:.1f} seconds"

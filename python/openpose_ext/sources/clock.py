"""The clock of a file's packets, made to run forwards only.

Files that were joined, recorders that restart, and counters that wrap around jump back to an
earlier time, or far ahead. The packets after such a jump go on from the last one before it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import cast

from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.video.stream import VideoStream

__all__ = ["Clock", "clock_of"]

# Packets may be early by so many frames, as a sloppy recorder writes them; more is a jump.
_SLOPPY = 2

# Seconds ahead that are a jump in formats whose clocks may jump, as in FFmpeg's own command line.
# In all others a frame may be shown for as long as it likes.
_FAR_AHEAD = 10


_RATE = 25.0  # frames a second, where nothing tells


def clock_of(container: InputContainer, stream: VideoStream) -> Clock:
    """The clock of an open file's stream."""
    rate = float(stream.average_rate or stream.guessed_rate or _RATE)
    jumps = cast(int, Flags.ts_discont.value)
    return Clock(1 / rate, may_jump=bool(container.format.flags & jumps))


class Clock:
    """Gives the packets of one stream times that only rise, in the order of decoding.

    interval  seconds from frame to frame, as a rule
    may_jump  whether the format's clock may jump ahead: broadcasts and recorders

    jumps     how often the clock has jumped so far
    """

    def __init__(self, interval: float, *, may_jump: bool) -> None:
        self._interval = interval
        self._may_jump = may_jump
        self._shift = 0  # ticks
        self._last: int | None = None
        self.jumps = 0

    def mend(self, packet: Packet[VideoStream]) -> None:
        """Change the times of the next packet, so that they go on from those before."""
        time = packet.dts
        if time is None or packet.time_base is None:
            if packet.pts is not None:
                packet.pts += self._shift
            return
        shift = self._next_shift(time, packet.duration, packet.time_base)
        self._last = time + shift
        packet.dts = time + shift
        if packet.pts is not None:
            packet.pts += shift

    def _next_shift(self, time: int, duration: int | None, tick: Fraction) -> int:
        """What is added to the times of a packet; kept where that is because of a jump."""
        if self._last is None:
            return self._shift
        frame = duration or max(1, round(self._interval / tick))
        ahead = time + self._shift - self._last
        if -_SLOPPY * frame <= ahead <= 0:
            return self._last + 1 - time
        if ahead < 0 or (self._may_jump and ahead * tick > _FAR_AHEAD):
            self._shift = self._last + frame - time
            self.jumps += 1
        return self._shift

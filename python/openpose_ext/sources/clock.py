"""Makes the timestamps of a file's packets run forwards only.

In joined files, after a recorder's restart, and when a counter wraps around, timestamps jump back
or far ahead. Packets after such a jump continue from the last one before it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import cast

from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.video.stream import VideoStream

__all__ = ["Clock", "clock_of"]

# Packets may be so many frames early, as sloppy recorders write them; more is a jump.
_SLOPPY = 2

# In formats whose clocks may jump, so many seconds ahead are a jump, as in FFmpeg's command line.
# In all others a frame may be shown for any time.
_FAR_AHEAD = 10


_RATE = 25.0  # frames per second, if the file does not tell


def clock_of(container: InputContainer, stream: VideoStream) -> Clock:
    """The clock for a stream of an open file."""
    rate = float(stream.average_rate or stream.guessed_rate or _RATE)
    jumps = cast(int, Flags.ts_discont.value)
    return Clock(1 / rate, may_jump=bool(container.format.flags & jumps))


class Clock:
    """Gives the packets of one stream, in decoding order, timestamps that only rise.

    interval  usual seconds from frame to frame
    may_jump  whether the format's timestamps may jump ahead, as those of broadcasts and recorders

    jumps     how often they have jumped so far
    """

    def __init__(self, interval: float, *, may_jump: bool) -> None:
        self._interval = interval
        self._may_jump = may_jump
        self._shift = 0  # ticks
        self._last: int | None = None
        self.jumps = 0

    def mend(self, packet: Packet[VideoStream]) -> None:
        """Change the timestamps of the next packet so that they continue from those before."""
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
        """The ticks to add to a packet's timestamps; remembered for later packets after a jump."""
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

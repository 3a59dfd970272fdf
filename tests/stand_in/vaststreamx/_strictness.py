"""What the stand-in refuses although nobody knows that the runtime does: all of it, here.

`RULES` names each such refusal and says what is refused; `shown` are those that one of the vendor's
public programs breaks, so that a card is known to do something with it, but not what. `refusals`
holds the names that are in force, and may be changed at any time:

    by default           all but those that are `shown`: every public program runs
    strict()             all; our own tests are held to them
    lenient()            none
    VASTSTREAMX_REFUSES  "all" or "none" in the environment of another process: the same

Beyond these, calls are refused that cannot mean anything: of wrong types, in an impossible order,
with sizes that contradict each other, on devices that are not there.

Not imitated, since no source tells enough: the encoders and decoders but `VideoCapture`, the layout
of GRAPH_OUTPUT_TYPE_884_DEVICE (NCHW is given), what an ELF file computes (zeros are given), and a
graph with more than one operation before the model.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["RULES", "lenient", "refusals", "refused", "strict"]


@dataclass(frozen=True)
class Rule:
    """What is refused, and whether a public program does it nevertheless."""

    says: str
    shown: bool = False


RULES = {
    "contiguous arrays": Rule(
        "an array that is not contiguous makes no image. OpenPose's script gives a transposed "
        "view; whether the strides are heeded is not known. Here they are",
        shown=True,
    ),
    "full batches": Rule(
        "a run has as many inputs as the model's batch. Scripts with --batch give one; what "
        "becomes of the rest is not known. Here only what is given is computed",
        shown=True,
    ),
    "own device": Rule(
        "whatever makes or runs something selected the device in its own thread. Profilers do, "
        "the feeding threads of asynchronous scripts need not. Here the last one selected by any "
        "thread is taken",
        shown=True,
    ),
    "copied arrays": Rule(
        "an image looks at its array until it has been run, so an array may not be written to. "
        "Without this rule images copy (nothing is refused: what is computed differs)"
    ),
    "plain numbers": Rule("sizes, devices and batches are int, not NumPy's integers"),
    "even sides": Rule("pictures of odd width or height are not run; the scripts make them even"),
    "the operation's format": Rule("images run in the format that the first operation names"),
    "the thread's device": Rule("images are made on the device that their thread has selected"),
    "one thread a stream": Rule("two threads do not feed one stream at the same time"),
    "one way a stream": Rule("a stream is run synchronously or asynchronously, not both"),
    "one build": Rule("a stream is built once"),
    "one close": Rule("the input of a stream is closed once, and before the wait for its end"),
    "types of tensors": Rule("arrays become tensors as int32, float16 or uint8, nothing else"),
}

refusals: set[str] = set()


def strict() -> None:
    """Refuse all of it."""
    refusals.update(RULES)


def lenient() -> None:
    """Refuse none of it."""
    refusals.clear()


def refused(rule: str) -> bool:
    """Whether a rule is in force."""
    if rule not in RULES:
        raise KeyError(rule)
    return rule in refusals


_asked = os.environ.get("VASTSTREAMX_REFUSES", "")
if _asked not in ("", "all", "none"):
    raise ImportError(f"VASTSTREAMX_REFUSES is {_asked!r}: give all or none")
if _asked != "none":
    refusals.update(name for name, rule in RULES.items() if _asked == "all" or not rule.shown)

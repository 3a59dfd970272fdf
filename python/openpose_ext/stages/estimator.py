"""The order of the stages for one picture, and for the frames of a source."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from openpose_ext.backends.protocol import BackendInfo
from openpose_ext.io.cpus import own_cores
from openpose_ext.sources.pictures import PictureLike, as_picture
from openpose_ext.stages.bodies import BodyFinder, Mode
from openpose_ext.stages.decode import DecodeOptions, connect, find_peaks
from openpose_ext.stages.networks import Networks, NetworkSet, chosen_networks, options_by_network
from openpose_ext.stages.pipeline import workers_for
from openpose_ext.stages.preprocess import HEIGHT, Fit
from openpose_ext.stages.refine import REFINE_PIXELS
from openpose_ext.stages.stream import OnError, Streamed, as_frame, people_of, streamed
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import Topology

if TYPE_CHECKING:
    from openpose_ext.stages.hands import Side
    from openpose_ext.stages.inputs import Given
    from openpose_ext.stages.watch import Watch

__all__ = ["MOST_STREAMS", "PoseEstimator", "Stages"]

Floats = npt.NDArray[np.float32]

# `stream` works on at most so many pictures at once by default: each takes the network's memory
# again, up to half a gigabyte for the original networks.
MOST_STREAMS = 8


@dataclass(frozen=True, eq=False)
class Stages:
    """Everything between a picture and its people, to look inside.

    input        (H, W, 3) uint8 BGR: the network's input at the first scale
    geometry     how the maps lie in the picture
    heat         (K + 1, h, w) float32: parts, and the background last; the mean of all passes
    paf          (2 L, h, w) float32, alike
    peaks        K arrays (n, 3) float32: x, y in map cells, and the score
    connections  L arrays (n, 3) float32: index of peak a, index of peak b, and the score
    people       what the estimator returns, in the picture's frame
    topology     the meaning of the maps' channels; with a foot network `people` are BODY_25,
                 whatever this is
    """

    input: Picture
    geometry: Geometry
    heat: Floats
    paf: Floats
    peaks: list[Floats]
    connections: list[Floats]
    people: Poses
    topology: Topology


class PoseEstimator:
    """Finds people in pictures and videos.

    Networks, each given as a name, a file, or the prefix of one compiled for a card; None or "none"
    is no network:
    body        the body network; "lite" comes with the package
    hand        the hand network; None does not look for hands
    face        the face network; None does not look for faces
    foot        the network of heels and big toes; with it people are BODY_25
    hand_detector  also look for hands in the whole picture. A hand that belongs to no arm becomes a
                person without a body, after all others; with body=None there are only those
    whole       use "lite" for each of the four networks that is None

    Where and how they run:
    backend     "auto", or a name of `backends.engines.ENGINES`
    device      as the engine names it: "cpu", "GPU", "cuda:0", dies of a card "0,1"
    precision   "auto" (the engine's choice, see `info`), "f32", "bf16" or "f16"
    threads     most threads that the engine uses, None for its own choice
    streams     pictures that are processed at once, sharing the threads. None is the fastest for
                each use: one in calls, and one for each thread in `stream` and `batch`, which then
                open networks of their own
    max_batch   most hands, faces or feet per run of their network; None takes as many as eight
                of 368 x 368 pixels, which bounds the memory
    engine_options  what only some engines understand, see `backends.engines.open_backend`; options
                of one network stand under "body", "hand", "face" or "foot":
                {"batch": 4, "body": {"vdsp_params": "body.json"}}. Pictures that are processed at
                the same time share batches

    What the body network sees:
    height      network pixels: each picture is resized to this height
    fit         "pad" keeps the picture's aspect ratio, "stretch" does not
    max_pixels  most pixels (width x height) of the network's input, for very long pictures; None
                is height squared times 1312 / 368
    normalise   (mean, divisor) if the network's manifest is missing or wrong: the network sees
                (pixel - mean) / divisor; the original networks need (128, 256)
    scales      run the network at each of these multiples of `height` and average the maps: more
                accurate; the time grows with the sum of their squares
    mirror      also run it on the mirrored picture, at each scale: twice the time
    refine      look a second time, closer, where people are: more accurate, above all for small
                people. True, or how many network pixels tall people are shown then. `scales` and
                `mirror` apply to the second look, too
    turned      also look at the picture turned by one, two and three quarters, for people who lie
                or are upside down: four times the time. They have lower scores than people who
                stand
    refine_pixels  most network pixels of the second look, as a multiple of those of the first. In a
                crowd people are shown smaller, and the smallest and weakest are left out
    hand_scales  run the hand network on each hand at each of these sizes, as multiples of the
                usual one, and average the results

    How people are decoded:
    mode        "fast"; "reference" decodes bodies exactly as pytorch-openpose does; "zoo" follows
                VastModelZoo's OpenPose script for bodies and hands (see `stages.zoo`) and ignores
                `height`, `fit` and `max_pixels`
    options     `DecodeOptions`, None for the mode's own
    raw_scores  report the maps' own scores of parts. Otherwise, in mode "fast" and if the network's
                manifest has a calibration, a score is the share of parts with it that are right

    vdsp_params  deprecated: use engine_options={"body": {"vdsp_params": ...}}

    Pictures are (H, W, 3) uint8 BGR arrays, paths or PIL images of any size. Calls are thread-safe.
    Close the estimator when done, or use it as a context manager.

    Raises ValueError or TypeError for arguments that are out of range, ModelError if a network is
    missing or of another kind, BackendError if the engine is missing or refuses the network.
    """

    def __init__(
        self,
        body: str | PathLike[str] | None = "lite",
        *,
        hand: str | PathLike[str] | None = None,
        face: str | PathLike[str] | None = None,
        foot: str | PathLike[str] | None = None,
        whole: bool = False,
        hand_detector: bool = False,
        backend: str = "auto",
        device: str = "cpu",
        precision: str = "auto",
        threads: int | None = None,
        normalise: tuple[float, float] | None = None,
        height: int = HEIGHT,
        fit: Fit = "pad",
        max_pixels: int | None = None,
        scales: Sequence[float] = (1.0,),
        mirror: bool = False,
        refine: bool | float = False,
        refine_pixels: float = REFINE_PIXELS,
        turned: bool = False,
        hand_scales: Sequence[float] = (1.0,),
        max_batch: int | None = None,
        streams: int | None = None,
        engine_options: Mapping[str, Any] | None = None,
        mode: Mode = "fast",
        options: DecodeOptions | None = None,
        raw_scores: bool = False,
        vdsp_params: str | PathLike[str] | None = None,
    ) -> None:
        if streams is not None and (not isinstance(streams, int) or streams < 1):
            raise ValueError(f"streams must be a whole number of at least 1, not {streams!r}")
        if not isinstance(device, str):
            raise TypeError(f'device must be a text such as "cpu", not {device!r}')
        if normalise is not None and len(tuple(normalise)) != 2:
            raise ValueError(f"normalise must be a mean and a divisor, not {normalise!r}")
        self._mode = mode
        self._options = options
        self._body = BodyFinder(
            mode=mode,
            options=options,
            raw_scores=raw_scores,
            height=height,
            fit=fit,
            max_pixels=max_pixels,
            scales=scales,
            mirror=mirror,
            refine=refine,
            refine_pixels=refine_pixels,
            turned=turned,
        )
        self._wanted = NetworkSet(
            files=chosen_networks(
                {"body": body, "hand": hand, "face": face, "foot": foot}, embedded=whole
            ),
            normalise=normalise,
            cascade_options={
                "hand": {"scales": hand_scales, "max_batch": max_batch},
                "face": {"max_batch": max_batch},
                "foot": {"max_batch": max_batch},
            },
            engine={
                "backend": backend,
                "device": device,
                "precision": precision,
                "threads": threads,
            },
            engine_options=options_by_network(engine_options, vdsp_params),
            hand_detector=hand_detector,
            zoo=mode == "zoo",
        )
        self._streams = streams or min(threads or own_cores(), MOST_STREAMS)
        self._opening = Lock()
        self._opened = ExitStack()
        self._networks = self._wanted.open(streams or 1, self._opened)
        self._many = self._networks if streams else None
        if self.info.streams > (streams or 1):  # a card, which processes several anyway
            self._many, self._streams = self._networks, self.info.streams
        if self._networks.body is not None:
            try:
                self._body.fit_network(self._networks.body)
            except ValueError:
                self.close()
                raise

    @property
    def info(self) -> BackendInfo:
        """Engine, device, precision and file of the body network, or of the first other one."""
        body = self._networks.body
        return (self._networks.cascades[0] if body is None else body).info

    @property
    def hand_info(self) -> BackendInfo | None:
        """Engine, device, precision and file of the hand network; None without one."""
        hands = self._networks.hands
        return None if hands is None else hands.info

    @property
    def face_info(self) -> BackendInfo | None:
        """Engine, device, precision and file of the face network; None without one."""
        faces = self._networks.faces
        return None if faces is None else faces.info

    @property
    def foot_info(self) -> BackendInfo | None:
        """Engine, device, precision and file of the foot network; None without one."""
        feet = self._networks.feet
        return None if feet is None else feet.info

    def __call__(self, picture: PictureLike | Frame) -> Poses:
        """Find the people of one picture: best first, in the picture's pixels.

        `timings` has the seconds of "preprocess" (with reading the file), "network" and "decode",
        and of "refine", "hands", "faces" and "feet" if they are asked for. A frame whose people are
        known, such as one read from OpenPose's JSON, keeps them.

        Raises TypeError, ValueError or SourceError if it is no picture or cannot be read,
        BackendError if the engine fails.
        """
        return people_of(picture, lambda _, frame: self._people(frame, self._networks))[1]

    def stream(
        self, source: Given, *, on_error: OnError | None = None, detect_every: int = 1
    ) -> Generator[Streamed, None, None]:
        """Find the people of each frame of a source, in order.

        source    a path, an address, a webcam's number, a `Source`, or an iterable of paths,
                  addresses, pictures and frames. A path may be a picture, a video, a folder, a
                  pattern or a list; a path that is given twice gives its frames twice
        on_error  called as `on_error(path, error)`, in order, for each input that cannot be read,
                  files found in a folder included; such an input gives no frame, and the others go
                  on. Also called for flaws of inputs whose other frames are there, such as a
                  damaged frame; without `on_error` those are warnings
        detect_every  look at the whole frame every so many frames of a video or camera, and in
                  between only where people were; see `stages.watch`

        Returns a generator of (Frame, Poses). Nothing is left out silently, so of pictures
        `zip(paths, estimator.stream(paths))` gives pairs that belong together.

        As many threads as the engine was given read, resize and decode frames at the same time,
        with networks of their own (see `stages.pipeline`); only a few frames are in memory at a
        time. To end early, close the generator or drop it; a `Source` that was given is closed with
        it. A `Source` that has a `report` function reports its errors there.

        Raises TypeError at once if `source` is none of these; SourceError in the place of the frame
        for an input that cannot be read; and whatever a call raises.
        """
        if on_error is not None and not callable(on_error):
            raise TypeError(f"on_error must be callable, not {type(on_error).__name__}")
        from openpose_ext.stages.inputs import Inputs

        networks = self._for_many()
        watch = self._watch(detect_every, networks)
        inputs = Inputs(source, apart=self._streams > 1)
        workers = workers_for(self._streams, waiting=watch.waits)
        return streamed(inputs, watch, watch.missed, workers, on_error)

    def watch(self, every: int) -> Watch:
        """What `stream` does with `detect_every`, for callers that take the frames themselves.

        every  look at the whole frame every so many frames; see `stages.watch`

        Raises ValueError for less than 1, and in modes other than "fast" for more than 1.
        """
        return self._watch(every, self._networks)

    def _watch(self, every: int, networks: Networks) -> Watch:
        if every > 1 and self._mode != "fast":
            raise ValueError(f'mode "{self._mode}" has no regions: detect_every needs mode="fast"')
        from openpose_ext.stages.watch import Watch

        return Watch(
            # Hands alone have no regions; less than 1 is refused all the same.
            min(every, 1) if networks.body is None else every,
            lambda frame: self._bodies(frame, networks),
            lambda frame, expected: self._body.near(frame, expected, networks.need_body()),
            lambda frame, people: self._cascade(frame, people, networks),
        )

    def batch(self, pictures: Given, *, on_error: OnError | None = None) -> list[Poses]:
        """Find the people of each picture, in order: the same as single calls give.

        Takes the same inputs as `stream`, and raises the same errors.
        """
        return [poses for _, poses in self.stream(pictures, on_error=on_error)]

    def hands(
        self,
        picture: PictureLike,
        boxes: npt.ArrayLike,
        sides: Sequence[Side | None] | None = None,
        angles: Sequence[float | None] | None = None,
    ) -> Floats:
        """Find the hand in each box, without a body.

        boxes   (N, 4): x, y, width, height in pixels of the picture, 1.5 to 2.5 times as large as
                the hand. The network sees a square of the longer side; boxes below 20 pixels give
                no hand
        sides   "left", "right" or None for each box; None tries both and takes the better one
        angles  for each box the direction of the fingers in degrees clockwise from straight up, or
                None if it is unknown

        Returns (N, 21, 3) float32: x, y in pixels of the picture and a score in (0.05, 1]; zeros
        where there is no hand. Raises ValueError without a hand network or if the numbers of boxes,
        sides and angles differ; otherwise the errors of a call.
        """
        if self._networks.hands is None:
            raise ValueError('this estimator has no hand network; make it with hand="lite"')
        return self._networks.hands.in_boxes(as_picture(picture), boxes, sides, angles)

    def faces(
        self,
        picture: PictureLike,
        boxes: npt.ArrayLike,
        angles: Sequence[float | None] | None = None,
    ) -> Floats:
        """Find the face in each box, without a body.

        boxes   (N, 4): x, y, width, height in pixels of the picture, 1.3 to 2 times as large as the
                face from brows to chin. The network sees a square of the longer side; boxes below
                20 pixels give no face
        angles  for each box the direction of the forehead in degrees clockwise from straight up, or
                None if it is unknown

        Returns (N, 70, 3) float32 in the order of FACE_70: x, y in pixels of the picture and a
        score in (0.05, 1]; zeros where there is no face. Raises ValueError without a face network
        or if the numbers of boxes and angles differ; otherwise the errors of a call.
        """
        if self._networks.faces is None:
            raise ValueError('this estimator has no face network; make it with face="lite"')
        return self._networks.faces.in_boxes(as_picture(picture), boxes, angles)

    def stages(self, picture: PictureLike | Frame) -> Stages:
        """Find the people of one picture, and return what each stage gave on the way.

        Raises ValueError in modes "reference" and "zoo", which have other stages, and without a
        body network; otherwise the errors of a call.
        """
        if self._mode != "fast":
            raise ValueError(
                f'mode "{self._mode}" decodes maps of the picture\'s size and has other stages; '
                'stages() needs mode="fast"'
            )
        frame = as_frame(picture)
        look = self._body(frame, self._networks.need_body())
        topology = look.people.topology
        peaks = find_peaks(look.heat, topology=topology, options=self._options)
        connections = connect(peaks, look.paf, topology=topology, options=self._options)
        return Stages(
            look.input,
            look.geometry,
            look.heat,
            look.paf,
            peaks,
            connections,
            self._cascade(frame, look.people, self._networks),
            topology,
        )

    def close(self) -> None:
        """Close the networks, after the calls that are still running."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _for_many(self) -> Networks:
        """The networks that process several pictures at once, opened when first needed."""
        with self._opening:
            if self._many is None:
                if self._streams == 1:
                    self._many = self._networks
                else:
                    self._many = self._wanted.open(self._streams, self._opened)
            return self._many

    def _people(self, frame: Frame, networks: Networks) -> Poses:
        return self._cascade(frame, self._bodies(frame, networks), networks)

    def _bodies(self, frame: Frame, networks: Networks) -> Poses:
        """The people of one frame; nobody if only hands are looked for."""
        if networks.body is None and networks.detector is not None:
            timings = dict.fromkeys(("preprocess", "network", "decode"), 0.0)
            return replace(Poses.empty(frame.size), timings=timings)
        return self._body(frame, networks.need_body()).people

    def _cascade(self, frame: Frame, people: Poses, networks: Networks) -> Poses:
        """The same people with their hands, faces and feet, if there are networks for them."""
        timings = dict(people.timings)
        begun = perf_counter()
        parts: dict[str, Any] = {}
        if networks.hands is not None:
            parts["hands"] = networks.hands.of_people(frame.image, people)
            if networks.detector is not None:
                from openpose_ext.stages.hand_detector import without_bodies

                alone = networks.hands.anywhere(frame.image, networks.detector, parts["hands"])
                people = people.followed_by(without_bodies(alone, people))
                parts["hands"] = np.concatenate([parts["hands"], alone])
            timings["hands"] = perf_counter() - begun
        if networks.faces is not None:
            begun = perf_counter()
            parts["faces"] = networks.faces.of_people(frame.image, people)
            timings["faces"] = perf_counter() - begun
        if networks.feet is not None:
            begun = perf_counter()
            people = networks.feet.of_people(frame.image, people)
            timings["feet"] = perf_counter() - begun
        return replace(people, timings=timings, **parts)

"""The order of the stages for one picture."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from openpose_ext.backends.engines import check_engine_options
from openpose_ext.backends.protocol import BackendInfo
from openpose_ext.errors import SourceError, SourceWarning
from openpose_ext.io.cpus import own_cores
from openpose_ext.io.memory import own_memory
from openpose_ext.models.manifest import KINDS
from openpose_ext.models.network import BodyNetwork, HandNetwork
from openpose_ext.sources.pictures import PictureLike, as_picture
from openpose_ext.stages.cascade import Cascade
from openpose_ext.stages.decode import DecodeOptions, connect, decode_body, find_peaks
from openpose_ext.stages.faces import FaceFinder
from openpose_ext.stages.feet import FootFinder
from openpose_ext.stages.hand_detector import HandDetector
from openpose_ext.stages.hands import HandFinder, Side
from openpose_ext.stages.look import NetworkInput, passes
from openpose_ext.stages.merge import Pass, merge
from openpose_ext.stages.pipeline import overlapped, workers_for
from openpose_ext.stages.preprocess import HEIGHT, LONGEST, Fit, Preprocessing
from openpose_ext.stages.refine import REFINE_PIXELS, STATURE, Refiner, stature_at
from openpose_ext.stages.watch import Watch
from openpose_ext.stages.zoo import ZooHands, zoo_preprocessing
from openpose_ext.types.arrays import Picture, Size
from openpose_ext.types.frame import Frame
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import Topology

if TYPE_CHECKING:
    from openpose_ext.stages.inputs import Given, Inputs, Unread

__all__ = ["MOST_STREAMS", "PoseEstimator", "Stages"]

Floats = npt.NDArray[np.float32]
Streamed: TypeAlias = tuple[Frame, Poses]
Mode: TypeAlias = Literal["fast", "reference", "zoo"]
OnError: TypeAlias = Callable[["str | PathLike[str]", SourceError], object]

# Pictures at once in `stream` if nobody says otherwise: each takes the network's memory again, up
# to half a gigabyte for the original networks.
MOST_STREAMS = 8

# Of the network pixels of a whole frame: what looking from nearer where people were may need, and
# what it may need at all to be worth it.
_CHEAP, _WORTH = 0.5, 0.8

# Memory that a pixel of the network's input takes at least: that of `lite`, the smallest (43 bytes
# at 2048 x 2048).
_BYTES_A_PIXEL = 40

# Map cells in height below which nobody is found: at 24 pixels not one of 13 pictures of people.
_FEWEST_CELLS = 4

# One empty cell for each channel of COCO_18.
_NO_MAPS = np.zeros((19, 1, 1), np.float32), np.zeros((38, 1, 1), np.float32)


@dataclass(frozen=True, eq=False)
class Stages:
    """Everything between a picture and its people, to look inside.

    input        (H, W, 3) uint8 BGR: what the network saw, at the first scale
    geometry     how the maps lie in the picture
    heat         (K + 1, h, w) float32: parts, and the background last; the mean of all passes
    paf          (2 L, h, w) float32, alike
    peaks        K arrays (n, 3): x, y in map cells and score
    connections  L arrays (n, 3): indices of the peaks a and b, and score
    people       what the estimator gives
    topology     what the maps mean; with feet people are BODY_25, whatever the network
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
    """Finds people in pictures.

    body        the network: "lite" (comes with the package), another name, a file, or the prefix of
                one compiled for a card; None or "none" where only `hands` is used
    hand        the hand network, in the same way; None or "none" looks for no hands
    face        the face network, likewise
    foot        the network of heels and big toes, likewise; with it people are BODY_25
    hand_detector  look for hands in the whole picture, too: each that belongs to no arm is a person
                without a body, after all others. With body=None there are only these
    whole       look for all of them: what is None is "lite"; "none" is not looked for
    backend     "auto", or a name of `backends.engines.ENGINES`
    device      in the engine's own words: "cpu", "GPU", "cuda:0", dies of a card "0,1"
    precision   "auto" (the engine's choice, see `info`), "f32", "bf16" or "f16"
    threads     bound on the engine's threads, None for its own choice
    normalise   (mean, divisor) of a body network whose manifest is missing or wrong: it sees
                (pixel - mean) / divisor; (128, 256) is the original's
    height      network pixels: the height a picture is brought to
    fit         "pad" keeps the aspect ratio, "stretch" does not
    max_pixels  bound of the network input's width x height, for very long pictures; None takes
                1312 / 368 of the height's square
    scales      the network is run on the picture at each of these multiples of `height`, and the
                maps are averaged: more accurate, and slower with the sum of their squares
    mirror      it is run on the mirrored picture too, at each scale: twice the time
    refine      look again, closer, where people are: True, or how tall in network pixels they
                shall be then; more accurate, most so for small people. With `scales` and `mirror`
                the second look has them, too
    refine_pixels  bound of the second look's network pixels, over those of the first: in a crowd
                people are seen smaller, and the smallest and weakest not again
    hand_scales  each hand is looked at this many times as large, and what is seen is averaged
    max_batch   hands a run of their network at most; None takes as many as eight of 368 x 368
                pixels, which bounds the memory
    streams     pictures that are worked on at once, sharing the threads. None is the fastest for
                each use: one in calls, and as many as there are threads in `stream` and `batch`,
                which then open networks of their own
    engine_options  what only some engines understand, see `backends.engines.open_backend`; what
                holds for one network only stands under "body", "hand", "face" or "foot":
                {"batch": 4, "body": {"vdsp_params": "body.json"}}. In batches, what is looked at
                at the same time shares runs
    mode        "fast"; "reference": pytorch-openpose's rules on the same maps of the body; "zoo":
                all rules of VastModelZoo's OpenPose script, for bodies and hands (see
                `stages.zoo`), whatever `height`, `fit` and `max_pixels` say
    options     `DecodeOptions`, None for the mode's own
    raw_scores  leave the scores of parts as the maps give them, even if the network's manifest has
                a calibration: then a score is the share of such parts that are right. Only
                mode "fast" calibrates
    vdsp_params  deprecated: engine_options={"body": {"vdsp_params": ...}}

    Pictures are (H, W, 3) uint8 BGR arrays, paths or PIL images, of any size. Calls are
    thread-safe. Close it when done, or use it as a context manager.

    Raises ValueError or TypeError for arguments out of range, ModelError if the network is
    missing or no body network, BackendError if the engine is missing or refuses.
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
        hand_scales: Sequence[float] = (1.0,),
        max_batch: int | None = None,
        streams: int | None = None,
        engine_options: Mapping[str, Any] | None = None,
        mode: Mode = "fast",
        options: DecodeOptions | None = None,
        raw_scores: bool = False,
        vdsp_params: str | PathLike[str] | None = None,
    ) -> None:
        if options is not None and not isinstance(options, DecodeOptions):
            raise TypeError(f"options must be DecodeOptions or None, not {type(options).__name__}")
        if streams is not None and (not isinstance(streams, int) or streams < 1):
            raise ValueError(f"streams must be a whole number of at least 1, not {streams!r}")
        if not isinstance(device, str):
            raise TypeError(f'device must be a text such as "cpu", not {device!r}')
        if normalise is not None and len(tuple(normalise)) != 2:
            raise ValueError(f"normalise must be a mean and a divisor, not {normalise!r}")
        files = _chosen({"body": body, "hand": hand, "face": face, "foot": foot}, embedded=whole)
        if hand_detector and "hand" not in files:
            raise ValueError("hand_detector needs a hand network")
        if hand_detector and mode == "zoo":
            raise ValueError('mode "zoo" finds hands where arms end: leave hand_detector out')
        self._hand_detector = hand_detector
        if not {"body", "hand", "face"} & {*files}:
            raise ValueError("a body network, or one of hands or faces, or several are needed")
        if "foot" in files and "body" not in files:
            raise ValueError("feet are looked for where legs end: foot needs a body network")
        self._mode = mode
        rules = "reference" if mode == "zoo" else mode
        self._decode = partial(decode_body, mode=rules, options=options)
        self._options = options
        self._raw_scores = raw_scores or mode != "fast"
        preprocessings = _at_scales(height, fit, max_pixels, scales)
        if mode == "zoo" and (len(preprocessings) > 1 or mirror):
            raise ValueError('mode "zoo" looks at a picture once: leave scales and mirror out')
        self._bounds_pixels = max_pixels is not None
        self._told_of_panorama = False
        self._mirror = mirror
        self._scales = tuple(scales)
        self._stature = stature_at(height)
        tall = self._stature if refine is True else refine
        self._refiner = _refiner(tall, refine_pixels, scales, mirror, mode, options)
        self._decode(*_NO_MAPS)  # what it refuses shall be refused here, not at the first picture

        self._cascade_options: dict[str, dict[str, Any]] = {
            "hand": {"scales": hand_scales, "max_batch": max_batch},
            "face": {"max_batch": max_batch},
            "foot": {"max_batch": max_batch},
        }
        self._engine_options = _by_network(engine_options, vdsp_params)
        self._engine: dict[str, Any] = {
            "backend": backend,
            "device": device,
            "precision": precision,
            "threads": threads,
        }
        self._files = files
        self._normalise = normalise
        self._streams = streams or min(threads or own_cores(), MOST_STREAMS)
        self._opening = Lock()
        self._opened = ExitStack()
        self._networks = self._open(streams or 1)
        self._many = self._networks if streams else None
        if self.info.streams > (streams or 1):  # a card, which has several in flight anyway
            self._many, self._streams = self._networks, self.info.streams
        try:
            network = self._networks.body
            if network is not None and mode == "zoo":
                preprocessings = [zoo_preprocessing(network.fixed_size, network.stride)]
            elif network is not None:
                preprocessings = _for_network(preprocessings, network)
        except ValueError:
            self.close()
            raise
        self._preprocessings = preprocessings

    @property
    def info(self) -> BackendInfo:
        """Engine, device, precision and file of the body network, or of the only one."""
        body = self._networks.body
        return (self._networks.cascades[0] if body is None else body).info

    @property
    def hand_info(self) -> BackendInfo | None:
        """The same of the hand network, or None where no hands are looked for."""
        hands = self._networks.hands
        return None if hands is None else hands.info

    @property
    def face_info(self) -> BackendInfo | None:
        """The same of the face network, or None where no faces are looked for."""
        faces = self._networks.faces
        return None if faces is None else faces.info

    @property
    def foot_info(self) -> BackendInfo | None:
        """The same of the foot network, or None where no feet are looked for."""
        feet = self._networks.feet
        return None if feet is None else feet.info

    def __call__(self, picture: PictureLike | Frame) -> Poses:
        """The people of one picture, best first, in its own pixels.

        `timings` holds the seconds of "preprocess" (reading included), "network" and "decode", and
        of "refine", "hands", "faces" and "feet" where they are asked for. A frame whose people are
        known keeps them. Raises TypeError, ValueError or SourceError for what is no picture,
        BackendError if the engine fails.
        """
        return self._found(picture, self._networks)[1]

    def stream(
        self, source: Given, *, on_error: OnError | None = None, detect_every: int = 1
    ) -> Iterator[Streamed]:
        """The frames of a source, in order, each with its people.

        source    a path, an address, a webcam's number, a `Source`, or any iterable of paths,
                  addresses, pictures and frames. A path may be a picture, a video, a folder, a
                  pattern or a list; one that is given twice gives its frames twice.
        on_error  called with an input that cannot be read (a file found in a folder by its own
                  path) and the SourceError, in order; it gives no frame, and the others go on. Also
                  called for flaws of a source whose other frames come, such as a damaged frame;
                  without it those are warnings.
        detect_every  of videos and cameras: look at whole frames every so many frames, and in
                  between only where people were; see `stages.watch`

        So of pictures `zip(paths, estimator.stream(paths))` gives pairs that belong together.
        Frames are read, resized, looked at and decoded at the same time, by as many threads as the
        engine was given, with networks of their own; see `pipeline`. A few frames are in memory
        at a time. Close the iterator, or leave it to be collected, to end early; what was opened
        here, and a `Source`, is closed with it. A `Source` with a `report` of its own tells its
        errors there.

        Raises TypeError at once for what is no source; where the frame would have come, SourceError
        for an input that cannot be read, and whatever a call raises.
        """
        if on_error is not None and not callable(on_error):
            raise TypeError(f"on_error must be callable, not {type(on_error).__name__}")
        from openpose_ext.stages.inputs import Inputs

        networks = self._for_many()
        watch = self._watch(detect_every, networks)
        return self._streamed(Inputs(source, apart=self._streams > 1), on_error, networks, watch)

    def watch(self, every: int) -> Watch:
        """Finds the people of one video's frames, looking at whole ones every so many frames.

        What `stream` does with `detect_every`, for those who carry frames themselves. Raises
        ValueError for less than a frame, and in modes whose decoder knows no regions.
        """
        return self._watch(every, self._networks)

    def _watch(self, every: int, networks: _Networks) -> Watch:
        if every > 1 and self._mode != "fast":
            raise ValueError(
                f'mode "{self._mode}" knows no regions: detect_every needs mode="fast"'
            )
        return Watch(
            every,
            lambda frame: self._bodies(frame, networks),
            lambda frame, expected: self._look_near(frame, expected, networks),
            lambda frame, people: self._cascade(frame, people, networks),
        )

    def batch(self, pictures: Given, *, on_error: OnError | None = None) -> list[Poses]:
        """The people of each picture, in order, as single calls find them.

        Takes what `stream` takes, and raises as it does.
        """
        return [poses for _, poses in self.stream(pictures, on_error=on_error)]

    def hands(
        self,
        picture: PictureLike,
        boxes: npt.ArrayLike,
        sides: Sequence[Side | None] | None = None,
        angles: Sequence[float | None] | None = None,
    ) -> Floats:
        """The hand of each box, without a body: (N, 21, 3) float32, zeros where there is none.

        boxes   (N, 4): x, y, width, height in pixels of the picture, 1.5 to 2.5 times as large as
                the hand; squares of the longer side are looked at, none below 20 pixels
        sides   "left", "right" or None for each; None tries both, and takes the better
        angles  degrees clockwise from upright in which the fingers point, or None, for each

        Points are x, y in pixels of the picture and a score in (0.05, 1]. Raises ValueError
        without a hand network or if the lengths disagree; else as a call does.
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
        """The face of each box, without a body: (N, 70, 3) float32, zeros where there is none.

        boxes   (N, 4): x, y, width, height in pixels of the picture, 1.3 to 2 times as large as the
                face from brows to chin; squares of the longer side are looked at, none below 20
                pixels
        angles  degrees clockwise from upright in which the forehead points, or None, for each

        Points are x, y in pixels of the picture and a score in (0.05, 1], in the order of FACE_70.
        Raises ValueError without a face network or if the lengths disagree; else as a call does.
        """
        if self._networks.faces is None:
            raise ValueError('this estimator has no face network; make it with face="lite"')
        return self._networks.faces.in_boxes(as_picture(picture), boxes, angles)

    def stages(self, picture: PictureLike | Frame) -> Stages:
        """One picture, with everything on the way to its people.

        Raises ValueError in modes "reference" and "zoo", whose stages are not these; else as a call
        does.
        """
        if self._mode != "fast":
            raise ValueError(
                "the reference decoder works on maps of the picture's size and has other stages; "
                'look inside with mode="fast"'
            )
        frame = _as_frame(picture)
        look = self._look(frame, self._networks)
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
        """Give the networks back. Calls that are under way are finished."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self, streams: int) -> _Networks:
        """The networks, with this many requests in flight; closed with the estimator."""
        files = self._files
        finders: dict[str, type[Cascade]] = {
            "hand": ZooHands if self._mode == "zoo" else HandFinder,
            "face": FaceFinder,
            "foot": FootFinder,
        }
        with ExitStack() as opened:
            found: dict[str, Any] = {
                kind: opened.enter_context(
                    finder.open(
                        files[kind],
                        streams=streams,
                        engine_options=self._engine_options[kind],
                        **self._cascade_options[kind],
                        **self._engine,
                    )
                )
                for kind, finder in finders.items()
                if kind in files
            }
            detector = None
            if self._hand_detector:
                detector = self._detector(found["hand"], streams, opened)
            network = None
            if "body" in files:
                network = BodyNetwork.open(
                    files["body"],
                    normalise=self._normalise,
                    streams=streams,
                    engine_options=self._engine_options["body"],
                    **self._engine,
                )
                opened.enter_context(network)
            self._opened.push(opened.pop_all())
        return _Networks(network, found.get("hand"), found.get("face"), found.get("foot"), detector)

    def _detector(self, hands: HandFinder, streams: int, opened: ExitStack) -> HandDetector:
        """Finds hands by the hand network itself, or by the embedded one where it cannot."""
        if hands.can_detect:
            return HandDetector(hands.network)
        network = HandNetwork.open("lite", streams=streams, **self._engine | {"backend": "auto"})
        return HandDetector(opened.enter_context(network))

    def _for_many(self) -> _Networks:
        """The networks that work on several pictures at once, opened when first needed."""
        with self._opening:
            if self._many is None:
                self._many = self._networks if self._streams == 1 else self._open(self._streams)
            return self._many

    def _streamed(
        self, inputs: Inputs, on_error: OnError | None, networks: _Networks, watch: Watch
    ) -> Iterator[Streamed]:
        from openpose_ext.stages.inputs import Unread

        def work(numbered: tuple[int, Frame | PictureLike | Unread]) -> Streamed | Unread:
            number, one = numbered
            if isinstance(one, Unread):
                watch.missed(number)
                return one
            try:
                return self._found(one, networks, number, watch)
            except SourceError as error:
                return Unread(_name_of(one), error)

        workers = workers_for(self._streams, waiting=watch.waits)
        with (
            closing(iter(inputs)) as items,
            closing(overlapped(enumerate(items), work, workers, stop=inputs.stop)) as results,
        ):
            for result in results:
                if not isinstance(result, Unread):
                    yield result
                elif on_error is not None:
                    on_error(result.name, result.error)
                elif result.partly:
                    warnings.warn(str(result.error), stacklevel=2)
                else:
                    raise result.error

    def _found(
        self,
        picture: PictureLike | Frame,
        networks: _Networks,
        index: int = 0,
        watch: Watch | None = None,
    ) -> Streamed:
        """A picture and its people; `index` numbers one without a file or a frame of its own."""
        start = perf_counter()
        try:
            frame = _as_frame(picture, index)
        except BaseException:
            if watch is not None:
                watch.missed(index)
            raise
        if frame.poses is not None:
            if watch is not None:
                watch.missed(index)
            return frame, frame.poses
        reading = perf_counter() - start
        if watch is None or networks.body is None:
            people = self._cascade(frame, self._bodies(frame, networks), networks)
        else:
            people = watch(index, frame)
        timings = dict(people.timings)
        timings["preprocess"] += reading
        return frame, replace(people, timings=timings)

    def _bodies(self, frame: Frame, networks: _Networks) -> Poses:
        """The people of one picture; nobody where hands are all that is looked for."""
        if networks.body is None and networks.detector is not None:
            timings = dict.fromkeys(("preprocess", "network", "decode"), 0.0)
            return replace(Poses.empty(frame.size), timings=timings)
        return self._look(frame, networks).people

    def _look(self, frame: Frame, networks: _Networks) -> _Look:
        """The order of the stages for one picture."""
        start = perf_counter()
        body = networks.need_body()
        inputs = self._inputs(frame)
        seen = perf_counter()
        answers = passes(inputs, body)
        answered = perf_counter()
        heat, paf, geometry = merge(answers, body.topology)
        people = self._decode(heat, paf, topology=body.topology, geometry=geometry)
        decoded = perf_counter()
        timings = {
            "preprocess": seen - start,
            "network": answered - seen,
            "decode": decoded - answered,
        }
        if self._refiner is not None:
            pixels = sum(math.prod(one.geometry.network) for one in inputs)
            people = self._refiner(frame, people, Pass(heat, paf, geometry), pixels, body)
            timings["refine"] = perf_counter() - decoded
        people = replace(self._calibrated(people, body), timings=timings)
        return _Look(inputs[0].image, geometry, heat, paf, people)

    def _cascade(self, frame: Frame, people: Poses, networks: _Networks) -> Poses:
        """The same people with their hands, faces and feet, as far as these are looked for."""
        timings = dict(people.timings)
        begun = perf_counter()
        parts: dict[str, Any] = {}
        if networks.hands is not None:
            parts["hands"] = networks.hands.of_people(frame.image, people)
            if networks.detector is not None:
                alone = networks.hands.anywhere(frame.image, networks.detector, parts["hands"])
                people = people.followed_by(_of_hands(alone, people))
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

    def _calibrated(self, people: Poses, body: BodyNetwork) -> Poses:
        if body.calibration is None or self._raw_scores:
            return people
        return body.calibration(people)

    def _look_near(self, frame: Frame, expected: Poses, networks: _Networks) -> Poses | None:
        """The people near those expected; None where looking at the whole frame is as cheap."""
        start = perf_counter()
        body = networks.need_body()
        whole = sum(math.prod(one.input_size(frame.size)) for one in self._preprocessings)
        whole *= 2 if self._mirror else 1
        if self._refiner is not None:
            sure = self._refiner.pixels * whole
            people = self._refiner.alone(frame, expected, sure, self._refiner.stature, body)
        else:
            tall = self._stature
            near = Refiner(tall, 1.0, self._scales, self._mirror, self._options or DecodeOptions())
            # From nearer where that is cheap, else as near as the whole frame is seen.
            people = near.alone(frame, expected, _CHEAP * whole, tall, body)
            if people is None:
                scale = max(self._preprocessings, key=lambda one: one.height)
                factor = scale.input_size(frame.size)[1] / frame.size[1]
                shown = float(np.median(np.ptp(expected.keypoints[..., 1], axis=1)))
                people = near.alone(frame, expected, _WORTH * whole, max(factor * shown, 8), body)
        if people is None:
            return None
        people = self._calibrated(people, body)
        timings = {"preprocess": 0.0, "network": perf_counter() - start, "decode": 0.0}
        return replace(people, timings=timings)

    def _tell_of_panorama(self, frame: Frame) -> None:
        """Warn, once, of a picture so long that `max_pixels` makes it smaller."""
        asked = self._preprocessings[0]
        if asked.fixed_size is not None or self._bounds_pixels:
            return
        seen = asked.content_size(frame.size)[1]
        if seen < asked.height:
            self._told_of_panorama = True
            width, height = frame.size
            warnings.warn(
                f"{frame.source or 'a picture'} of {width} x {height} pixels is so long that the "
                f"network sees it {seen} instead of {asked.height} pixels high (max_pixels); "
                "people may be too small in it, and cutting it into pieces helps",
                SourceWarning,
                stacklevel=2,
            )

    def _inputs(self, frame: Frame) -> list[NetworkInput]:
        """The network's inputs of a picture: by scale, each straight and perhaps mirrored."""
        if not self._told_of_panorama:
            self._tell_of_panorama(frame)
        inputs = []
        for preprocess in self._preprocessings:
            too_large = _too_large(preprocess.input_size(frame.size))
            if too_large:
                raise SourceError(f"{frame.source or 'the picture'}: {too_large}")
            straight = NetworkInput(*preprocess(frame))
            inputs += [straight, straight.mirror_image()] if self._mirror else [straight]
        return inputs


class _Look(NamedTuple):
    """What was seen of a picture; see `Stages`."""

    input: Picture
    geometry: Geometry
    heat: Floats
    paf: Floats
    people: Poses


class _Networks(NamedTuple):
    """Networks that are opened alike."""

    body: BodyNetwork | None
    hands: HandFinder | None
    faces: FaceFinder | None
    feet: FootFinder | None
    detector: HandDetector | None

    @property
    def cascades(self) -> list[Cascade]:
        return [one for one in (self.hands, self.faces, self.feet) if one is not None]

    def need_body(self) -> BodyNetwork:
        if self.body is None:
            raise ValueError(
                "this estimator has no body network: only `hands` and `faces` can be asked"
            )
        return self.body


def _of_hands(hands: Floats, like: Poses) -> Poses:
    """People of whom one hand each (N, 2, 21, 3) is all there is; their score is its mean."""
    count, parts = len(hands), len(like.topology.parts)
    seen = hands[..., 2].sum(axis=(1, 2)) / np.maximum((hands[..., 2] > 0).sum(axis=(1, 2)), 1)
    return Poses(
        np.zeros((count, parts, 3), np.float32),
        seen.astype(np.float32),
        np.zeros((count, parts), np.bool_),
        like.topology,
        like.size,
    )


def _name_of(picture: PictureLike | Frame) -> str | PathLike[str]:
    if isinstance(picture, Frame):
        return picture.source
    return picture if isinstance(picture, (str, PathLike)) else ""


def _as_frame(picture: PictureLike | Frame, index: int = 0) -> Frame:
    if isinstance(picture, Frame):
        return picture
    if isinstance(picture, (str, PathLike)):
        return Frame(as_picture(picture), os.fspath(picture))
    return Frame(as_picture(picture), index=index)


def _chosen(
    networks: Mapping[str, str | PathLike[str] | None], *, embedded: bool
) -> dict[str, str | PathLike[str]]:
    """The networks that are wanted, by kind; with `embedded` what is not given comes with us."""
    given = {kind: "lite" if embedded and one is None else one for kind, one in networks.items()}
    return {kind: one for kind, one in given.items() if one is not None and one != "none"}


def _by_network(
    options: Mapping[str, Any] | None, vdsp_params: str | PathLike[str] | None
) -> dict[str, dict[str, Any]]:
    """The engine's options of each network."""
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"engine_options must be a mapping, not {type(options).__name__}")
    shared = dict(options or {})
    own = {name: shared.pop(name, None) for name in KINDS}
    if vdsp_params is not None:
        warnings.warn(
            'vdsp_params is deprecated; give engine_options={"body": {"vdsp_params": ...}}',
            DeprecationWarning,
            stacklevel=3,
        )
        own["body"] = {"vdsp_params": vdsp_params, **check_engine_options(own["body"])}
    common = check_engine_options(shared)
    return {name: common | check_engine_options(one) for name, one in own.items()}


def _for_network(preprocessings: list[Preprocessing], network: BodyNetwork) -> list[Preprocessing]:
    """The same with the network's stride and size. Raises ValueError for scales it cannot take."""
    size = network.fixed_size
    if size is not None and len(preprocessings) > 1:
        raise ValueError(
            f"the network takes pictures of {size[0]} x {size[1]} only, so there are no scales to "
            "choose from"
        )
    for one in preprocessings if size is None else ():
        too_large = _too_large((one.height, one.height))
        if too_large:
            raise ValueError(f"height {one.height}: {too_large}")
        if one.height < _FEWEST_CELLS * network.stride:
            warnings.warn(
                f"height {one.height}: nobody is large enough to be found in {one.height} network "
                f"pixels; {HEIGHT} is usual",
                stacklevel=4,
            )
    return [replace(one, stride=network.stride, fixed_size=size) for one in preprocessings]


def _too_large(size: Size) -> str:
    """Why there is no memory for a network input of (width, height); empty if there is."""
    memory, needed = own_memory(), math.prod(size) * _BYTES_A_PIXEL
    if memory is None or needed <= memory:
        return ""
    return (
        f"a network input of {size[0]} x {size[1]} pixels takes {needed / 1e9:.0f} GB, and there "
        f"are {memory / 1e9:.0f} GB of memory; {HEIGHT} is the usual height"
    )


def _refiner(
    stature: float,
    pixels: float,
    scales: Sequence[float],
    mirror: bool,
    mode: str,
    options: DecodeOptions | None,
) -> Refiner | None:
    """The second look that is asked for. Raises ValueError for one that there is not."""
    refiner = Refiner(stature or STATURE, pixels, tuple(scales), mirror, options or DecodeOptions())
    if stature is False:
        return None
    if not stature > 0:
        raise ValueError(f"refine must be True, False or a height in pixels, not {stature!r}")
    if mode != "fast":
        raise ValueError(f'mode "{mode}" knows no second look: refine needs mode="fast"')
    return refiner


def _at_scales(
    height: int, fit: Fit, max_pixels: int | None, scales: Sequence[float]
) -> list[Preprocessing]:
    """The preprocessing of each scale. The bound on pixels grows with the scale's square."""
    if not scales or not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise ValueError(f"scales must be positive numbers, at least one, not {scales!r}")
    base = Preprocessing(height=height, fit=fit, max_pixels=max_pixels)
    bound = base.height**2 * LONGEST if max_pixels is None else max_pixels
    # No bound is smaller than a map cell, which Preprocessing would refuse.
    least = base.stride**2
    return [
        replace(
            base,
            height=max(1, round(height * scale)),
            max_pixels=max(least, round(bound * scale**2)),
        )
        for scale in scales
    ]

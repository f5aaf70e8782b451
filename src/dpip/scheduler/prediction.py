"""What jobs will cost: assumed at first, then learned from those that are done."""

import math
from collections.abc import Mapping
from typing import Annotated, Self

import msgspec
import structlog
from msgspec import Meta, Struct

from dpip.model.cost import Cost, Prediction
from dpip.model.image import PictureFormat, PictureHeader
from dpip.scheduler.assumptions import PROCESS_BYTES, Parts, parts_of
from dpip.scheduler.least_squares import LeastSquares
from dpip.scheduler.numbered import Numbered

log = structlog.get_logger()

_MOST_KINDS, _MOST_PROCESSORS = 512, 64
_MANY, _ONE_IN = 500, 8
_DEVIATIONS = 3.0
_FLOAT_BYTES = 4
_MOST_MEMORY = 2**53
_MOST_MILLISECONDS = 1e9
_MOST_PACE = math.log(64)
_PACE_MEMORY = 0.05

Jobs = Annotated[int, Meta(ge=0)]
Processor = Annotated[str, Meta(max_length=96)]


class Kind(Struct, frozen=True):
    """Jobs that are learned of together: those with the same ``filters``, by name and in order.

    Without a ``processor`` it is those of all workers, without ``filters`` those of a format.
    """

    filters: Annotated[str, Meta(max_length=1024)]
    format: PictureFormat
    processor: Processor = ""


class Learned(Struct, frozen=True, kw_only=True, tag="kind"):
    """What ``jobs`` jobs of a kind have taught."""

    kind: Kind
    cpu: LeastSquares
    memory: LeastSquares
    jobs: Jobs = 0

    def begin(self, kind: Kind, *, slower: float) -> "Learned":
        """What is known of another ``kind`` by this one, which is ``slower`` times as slow."""
        return Learned(
            kind=kind,
            cpu=self.cpu.doubted(slower),
            memory=self.memory.doubted(1.0),
            jobs=self.jobs,
        )


class Pace(Struct, frozen=True, kw_only=True, tag="pace"):
    """How fast ``jobs`` jobs were on a processor: 0 for as fast as expected, else a logarithm."""

    processor: Processor
    log_speed: Annotated[float, Meta(ge=-_MOST_PACE, le=_MOST_PACE)] = 0.0


_ANY_FILTERS = ""
_CPU, _MEMORY = LeastSquares.of(3), LeastSquares.of(2)
_decoder: msgspec.json.Decoder[Learned | Pace] = msgspec.json.Decoder(Learned | Pace)


class CostModel:
    """Predicts what jobs take on a class of workers, those of one processor, and learns from jobs.

    Levels, each of which begins with what the one before knows: what DPIP assumes; all jobs of a
    format; those with the same filters; those on one processor. What is kept is bounded: the kind
    that no job has been of for longest is forgotten.
    """

    def __init__(self) -> None:
        self._kinds: Numbered[Kind, Learned] = Numbered("kind", _MOST_KINDS)
        self._paces: Numbered[str, Pace] = Numbered("pace", _MOST_PROCESSORS)
        self._average_pace = 0.0
        self._finished = 0

    @classmethod
    def restore(cls, kept: Mapping[str, str]) -> Self:
        """The model that ``changed`` told of; what of it cannot be read is passed over."""
        model = cls()
        passed_over = [name for name, content in kept.items() if not model._restore(name, content)]
        model._average_paces()
        if passed_over:
            log.warning(
                "part of what was learned of costs cannot be read", entries=len(passed_over)
            )
        return model

    def changed(self) -> dict[str, str]:
        """What is to be kept since this was last asked: JSON by the key whose value it replaces."""
        values = {**self._kinds.changed(), **self._paces.changed()}
        return {key: msgspec.json.encode(value).decode() for key, value in values.items()}

    def predict(
        self,
        pipeline: bytes,
        header: PictureHeader,
        size: int,
        processor: str = "",
        *,
        gpu: bool = False,
    ) -> Prediction:
        """What a picture of ``size`` bytes will take on a worker with ``processor``.

        Memory is what is expected and some deviations more. On a ``gpu`` the picture and its result
        are held as floats of 32 bits. Raises ``InvalidValue`` if ``pipeline`` is none.
        """
        parts = parts_of(pipeline, header, size)
        learned = self._kinds.get(Kind(parts.filters, header.format, processor))
        speed = 1.0
        if learned is None:
            learned, speed = self._everywhere(parts.filters, header.format), self.speed(processor)
        milliseconds = learned.cpu.expect(parts.cpu) / speed
        memory = learned.memory.expect(parts.memory)
        memory *= 1 + _DEVIATIONS * learned.memory.deviation
        return Prediction(
            cpu_milliseconds=min(milliseconds, _MOST_MILLISECONDS),
            memory=min(int(max(memory, PROCESS_BYTES)), _MOST_MEMORY),
            gpu_memory=min(2 * _FLOAT_BYTES * header.pixels * header.bands, _MOST_MEMORY) * gpu,
            learned_from=learned.jobs,
        )

    def learn(
        self, pipeline: bytes, header: PictureHeader, size: int, processor: str, cost: Cost
    ) -> None:
        """Take in what a job has taken on a worker with ``processor``.

        Of a kind that many have taught, one job in a few does as well, at that part of the cost.
        Raises ``InvalidValue`` if ``pipeline`` is none.
        """
        parts = parts_of(pipeline, header, size)
        everywhere = self._everywhere(parts.filters, header.format)
        self._finished += 1
        if everywhere.jobs >= _MANY and self._finished % _ONE_IN:
            return
        if processor:
            self._learn_pace(processor, everywhere.cpu.expect(parts.cpu), cost.cpu_milliseconds)
            self._learn(self._on(processor, everywhere), parts, cost.cpu_milliseconds, cost.memory)
        averaged = cost.cpu_milliseconds * self.speed(processor)
        for known in (everywhere, self._everywhere(_ANY_FILTERS, header.format)):
            self._learn(known, parts, averaged, cost.memory)

    def speed(self, processor: str) -> float:
        """How many times as fast as the fleet ``processor`` does the same jobs; 1 if unknown."""
        pace = self._paces.get(processor)
        return math.exp(pace.log_speed - self._average_pace) if pace else 1.0

    def processors(self) -> list[str]:
        """Those that jobs were done on."""
        return sorted(pace.processor for pace in self._paces.values())

    def _everywhere(self, filters: str, format: PictureFormat) -> Learned:  # noqa: A002
        kind = Kind(filters, format)
        if known := self._kinds.get(kind):
            return known
        if any_filters := self._kinds.get(Kind(_ANY_FILTERS, format)):
            return any_filters.begin(kind, slower=1.0)
        return Learned(kind=kind, cpu=_CPU, memory=_MEMORY)

    def _on(self, processor: str, everywhere: Learned) -> Learned:
        kind = Kind(everywhere.kind.filters, everywhere.kind.format, processor)
        known = self._kinds.get(kind)
        return known or everywhere.begin(kind, slower=1 / self.speed(processor))

    def _learn(self, known: Learned, parts: Parts, milliseconds: float, memory: int) -> None:
        learned = Learned(
            kind=known.kind,
            cpu=known.cpu.learned(parts.cpu, milliseconds),
            memory=known.memory.learned(parts.memory, float(memory)),
            jobs=known.jobs + 1,
        )
        self._kinds.set(learned.kind, learned)

    def _learn_pace(self, processor: str, expected: float, observed: float) -> None:
        if not 0 < observed < math.inf:
            return
        known = self._paces.get(processor) or Pace(processor=processor)
        seen = min(max(math.log(expected / observed), -_MOST_PACE), _MOST_PACE)
        log_speed = known.log_speed + _PACE_MEMORY * (seen - known.log_speed)
        self._paces.set(processor, Pace(processor=processor, log_speed=log_speed))
        self._average_paces()

    def _average_paces(self) -> None:
        paces = self._paces.values()
        self._average_pace = sum(pace.log_speed for pace in paces) / max(1, len(paces))

    def _restore(self, name: str, content: str) -> bool:
        try:
            value = _decoder.decode(content)
        except (msgspec.DecodeError, UnicodeError):
            return False
        if isinstance(value, Pace):
            return self._paces.restore(name, value.processor, value)
        if value.cpu.parts != _CPU.parts or value.memory.parts != _MEMORY.parts:
            return False
        return self._kinds.restore(name, value.kind, value)

"""A picture of a run: who works for whom, and when."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape

from dpip.simulation.scenario import Scenario
from dpip.simulation.simulated_worker import Ended
from dpip.simulation.world import World

MOST_JOBS = 5000
"""Beyond that nobody can tell one box from the next."""

_COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee8866", "#aa3377", "#7a5230", "#b9a6e0")
_INTERACTIVE = "#d00000"
_INK, _PAPER, _AWAY, _BROKEN_OFF = "#222222", "#ffffff", "#ececec", "#b5b5b5"
_WIDTH, _LEFT, _RIGHT, _TOP = 1200, 150, 24, 84
_LANE, _GAP, _LEAST_ROW, _SHARES_HEIGHT, _BETWEEN = 6, 4, 10, 130, 46
_COLUMNS = 150
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

Box = tuple[float, float, float, float]


def plot(scenario: Scenario, world: World) -> str:
    """Return an SVG of a run whose attempts were kept.

    Above, a row is a worker with a lane for each slot, and a box an attempt in the colour of its
    user. Below is how many slots worked for whom.
    """
    return _Plot(scenario, world).svg()


class _Plot:
    def __init__(self, scenario: Scenario, world: World) -> None:
        self._scenario = scenario
        self._runs, self._broken_off = world.runs, world.broken_off
        self._until = max(world.ended)
        self._scale = (_WIDTH - _LEFT - _RIGHT) / self._until
        self._tops: dict[str, int] = {}
        bottom = _TOP
        for worker in scenario.workers:
            self._tops[worker.name] = bottom
            bottom += max(_LEAST_ROW, worker.slots * _LANE) + _GAP
        self._bottom = bottom
        self._shares_top = bottom + _BETWEEN
        self._height = self._shares_top + _SHARES_HEIGHT + _BETWEEN

    def svg(self) -> str:
        """Everything, from the back to the front."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {self._height}" '
                f'font-family="sans-serif" font-size="12" fill="{_INK}">',
                f'<rect width="{_WIDTH}" height="{self._height}" fill="{_PAPER}"/>',
                *self._title(),
                *self._legend(),
                *self._workers(),
                *self._boxes(),
                *self._shares(),
                *self._axis(self._bottom),
                *self._axis(self._shares_top + _SHARES_HEIGHT),
                "</svg>\n",
            ]
        )

    def _title(self) -> Iterator[str]:
        scenario = self._scenario
        title = (
            f"{len(scenario.jobs)} pictures on {len(scenario.workers)} workers, seed "
            f"{scenario.seed}: done after {self._until:.1f} s"
        )
        yield f'<text x="{_LEFT}" y="24" font-size="16">{title}</text>'

    def _legend(self) -> Iterator[str]:
        labels = [
            (_COLOURS[place % len(_COLOURS)], f"batch {place + 1}, weight {user.weight}")
            for place, user in enumerate(self._scenario.users)
            if not user.is_interactive
        ]
        labels += [(_INTERACTIVE, "single pictures"), (_BROKEN_OFF, "lost"), (_AWAY, "worker away")]
        for number, (colour, label) in enumerate(labels):
            x, y = _LEFT + number % 6 * 165, 36 + number // 6 * 18
            yield f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>'
            yield f'<text x="{x + 18}" y="{y + 10}">{escape(label)}</text>'

    def _workers(self) -> Iterator[str]:
        for worker in self._scenario.workers:
            top, height = self._tops[worker.name], worker.slots * _LANE
            label = f"{worker.name}, speed {worker.machine.speed:.1f}"
            middle = top + height / 2 + 3
            yield (
                f'<text x="{_LEFT - 8}" y="{middle}" font-size="11" text-anchor="end">'
                f"{label}</text>"
            )
            away = [
                (before.ends, after.begins)
                for before, after in zip(worker.lives, worker.lives[1:], strict=False)
                if before.ends < self._until
            ]
            boxes = [
                (self._x(gone), top, self._x(min(back, self._until)) - self._x(gone), height)
                for gone, back in away
            ]
            yield _path(_AWAY, boxes)

    def _boxes(self) -> Iterator[str]:
        boxes: dict[str, list[Box]] = defaultdict(list)
        for run, died_at in self._broken_off:
            boxes[_BROKEN_OFF].append(self._box(run, died_at))
        for run in self._runs:
            boxes[self._colour(run)].append(self._box(run, _ended_at(run)))
        # The few single ones lie on top.
        for colour in sorted(boxes, key=lambda colour: colour == _INTERACTIVE):
            yield _path(colour, boxes[colour])

    def _box(self, run: Ended, until: float) -> Box:
        begins = self._x(run.started_at)
        width = max(0.5, self._x(until) - begins - 0.3)
        top = self._tops[run.worker.plan.name] + run.slot * _LANE
        return begins, top, width, _LANE - 1

    def _shares(self) -> Iterator[str]:
        """Slots that work for each user, in columns of time, one user upon the other."""
        seconds = self._until / _COLUMNS
        slots: dict[str, list[float]] = defaultdict(lambda: [0.0] * _COLUMNS)
        for run in self._runs:
            first = int(run.started_at / seconds)
            last = min(_COLUMNS - 1, int(_ended_at(run) / seconds))
            for column in range(first, last + 1):
                begins = max(run.started_at, column * seconds)
                ends = min(_ended_at(run), (column + 1) * seconds)
                slots[self._colour(run)][column] += (ends - begins) / seconds
        all_slots = sum(worker.slots for worker in self._scenario.workers)
        per_slot = _SHARES_HEIGHT / all_slots
        width = (_WIDTH - _LEFT - _RIGHT) / _COLUMNS
        below = [0.0] * _COLUMNS
        for colour in [*_COLOURS, _INTERACTIVE]:
            boxes = []
            for column, count in enumerate(slots.get(colour, ())):
                below[column] += count
                top = self._shares_top + _SHARES_HEIGHT - below[column] * per_slot
                if count:
                    boxes.append((_LEFT + column * width, top, width + 0.1, count * per_slot))
            yield _path(colour, boxes)
        x = _LEFT - 8
        yield f'<text x="{x}" y="{self._shares_top + 8}" text-anchor="end">{all_slots} slots</text>'
        yield f'<text x="{x}" y="{self._shares_top + _SHARES_HEIGHT}" text-anchor="end">0</text>'

    def _axis(self, y: int) -> Iterator[str]:
        step = next((tick for tick in _TICKS if self._until / tick <= 16), self._until)
        yield (
            f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="{_INK}" stroke-width="1" '
            'fill="none"/>'
        )
        for number in range(int(self._until / step) + 1):
            x = self._x(number * step)
            yield f'<path d="M{x:.1f} {y}v5" stroke="{_INK}" stroke-width="1" fill="none"/>'
            label = f"{number * step:g}"
            yield f'<text x="{x:.1f}" y="{y + 18}" text-anchor="middle">{label}</text>'
        yield f'<text x="{_LEFT - 8}" y="{y + 18}" text-anchor="end">seconds</text>'

    def _x(self, seconds: float) -> float:
        return _LEFT + seconds * self._scale

    def _colour(self, run: Ended) -> str:
        owner = self._scenario.owner(int(run.lease.job_id))
        if self._scenario.users[owner].is_interactive:
            return _INTERACTIVE
        return _COLOURS[owner % len(_COLOURS)]


def _ended_at(run: Ended) -> float:
    return run.started_at + run.cost.milliseconds / 1000


def _path(colour: str, boxes: Sequence[Box]) -> str:
    """Many boxes of one colour, as short as can be."""
    shapes = "".join(
        f"M{x:.1f} {y:.4g}h{width:.1f}v{height:.3g}h-{width:.1f}z" for x, y, width, height in boxes
    )
    return f'<path fill="{colour}" d="{shapes}"/>' if boxes else ""

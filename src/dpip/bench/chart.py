"""A comparison as a picture for documents: bars by the limit's speed, with their spread, in SVG."""

from collections.abc import Iterator, Sequence
from html import escape

from dpip.bench.contest import Comparison, Result

_NAMES, _BARS, _LABELS = 150, 460, 190
_ROW, _GAP, _TOP = 20, 34, 40
_TICKS = (0, 0.25, 0.5, 0.75, 1)
_COLOURS = {"limit": "#8a8f98", "dpip": "#1f6feb"}
_OTHERS = "#c9a227"
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}"
    ".title{font-weight:600}.tick{fill:#57606a;text-anchor:middle}.name{text-anchor:end}"
)


def draw(comparisons: Sequence[Comparison], title: str) -> str:
    """The SVG document: a group of bars a comparison, each bar a contender's speed by the limit's.

    A thin line spans from the slowest to the fastest round.
    """
    rows = sum(len(comparison.results) for comparison in comparisons)
    height = _TOP + rows * _ROW + len(comparisons) * _GAP + _ROW
    width = _NAMES + _BARS + _LABELS
    longest = max(
        (result.of_limit.most for each in comparisons for result in each.results), default=1.0
    )
    scale = _BARS / max(1.0, longest)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text class="title" x="10" y="20">{escape(title)}</text>',
        *_axis(scale, height),
    ]
    y = _TOP
    for comparison in comparisons:
        y += _GAP
        heading = f"{comparison.mix}, {comparison.filter}"
        parts.append(f'<text class="title" x="10" y="{y - 10}">{escape(heading)}</text>')
        for result in comparison.results:
            parts += _bar(result, y, scale)
            y += _ROW
    return "\n".join([*parts, "</svg>", ""])


def _axis(scale: float, height: int) -> Iterator[str]:
    for tick in _TICKS:
        x = _NAMES + tick * scale
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - _ROW}" stroke="#d0d7de"/>'
        )
        yield f'<text class="tick" x="{x:.1f}" y="{height - 5}">{tick:g}</text>'


def _bar(result: Result, y: int, scale: float) -> Iterator[str]:
    share, rate = result.of_limit, result.pictures_per_second.median
    middle = y + _ROW / 2
    end = _NAMES + max(share.most, share.median) * scale
    colour = _COLOURS.get(result.name, _OTHERS)
    yield f'<text class="name" x="{_NAMES - 8}" y="{middle + 4}">{escape(result.name)}</text>'
    yield (
        f'<rect x="{_NAMES}" y="{y + 3}" width="{share.median * scale:.1f}" height="{_ROW - 6}" '
        f'fill="{colour}"/>'
    )
    yield (
        f'<line x1="{_NAMES + share.least * scale:.1f}" x2="{_NAMES + share.most * scale:.1f}" '
        f'y1="{middle}" y2="{middle}" stroke="#24292f"/>'
    )
    label = f"{share.median:.2f}, {rate:.1f} pictures/s"
    yield f'<text x="{end + 6:.1f}" y="{middle + 4}">{label}</text>'

"""Label-budget curves to explore, for JupyterLab and for a page without a server: HTML with one SVG in it.

Pointing at a point, or moving to it by keys (tab to a curve, arrows along it), shows its numbers; the legend hides and
shows arms. All but the arrow keys is done by the style sheet.
"""

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import MaxNLocator

from emo_ssl.core.metrics import OVERALL
from emo_ssl.evidence import lookup
from emo_ssl.figures import style
from emo_ssl.figures.tables import typeset

if TYPE_CHECKING:
    from IPython.display import HTML

# In units of the drawing, which takes the whole width of a phone: letters are then 9 of its pixels high
WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM = 520, 300, 52, 16, 34, 48
DODGE, NEAR = 8, 7  # arms stand so far apart that the pointer can come as near to each mark
DASHES = {"-": (), "--": (7, 4), "-.": (8, 3, 2, 3), ":": (2, 3)}
STYLE = f"""
.emo-curves {{ background: {style.PAPER}; border-radius: 4px; color: {style.INK}; margin: 0; max-width: 40rem;
  padding: 0.5rem; }}
.emo-curves > figcaption {{ color: {style.INK} !important; }}
.emo-curves label {{ display: inline-block; margin-right: 1rem; }}
.emo-curves svg {{ display: block; font: 14px sans-serif; height: auto; width: 100%; }}
.emo-curves label svg {{ display: inline; height: 0.8em; width: 2.2em; }}
.emo-curves .point {{ outline: none; }}
.emo-curves .numbers, .emo-curves .ring {{ opacity: 0; }}
.emo-curves .numbers {{ pointer-events: none; }}
.emo-curves .point:is(:hover, :focus) :is(.numbers, .ring) {{ opacity: 1; }}
.emo-curves svg:has(.point:hover) .point:focus:not(:hover) .numbers {{ opacity: 0; }}
.emo-curves svg:has(.point:is(:hover, :focus)) .hint {{ opacity: 0; }}
"""
ALONG = (
    "const points = [...this.querySelectorAll('.point')], step = {ArrowRight: 1, ArrowLeft: -1}[event.key];"
    "const next = step && points[points.indexOf(event.target) + step];"
    "if (next) { next.focus(); event.preventDefault(); }"
)


def interactive_curves(evidence: dict, arms: Sequence[str], caption: str = "") -> "HTML":
    """The headline that arms reach at every label budget, with bands of intervals."""
    from IPython.display import HTML

    metric = evidence["headline"]
    found = {arm: lookup.levels(evidence, arm, metric, OVERALL).dropna(subset="estimate") for arm in arms}
    found = {arm: rows for arm, rows in found.items() if len(rows)}
    chance, budgets = lookup.baseline(evidence, metric, OVERALL), evidence["budgets"]
    values = [chance, *(v for rows in found.values() for v in rows[lookup.INTERVAL].to_numpy().flat)]
    ticks = MaxNLocator(5).tick_values(np.nanmin(values), np.nanmax(values))
    span = math.log(max(budgets) / min(budgets)) or 1.0

    def x(budget: float) -> float:
        return LEFT + 12 + (WIDE - LEFT - RIGHT - 24) * math.log(budget / min(budgets)) / span

    def y(value: float) -> float:
        return TOP + (HIGH - TOP - BOTTOM) * (ticks[-1] - value) / (ticks[-1] - ticks[0])

    unit, measure = f"labelled {lookup.unit(evidence)}", lookup.MEASURES[metric]
    drawn = [axes(x, y, budgets, ticks, chance, unit)]
    for i, (arm, rows) in enumerate(found.items()):
        aside = DODGE * (i - (len(found) - 1) / 2)
        drawn.append(curve(arm, rows, lambda budget, aside=aside: x(budget) + aside, y))
    words = f"Curves of {measure} over the number of {unit}: {', '.join(map(name_of, found))}. Tab and arrow keys move."
    return HTML(
        f'<figure class="emo-curves"><style>{STYLE}{"".join(map(hide, found))}</style>'
        f'<div role="group" aria-label="Curves to show">{"".join(map(key, found))}</div>'
        f'<svg viewBox="0 0 {WIDE} {HIGH}" role="group" aria-label="{html.escape(words)}">{"".join(drawn)}'
        f'<text class="hint" x="{LEFT}" y="18" aria-hidden="true">{measure}: point at a mark to read it</text></svg>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def name_of(arm: str) -> str:
    return html.escape(lookup.NAMES.get(arm, arm))


def hide(arm: str) -> str:
    """The rule that takes a curve away once its box in the legend is empty."""
    return f'.emo-curves:has([value="{arm}"]:not(:checked)) [data-arm="{arm}"] {{ display: none; }}\n'


def line_of(arm: str) -> str:
    look = style.ARMS[arm]
    dash = DASHES.get(look["linestyle"]) if isinstance(look["linestyle"], str) else look["linestyle"][1]
    return f'fill="none" stroke="{look["color"]}" stroke-width="2" stroke-dasharray="{" ".join(map(str, dash))}"'


def marker(arm: str, place: tuple[float, float], size: float = 10) -> str:
    look = style.ARMS[arm]
    shape = MarkerStyle(look["marker"] or "d")
    outline = shape.get_path().transformed(shape.get_transform()).to_polygons()[0] * (size, -size) + place
    return f'<polygon points="{points(outline)}" fill="{look["color"]}" stroke="{style.PAPER}"/>'


def points(places: np.ndarray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in places)


def key(arm: str) -> str:
    """A box of the legend, with a piece of the arm's line."""
    line = f'<polyline points="0,6 30,6" {line_of(arm)}/>{marker(arm, (15, 6))}'
    return (
        f'<label><input type="checkbox" checked value="{arm}"> '
        f'<svg viewBox="0 0 30 12" aria-hidden="true">{line}</svg> {name_of(arm)}</label>'
    )


def axes(x, y, budgets: Sequence[int], ticks: np.ndarray, chance: float, unit: str) -> str:
    across = f'x1="{LEFT}" x2="{WIDE - RIGHT}"'
    parts = [f'<line {across} y1="{y(t):.1f}" y2="{y(t):.1f}" stroke="{style.PALE}"/>' for t in ticks]
    parts += [
        f'<text x="{LEFT - 6}" y="{y(t) + 5:.1f}" text-anchor="end">{typeset(f"{round(t, 6):g}")}</text>' for t in ticks
    ]
    for budget in style.written(budgets, 0.098):
        parts.append(f'<text x="{x(budget):.1f}" y="{HIGH - BOTTOM + 20}" text-anchor="middle">{budget}</text>')
    if math.isfinite(chance):
        dashes = f'stroke="{style.GREY}" stroke-dasharray="5 5"'
        parts.append(f'<line {across} y1="{y(chance):.1f}" y2="{y(chance):.1f}" {dashes}/>')
    parts.append(f'<text x="{(LEFT + WIDE) / 2}" y="{HIGH - 8}" text-anchor="middle">{unit}</text>')
    return f'<g aria-hidden="true" fill="{style.INK}">{"".join(parts)}</g>'


def curve(arm: str, rows: pd.DataFrame, x, y) -> str:
    """A band for the interval, a line, and for each point its mark and its numbers, shown when one comes to it."""
    sure = rows.dropna(subset=["low", "high"])
    ends = [*zip(sure["budget"], sure["low"], strict=True), *list(zip(sure["budget"], sure["high"], strict=True))[::-1]]
    band = points(np.array([(x(b), y(v)) for b, v in ends]).reshape(-1, 2))
    middle = [(x(b), y(v)) for b, v in zip(rows["budget"], rows["estimate"], strict=True)]
    drawn = [
        f'<polygon points="{band}" fill="{style.ARMS[arm]["color"]}" opacity="0.15" pointer-events="none"/>',
        f'<polyline points="{points(np.array(middle))}" {line_of(arm)}/>',
    ]
    for number, (place, row) in enumerate(zip(middle, rows.itertuples(), strict=True)):
        known = math.isfinite(row.low) and math.isfinite(row.high)
        interval = f" ({row.low:.3f} to {row.high:.3f})" if known else ""
        words = typeset(f"{name_of(arm)}, {row.budget} labels: {row.estimate:.3f}{interval}")
        ring = f'<circle class="ring" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{NEAR}" fill="transparent" '
        drawn.append(
            f'<g class="point" role="img" aria-label="{words}" tabindex="{0 if number == 0 else -1}">'
            f'{marker(arm, place)}{ring}stroke="{style.INK}" stroke-width="2"/>'
            f'<text class="numbers" x="{LEFT}" y="18">{words}</text></g>'
        )
    label = f'role="group" aria-label="{name_of(arm)}"'
    return f'<g data-arm="{arm}" {label} onkeydown="{html.escape(ALONG)}">{"".join(drawn)}</g>'

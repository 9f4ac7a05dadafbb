"""Pages that need no network: what `report` and `compare` write."""

import base64
import html
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #2f7fc8; }
@media (prefers-color-scheme: dark) { :root { --accent: #7ab8f0; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 0 auto; padding: 1.5rem 1rem 4rem;
  background: Canvas; color: CanvasText; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p.lead { margin: 0; opacity: .75; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; }
td { max-width: 40rem; overflow-wrap: break-word; }
td:first-child { white-space: nowrap; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); gap: 1rem;
  align-items: start; }
figure { margin: 0; padding: .6rem; border: 1px solid var(--line); border-radius: 8px; }
figure.picture { background: #fff; color: #222; }
figcaption { font-size: .85rem; opacity: .85; }
img, svg { width: 100%; height: auto; display: block; }
details summary { cursor: pointer; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); padding: .8rem; border-radius: 8px; }
"""


def page(title: str, lead: str, sections: Sequence[tuple[str, str]]) -> str:
    """A whole document: its title, a line below it, and sections of a heading and HTML."""
    body = "".join(f"<section><h2>{html.escape(head)}</h2>{content}</section>" for head, content in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>"
        f'<h1>{html.escape(title)}</h1><p class="lead">{html.escape(lead)}</p>{body}</body></html>\n'
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows that share their columns, numbers to the right."""
    names = list(rows[0]) if rows else []
    numeric = {n: all(isinstance(r[n], int | float) or r[n] == "" for r in rows) for n in names}
    cell = lambda tag, name, text: f"<{tag}{' class=number' * numeric[name]}>{html.escape(text)}</{tag}>"
    head = "".join(cell("th", name, name) for name in names)
    body = "".join("<tr>" + "".join(cell("td", n, shown(row[n])) for n in names) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def pairs(values: Mapping[str, Any]) -> str:
    """Names and what they are."""
    return table([{"": name, "value": value} for name, value in values.items()])


def shown(value: Any) -> str:
    """A value as it is printed."""
    if isinstance(value, float):
        return f"{value:.5g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def picture(path: pathlib.Path) -> str:
    """A picture of a file, in the page itself."""
    kind = "gif" if path.suffix == ".gif" else "png"
    data = base64.b64encode(path.read_bytes()).decode()
    name = html.escape(path.stem.replace("_", " "))
    return (
        f'<figure class="picture"><img alt="{name}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{name}</figcaption></figure>"
    )


def curve(name: str, steps: Sequence[int], values: Sequence[float]) -> str:
    """A line over steps; its axis is logarithmic where it spans decades."""
    finite = [(s, v) for s, v in zip(steps, values, strict=True) if math.isfinite(v)]
    if not finite:
        return ""
    low, high = min(v for _, v in finite), max(v for _, v in finite)
    logarithmic = low > 0 and high / low > 30
    scaled = (lambda v: math.log(v)) if logarithmic else (lambda v: v)
    first, last = finite[0][0], finite[-1][0]
    width, height = 300.0, 120.0
    x = lambda s: width * (s - first) / max(last - first, 1)
    y = lambda v: height - height * (scaled(v) - scaled(low)) / ((scaled(high) - scaled(low)) or 1)
    points = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in finite)
    scale = ", logarithmic" if logarithmic else ""
    return (
        f'<figure><svg viewBox="-4 -4 308 128" role="img" aria-label="{html.escape(name)} over steps">'
        '<path d="M0 120H300M0 0V120" fill="none" stroke="currentColor" stroke-opacity=".3"/>'
        f'<polyline points="{points}" fill="none" stroke="var(--accent)" stroke-width="2"/></svg>'
        f"<figcaption>{html.escape(name)}: {shown(finite[0][1])} to {shown(finite[-1][1])}; from {shown(low)} to "
        f"{shown(high)}{scale}, steps {first:,} to {last:,}</figcaption></figure>"
    )


def cards(parts: Sequence[str]) -> str:
    """Figures beside each other, as many as there is room for."""
    return f'<div class="cards">{"".join(parts)}</div>'

"""Topics as one page that needs no network: a map of the documents, and the topics with theirs."""

import html
import json
from collections.abc import Sequence

import numpy as np

from unsupjax.commands import page

_POINTS = 3000  # documents on the map, at most
_NEIGHBOURS = 30  # t-SNE's perplexity, at most
_WIDTH, _HEIGHT = 1000, 700
_LABELLED = 12  # topics that have their words on a narrow map, at most

_STYLE = """<style>
.map { position: relative; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; touch-action: pan-y; }
.map svg { cursor: crosshair; }
.map circle { opacity: .7; }
.map.chosen circle { opacity: .06; }
.map.chosen circle.on { opacity: .95; }
.map text { font-size: 19px; font-weight: 600; fill: CanvasText; stroke: Canvas; stroke-width: 5px; paint-order: stroke;
  text-anchor: middle; pointer-events: none; }
#told { min-height: 5.2em; font-size: .92rem; margin: .5rem 0 0; overflow-wrap: anywhere; }
.topic { border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; cursor: pointer; text-align: left; }
.topic.on { outline: 2px solid var(--accent); }
.topic h3 { margin: 0 0 .3rem; font-size: 1rem; overflow-wrap: anywhere; }
.topic .dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
.topic p { margin: .2rem 0; font-size: .92rem; }
.topic ul { margin: .3rem 0 0; padding-left: 1.1rem; font-size: .85rem; opacity: .85; overflow-wrap: anywhere; }
.bars { width: 100%; height: 42px; fill: var(--accent); }
.topic .span { display: flex; justify-content: space-between; font-size: .75rem; opacity: .75; margin: 0; }
@media (max-width: 600px) { .map text { font-size: 40px; stroke-width: 9px; } .map text.minor { display: none; }
  .map circle { r: 8px; } }
</style>"""

_SCRIPT = """<script>
const map = document.querySelector('.map'), svg = map.querySelector('svg'), told = document.getElementById('told');
const points = [...svg.querySelectorAll('circle')], cards = [...document.querySelectorAll('.topic')];
const at = points.map(p => [+p.getAttribute('cx'), +p.getAttribute('cy')]);
let chosen = null;
function near(event) {
  const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
  const x = (event.clientX - box.left) / box.width * view.width;
  const y = (event.clientY - box.top) / box.height * view.height;
  let best = -1, least = 900;
  at.forEach(([px, py], i) => {
    if (chosen !== null && DOCUMENTS[i][0] !== chosen) return;
    const d = (px - x) ** 2 + (py - y) ** 2;
    if (d < least) { least = d; best = i; }
  });
  return best;
}
function tell(event) {
  const i = near(event);
  points.forEach((p, j) => { p.setAttribute('stroke', j === i ? 'currentColor' : 'none'); });
  if (i < 0) return;
  const [topic, text] = DOCUMENTS[i];
  told.replaceChildren();
  const head = document.createElement('strong');
  head.textContent = topic < 0 ? 'no topic' : 'topic ' + topic + ': ' + WORDS[topic].slice(0, 5).join(', ');
  told.append(head, document.createElement('br'), text);
}
function choose(topic) {
  chosen = chosen === topic ? null : topic;
  map.classList.toggle('chosen', chosen !== null);
  points.forEach((p, i) => p.classList.toggle('on', DOCUMENTS[i][0] === chosen));
  cards.forEach(c => {
    const on = +c.dataset.topic === chosen;
    c.classList.toggle('on', on);
    c.setAttribute('aria-pressed', on);
  });
}
svg.addEventListener('pointermove', tell);
svg.addEventListener('click', tell);
cards.forEach(c => {
  c.addEventListener('click', () => choose(+c.dataset.topic));
  c.addEventListener('keydown', e => {
    if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); choose(+c.dataset.topic); }
  });
});
</script>"""


def topic_page(
    lead: str,
    words: Sequence[Sequence[str]],
    sizes: np.ndarray,
    typical: Sequence[Sequence[str]],
    topics: np.ndarray,
    proportions: np.ndarray,
    texts: Sequence[str],
    periods: Sequence[str] = (),
    shares: np.ndarray | None = None,
) -> str:
    """The whole document.

    Args:
        lead: the line below the title.
        words: of each of K topics.
        sizes: documents of each, `[K]`.
        typical: texts of each.
        topics: of each document, -1: none, `[N]`.
        proportions: of the topics in each document, `[N, K]`.
        texts: of the documents.
        periods: names of P of them, where shares over time are shown.
        shares: of each period's documents that has each topic, `[P, K]`; NaN: it has no documents.
    """
    rows = np.arange(len(texts))
    if len(rows) > _POINTS:
        rows = np.sort(np.random.default_rng(0).permutation(len(rows))[:_POINTS])
        lead += f"; {_POINTS:,} of them, drawn at random, are on the map"
    xy = place(proportions[rows])
    order = np.argsort(-sizes, kind="stable")
    hint = "<p>Point at a document, or tap it, to read it; choose a topic below to see it alone.</p>"
    drawn = f'{hint}<div class="map">{_svg(xy, topics[rows], words, order)}</div><p id="told"></p>'
    total = max(len(texts), 1)
    over = {k: "" if shares is None else _bars(periods, shares[:, k]) for k in order}
    cards = page.cards([_card(k, words[k], sizes[k], sizes[k] / total, typical[k], over[k]) for k in order])
    known = [[int(topics[i]), texts[i]] for i in rows]
    data = f"<script>const DOCUMENTS = {_json(known)}, WORDS = {_json(words)};</script>"
    sections = [("Map of the documents", _STYLE + drawn), ("Topics", cards + data + _SCRIPT)]
    return page.page("Topics", lead, sections)


def place(proportions: np.ndarray) -> np.ndarray:
    """Documents in the unit square, near each other where their proportions are alike (Hellinger), `[N, 2]`.

    By t-SNE; by principal components where there are too few for that.
    """
    from sklearn.manifold import TSNE

    roots = np.sqrt(np.maximum(proportions, 0)).astype(np.float64)
    perplexity = min(_NEIGHBOURS, (len(roots) - 1) / 3)
    if perplexity < 2 or roots.shape[1] < 3:
        u, s, _ = np.linalg.svd(roots - roots.mean(axis=0, keepdims=True), full_matrices=False)
        xy = (u * s[None])[:, :2]
        xy = np.pad(xy, ((0, 0), (0, 2 - xy.shape[1])))
    else:
        xy = TSNE(perplexity=perplexity, init="random", random_state=0, n_jobs=1).fit_transform(roots)
    low, span = xy.min(axis=0), np.ptp(xy, axis=0)
    return (xy - low[None]) / np.where(span > 0, span, 1)[None]


def _svg(xy: np.ndarray, topics: np.ndarray, words: Sequence[Sequence[str]], order: np.ndarray) -> str:
    x, y = 20 + xy[:, 0] * (_WIDTH - 40), 20 + xy[:, 1] * (_HEIGHT - 40)
    points = "".join(
        f'<circle cx="{a:.0f}" cy="{b:.0f}" r="4.5" fill="{_colour(t)}"/>'
        for a, b, t in zip(x, y, topics, strict=True)
    )
    labels = []
    for place, k in enumerate(order):
        mine = topics == k
        if mine.any() and words[k]:
            # A long word beside the edge stays inside.
            half = 6.5 * len(words[k][0])
            a, b = np.clip(np.median(x[mine]), half, _WIDTH - half), np.clip(np.median(y[mine]), 30, 690)
            minor = ' class="minor"' if place >= _LABELLED else ""
            labels.append(f'<text{minor} x="{a:.0f}" y="{b:.0f}">{html.escape(words[k][0])}</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="map of {len(x)} documents">'
        f"{points}{''.join(labels)}</svg>"
    )


def _bars(periods: Sequence[str], shares: np.ndarray) -> str:
    """The share of a topic in each period, as a row of bars."""
    most, width = max(np.nanmax(shares), 1e-9), 240 / len(periods)
    drawn = "".join(
        f'<rect x="{i * width:.1f}" y="{40 - 38 * y / most:.1f}" width="{0.85 * width:.1f}" '
        f'height="{38 * y / most + 2:.1f}"><title>{html.escape(name)}: {y:.1%}</title></rect>'
        for i, (name, y) in enumerate(zip(periods, shares, strict=True))
        if np.isfinite(y)
    )
    return (
        f'<svg class="bars" viewBox="0 0 240 42" role="img" aria-label="share over time">{drawn}</svg>'
        f'<p class="span"><span>{html.escape(periods[0])}</span><span>at most {most:.1%}</span>'
        f"<span>{html.escape(periods[-1])}</span></p>"
    )


def _card(k: int, words: Sequence[str], size: int, share: float, texts: Sequence[str], over: str) -> str:
    items = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    return (
        f'<div class="topic" role="button" tabindex="0" aria-pressed="false" data-topic="{k}"><h3>'
        f'<span class="dot" style="background:{_colour(k)}"></span>{html.escape(", ".join(words))}</h3>'
        f"<p>topic {k}: {size:,} documents, {share:.1%}</p>{over}<ul>{items}</ul></div>"
    )


def _colour(topic: int) -> str:
    """Hues far from each other for neighbouring numbers, in three shades."""
    return "#888" if topic < 0 else f"hsl({topic * 137.5 % 360:.0f} 62% {(45, 58, 36)[topic % 3]}%)"


def _json(value: object) -> str:
    """For a script: no text can end it."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")

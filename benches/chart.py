"""A bar chart as SVG: a group for each workload, a bar for each proxy, its length the CPU time per request in relation to
the best of the other proxies. Colours and text hold on light and on dark ground.
"""

from html import escape

from peers import OURS

BAR, GAP, GROUP_GAP = 13, 3, 20
LEFT, RIGHT, TOP, BOTTOM = 250, 70, 64, 44
WIDTH = 860
# Longer bars are cut, with their figure beside them: one slow proxy must not make all others look alike.
LONGEST = 4.0
NAMES = {"portcullis": "Portcullis", "before": "before", "haproxy": "HAProxy", "nginx": "nginx", "envoy": "Envoy", "caddy": "Caddy"}
COLOURS = {"portcullis": "#d9480f", "before": "#f0a17f", "haproxy": "#4c78a8", "nginx": "#54a24b", "envoy": "#9d67ae", "caddy": "#b09c2f"}

STYLE = """
    text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f; }
    .title { font-size: 15px; font-weight: 600; }
    .quiet { fill: #656d76; font-size: 11px; }
    .ours { font-weight: 600; }
    .line { stroke: #8c959f; stroke-opacity: .35; }
    .one { stroke: #656d76; stroke-dasharray: 3 3; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .quiet { fill: #9198a1; }
      .one { stroke: #9198a1; }
    }
"""


def chart(figures, workloads):
    """The chart of those workloads, of what compare.py has written."""
    groups = [(figures["titles"][name], figures["workloads"][name]) for name in workloads if name in figures["workloads"]]
    peers = list(dict.fromkeys(peer for _, rows in groups for peer in rows if peer != "before"))
    heights = [len([peer for peer in rows if peer in peers]) * (BAR + GAP) + GROUP_GAP for _, rows in groups]
    height = TOP + sum(heights) + BOTTOM
    scale = (WIDTH - LEFT - RIGHT) / LONGEST
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 0 {WIDTH + 10} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="CPU time per request of {", ".join(NAMES[peer] for peer in peers)}">',
        f"<style>{STYLE}</style>",
        '<text class="title" x="0" y="18">CPU time per request, best other proxy = 1</text>',
        '<text class="quiet" x="0" y="36">less is better; one worker each on one core, the same run</text>',
    ]
    at = 0
    for peer in peers:
        parts.append(f'<rect x="{LEFT + at}" y="44" width="10" height="10" rx="2" fill="{COLOURS[peer]}"/>')
        parts.append(f'<text class="quiet" x="{LEFT + at + 15}" y="53">{NAMES[peer]}</text>')
        at += 100
    for mark in range(int(LONGEST) + 1):
        x = LEFT + mark * scale
        kind = "one" if mark == 1 else "line"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM + 4}"/>')
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{height - BOTTOM + 20}" text-anchor="middle">{mark}</text>')
    y = TOP + GROUP_GAP / 2
    for (title, rows), size in zip(groups, heights):
        parts.append(f'<text x="{LEFT - 12}" y="{y + (size - GROUP_GAP) / 2 + 3:.1f}" text-anchor="end">{escape(title)}</text>')
        for peer in peers:
            row = rows.get(peer)
            if row is None:
                continue
            ratio = row["ratio_to_best_peer"] or 0
            parts.append(bar(peer, ratio, row["cpu_us"], y, scale))
            y += BAR + GAP
        y += GROUP_GAP
    facts = figures["facts"]
    source = f"{facts['date']}, {facts['machine']}, Linux {facts['kernel']}; median of {facts['rounds']} rounds"
    parts.append(f'<text class="quiet" x="0" y="{height - 6}">{escape(source)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def bar(peer, ratio, cpu, y, scale):
    """One bar with its figure."""
    length = min(ratio, LONGEST) * scale
    said = f"{ratio:.2f}" + (" …" if ratio > LONGEST else "")
    ours = "ours" if peer in OURS else "quiet"
    return (f'<rect x="{LEFT}" y="{y:.1f}" width="{length:.1f}" height="{BAR}" rx="2" fill="{COLOURS[peer]}">'
            f"<title>{NAMES[peer]}: {cpu:.1f} µs</title></rect>"
            f'<text class="{ours}" x="{LEFT + length + 6:.1f}" y="{y + BAR - 2.5:.1f}">{said}</text>')

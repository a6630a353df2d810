"""The scale's curves as one SVG: a panel for each operation, both axes logarithmic, a line for each server.
Written by hand, so that the page needs no library and the file changes only where figures do."""
import math
from html import escape

PANEL_W, PANEL_H, COLUMNS = 250, 190, 4
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 24
LINES = (("postroom", "Postroom", "#c2410c", 2.2), ("sdbox", "Dovecot, sdbox", "#1d4ed8", 1.4),
         ("maildir", "Dovecot, Maildir", "#047857", 1.4))
HEAD = 34


def short(value):
    for limit, sign in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{sign}"
    return f"{value:g}"


def decades(low, high):
    a, b = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return a, max(b, a + 1)


def panel(out, x, y, name, row, sizes):
    figures = [v for who, *_ in LINES for v in row.get(who) or [] if v]
    if not figures:
        return
    x0, x1 = decades(sizes[0], sizes[-1])
    y0, y1 = decades(min(figures), max(figures))
    w, h = PANEL_W - LEFT - RIGHT, PANEL_H - TOP - BOTTOM

    def across(size):
        return x + LEFT + w * (math.log10(size) - x0) / (x1 - x0)

    def up(value):
        return y + TOP + h * (1 - (math.log10(value) - y0) / (y1 - y0))

    out.append(f'<text x="{x + LEFT}" y="{y + 15}" class="t">{escape(name)}, {row["unit"]}</text>')
    for d in range(y0, y1 + 1):
        line = up(10 ** d)
        out.append(f'<path d="M{x + LEFT} {line:.1f}h{w}" class="g"/>'
                   f'<text x="{x + LEFT - 4}" y="{line + 3:.1f}" class="y">{short(10.0 ** d)}</text>')
    for size in sizes:
        out.append(f'<path d="M{across(size):.1f} {y + TOP}v{h}" class="g"/>'
                   f'<text x="{across(size):.1f}" y="{y + TOP + h + 13}" class="x">{short(size)}</text>')
    for who, _, colour, width in LINES:
        points = [(across(s), up(v)) for s, v in zip(sizes, row.get(who) or []) if v]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.4" fill="{colour}"/>' for a, b in points]


def svg(scale):
    series = scale["series"]
    rows = math.ceil(len(series) / COLUMNS)
    width, height = PANEL_W * COLUMNS, HEAD + PANEL_H * rows
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
           f'height="{height}" font-family="sans-serif">',
           "<style>.t{font-size:11px;font-weight:bold}.x,.y{font-size:9px;fill:#555}.x{text-anchor:middle}"
           ".y{text-anchor:end}.g{stroke:#ddd;stroke-width:.6}.l{font-size:12px}</style>",
           f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for place, (_, label, colour, line) in enumerate(LINES):
        at = LEFT + 180 * place
        out.append(f'<path d="M{at} 17h24" stroke="{colour}" stroke-width="{line}"/>'
                   f'<text x="{at + 30}" y="21" class="l">{label}</text>')
    out.append(f'<text x="{LEFT + 180 * len(LINES)}" y="21" class="l">across: messages in the mailbox</text>')
    for place, (name, row) in enumerate(series.items()):
        panel(out, PANEL_W * (place % COLUMNS), HEAD + PANEL_H * (place // COLUMNS), name, row,
              scale["sizes"])
    return "\n".join(out) + "\n</svg>\n"

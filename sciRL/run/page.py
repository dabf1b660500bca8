"""The HTML shell of reports: one self-contained page that reads offline, in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sciRL.run.charts import CHART_CSS

PAGE_CSS = """
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif;
  margin: 0 auto; max-width: 1120px; padding: 28px 24px 80px; }
h1 { font-size: 26px; margin: 0 0 2px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 40px 0 6px; padding-top: 14px; border-top: 1px solid var(--grid); }
p.lead { color: var(--soft); margin: 0 0 14px; }
p.note { color: var(--soft); font-size: 13px; margin: 4px 0 10px; max-width: 84ch; }
.verdict { font-size: 17px; border-left: 4px solid var(--series-1); padding: 6px 14px; margin: 18px 0; }
.warning { border-left: 4px solid var(--series-6); padding: 5px 14px; margin: 8px 0;
  background: color-mix(in srgb, var(--series-6) 9%, transparent); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; width: 100%; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--ink);
  vertical-align: bottom; }
th, td { padding: 6px 12px 6px 0; } td { border-bottom: 1px solid var(--grid); vertical-align: top; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.strong td { font-weight: 600; } td.alarm { color: var(--series-6); font-weight: 600; }
small { color: var(--soft); font-weight: 400; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; font-size: 13.5px; margin: 12px 0; }
dl.facts dt { color: var(--soft); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 20px 28px; }
figure { margin: 18px 0; } figcaption { color: var(--soft); font-size: 13px; max-width: 84ch; }
pre { font: 12px/1.4 ui-monospace, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  margin: 0; max-height: 13em; overflow-y: auto; }
details { margin: 10px 0; } summary { cursor: pointer; font-weight: 600; }
.tag { font-size: 11.5px; border: 1px solid var(--grid); border-radius: 9px; padding: 0 8px; color: var(--soft);
  white-space: nowrap; }
@media (max-width: 560px) { .charts { grid-template-columns: 1fr; } body { padding: 16px 12px 60px; } }
@media print { body { max-width: none; } pre { max-height: none; } }
"""


@dataclass(frozen=True)
class Cell:
    """A table cell of ready HTML; `alarm` marks a value that needs attention."""

    html: str
    number: bool = False
    alarm: bool = False


def page(title: str, body: str) -> str:
    """Return a whole HTML document; nothing in it is fetched from anywhere."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{CHART_CSS}{PAGE_CSS}</style></head>\n<body>{body}</body></html>\n"
    )


def section(title: str, body: str, note: str = "") -> str:
    """Return a headed section; an empty body gives nothing at all."""
    if not body:
        return ""
    return f"<h2>{escape(title)}</h2>" + (f'<p class="note">{escape(note)}</p>' if note else "") + body


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], strong: Sequence[int] = ()) -> str:
    """Return a table; a column whose first cell is a number is set flush right; `strong` rows are bold."""
    first = rows[0] if rows else []
    numbers = [index < len(first) and first[index].number for index in range(len(head))]
    top = "".join(_cell("th", Cell(escape(text), number)) for text, number in zip(head, numbers, strict=True))
    body = "".join(
        f"<tr{' class=strong' if index in strong else ''}>{''.join(_cell('td', cell) for cell in row)}</tr>\n"
        for index, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def text_cell(text: str) -> Cell:
    """A cell of plain text."""
    return Cell(escape(text))


def number_cell(value: float | None, low: float | None = None, high: float | None = None, alarm: bool = False) -> Cell:
    """A cell with a figure and, small beneath, its interval."""
    if value is None or value != value:
        return Cell("&ndash;", number=True)
    interval = f"<br><small>{low:.3g} to {high:.3g}</small>" if low is not None and high is not None else ""
    return Cell(format_number(value) + interval, number=True, alarm=alarm)


def format_number(value: float) -> str:
    """Return a figure with as many digits as a reader can use.

    Example:
        >>> format_number(0.51234), format_number(1234.0), format_number(3.0)
        ('0.512', '1,234', '3')
    """
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def facts(items: Sequence[tuple[str, str]]) -> str:
    """Return a list of named facts."""
    return '<dl class="facts">' + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in items) + "</dl>"


def _cell(tag: str, cell: Cell) -> str:
    classes = " ".join(name for name, on in (("number", cell.number), ("alarm", cell.alarm)) if on)
    attribute = f' class="{classes}"' if classes else ""
    return f"<{tag}{attribute}>{cell.html}</{tag}>"

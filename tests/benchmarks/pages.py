"""Rows of the tables in docs, put there by what measured them."""

from pathlib import Path

TRUST = Path(__file__).parents[2] / "docs/trust.md"


def put(page: Path, heading: str, *cells: str) -> str:
    """The row of these cells, which takes the place of that with the same first cell in the table of that heading.

    Args:
        page: of Markdown.
        heading: how the first line of the table begins.
        cells: of which the first is the row's name; a new one goes to the end.

    Raises:
        ValueError: the page has no such table, or several.
    """
    row = f"| {' | '.join(cells)} |"
    lines = page.read_text().split("\n")
    found = [index for index, line in enumerate(lines) if line.startswith(heading)]
    if len(found) != 1:
        raise ValueError(f"'{page.name}' has {len(found)} tables that begin with '{heading}'.")
    end = start = found[0] + 2
    while lines[end].startswith("|"):
        end += 1
    same = [index for index in range(start, end) if lines[index].startswith(f"| {cells[0]} |")]
    lines[same[0] if same else end : same[0] + 1 if same else end] = [row]
    page.write_text("\n".join(lines))
    return row

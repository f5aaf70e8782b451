"""Tables on standard output."""

import sys
from collections.abc import Collection

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dpip.plain_text import plain

_WIDTH_OF_A_FILE = 160


class PlainTable(Table):
    """A table whose cells are text that is shown as it is: no markup, nothing for the terminal.

    The columns named in ``figures`` are aligned to the right.
    """

    def __init__(self, *titles: str, figures: Collection[str] = ()) -> None:
        super().__init__(box=None, pad_edge=False)
        for title in titles:
            self.add_column(title, justify="right" if title in figures else "left", overflow="fold")

    def add(self, *cells: object) -> None:
        """Add a row."""
        self.add_row(*(Text(plain(cell)) for cell in cells))

    def show(self) -> None:
        """Print the table; into a file it is wider than a terminal may be."""
        Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE).print(self)

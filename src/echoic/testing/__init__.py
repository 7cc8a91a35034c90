"""For other people's cells: the contract suite that echoic's own cells pass."""

from echoic.testing.check_cell import check_cell

__all__ = ["check_cell"]

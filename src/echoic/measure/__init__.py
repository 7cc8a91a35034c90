"""Measurements: functions of a cell, or of any step function, and its inputs.

A folder answers one question, a file holds one quantity. The public names stand in ``__init__.pyi``
and are loaded when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

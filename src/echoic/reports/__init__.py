"""Reports: records shown in the terminal, in the browser, in a notebook and on paper.

Nothing is computed here. The public names stand in ``__init__.pyi``; the drawing libraries are
loaded when a page or a figure is asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

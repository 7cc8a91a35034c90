"""echoic: how far back does your recurrent network remember, and what makes it remember T steps?

The public names stand in ``__init__.pyi`` and are loaded when they are first used, so that
``import echoic`` costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

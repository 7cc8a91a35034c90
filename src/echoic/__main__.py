"""``python -m echoic``."""

import sys

from echoic.cli.main import main

sys.exit(main())

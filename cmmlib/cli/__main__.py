"""``python -m cmmlib.cli``: the command ``cmm``."""

import sys

from .main import main

sys.exit(main())

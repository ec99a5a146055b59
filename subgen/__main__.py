"""`python -m subgen`."""

import sys

from subgen.cli import main

sys.exit(main())

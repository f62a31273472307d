"""`python -m ztproxy`."""

import sys

from ztproxy.cli import main

sys.exit(main())

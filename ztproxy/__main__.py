"""`python -m ztproxy`."""

import sys

from ztproxy.cli.main import main

sys.exit(main())

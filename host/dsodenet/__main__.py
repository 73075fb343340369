"""`python -m dsodenet` is `dsodenet`."""

import sys

from dsodenet.cli import main

sys.exit(main())

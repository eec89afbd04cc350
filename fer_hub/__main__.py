"""`python -m fer_hub ...` is the command `fer-hub` of a checkout that is not installed."""

import sys

from fer_hub.cli.arguments import main

sys.exit(main())

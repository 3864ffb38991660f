"""`python -m unireward_plugins.cli` is the `unireward` command."""

import sys

from unireward_plugins.cli import main

sys.exit(main())

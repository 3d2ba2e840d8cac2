"""`python -m tests.fuzz`. The work is in a module of its own: processes that are spawned import it by its name."""

import sys

from tests.fuzz.run import main

if __name__ == "__main__":
    sys.exit(main())

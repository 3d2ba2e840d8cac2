"""`python -m tests.abuse`."""

import sys

from tests.abuse.run import main

if __name__ == "__main__":
    sys.exit(main())

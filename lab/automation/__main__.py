"""`python -m lab.automation` is process 1 of the automation pod."""

import sys

from lab.automation.runner import main

if __name__ == "__main__":
    sys.exit(main())

"""spark-submit entry of `cleanplate history`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["history", *sys.argv[1:]]))

"""spark-submit entry of `cleanplate vacuum`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["vacuum", *sys.argv[1:]]))

"""spark-submit entry of `cleanplate approve`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["approve", *sys.argv[1:]]))

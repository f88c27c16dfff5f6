"""spark-submit entry of `cleanplate query`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["query", *sys.argv[1:]]))

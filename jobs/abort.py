"""spark-submit entry of `cleanplate abort`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["abort", *sys.argv[1:]]))

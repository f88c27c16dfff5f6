"""spark-submit entry of `cleanplate preview`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["preview", *sys.argv[1:]]))

"""spark-submit entry of `cleanplate restore`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["restore", *sys.argv[1:]]))

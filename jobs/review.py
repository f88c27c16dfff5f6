"""spark-submit entry of `cleanplate review`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["review", *sys.argv[1:]]))

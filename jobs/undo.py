"""spark-submit entry of `cleanplate undo`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["undo", *sys.argv[1:]]))

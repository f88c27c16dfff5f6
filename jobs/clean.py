"""spark-submit entry of `cleanplate clean`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["clean", *sys.argv[1:]]))

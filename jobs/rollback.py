"""spark-submit entry of `cleanplate rollback`: the same arguments."""

import sys

from cleanplate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["rollback", *sys.argv[1:]]))

"""The command line: `python -m fedlab COMMAND`."""

import argparse
import sys

from fedlab import doctor
from fedlab.experiments import command as study


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m fedlab", description="The course's tools.")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor.add_command(commands)
    study.add_command(commands)
    args = parser.parse_args(argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())

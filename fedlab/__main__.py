"""The command line: `python -m fedlab COMMAND`."""

import argparse
import sys

from fedlab import doctor


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The command and its options. Default: those of the process.

    Returns:
        The exit code.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m fedlab", description="The course's tools.")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor.add_command(commands)
    if argv[:1] != ["doctor"]:  # which has to run where a package is missing
        from fedlab.experiments import command as study
        from fedlab.experiments.claims import command as claims

        study.add_command(commands)
        claims.add_command(commands)
    args = parser.parse_args(argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())

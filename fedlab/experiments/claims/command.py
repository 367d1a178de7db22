"""The command line of the scoreboard: `python -m fedlab claims`.

pandas and SciPy are imported when it runs; TensorFlow is not needed.
"""

import argparse
import sys
from pathlib import Path


def add_command(commands: argparse._SubParsersAction) -> None:
    """Adds `claims` to the command line."""
    text = "judge every claim of the article by the stored results, and write the table"
    parser = commands.add_parser("claims", help=text, description=text)
    parser.add_argument("--results", type=Path, default=Path("results"), help="the stored results")
    parser.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="the lessons")
    parser.add_argument("--out", type=Path, help="where the table goes (default: the results)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        args: The parsed arguments.

    Returns:
        The exit code: 0, or 2 if a file, a configuration or a cell is missing.
    """
    from fedlab.experiments.claims import scoreboard
    from fedlab.experiments.claims.evidence import Evidence

    folder = args.out or args.results
    try:
        table = scoreboard.write(folder, Evidence(args.results, args.notebooks))
    except (ValueError, OSError) as error:
        print(f"fedlab claims: {error}", file=sys.stderr)
        return 2
    for verdict, count in table.verdict.value_counts().items():
        print(f"{count:3d} {verdict}")
    print(f"Wrote {folder / scoreboard.CSV_NAME} and {folder / scoreboard.PAGE_NAME}.")
    return 0

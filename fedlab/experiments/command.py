"""The command line of the studies: `python -m fedlab study NAME`.

TensorFlow and pandas are imported when a study runs: `python -m fedlab study --list` needs neither.
"""

import argparse
import sys
from pathlib import Path

from fedlab import dataset_names
from fedlab.experiments.plans import PLANS
from fedlab.experiments.settings import check_name

_DESCRIPTION = (
    "Runs a study: its configurations, each with several seeds. Every finished run is kept at once "
    "and not done again: stop it, start it again, it goes on. With --only or --seed it shows the "
    "rows and leaves the results file alone."
)


def add_command(commands: argparse._SubParsersAction) -> None:
    """Adds `study` to the command line."""
    parser = commands.add_parser(
        "study", help="run configurations x seeds, and make their tables", description=_DESCRIPTION
    )
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help=f"one of {', '.join(PLANS)}")
    add("--list", action="store_true", help="show the studies and their configurations")
    add(
        "--dataset",
        help="digits, writer_digits, emnist, plays or the path of an .sqlite(.lzma) file",
    )
    add("--seeds", type=int, help="run the seeds 0 to SEEDS - 1 (default: the study's number)")
    add("--seed", type=int, help="run this seed alone")
    add("--only", metavar="REGEX", help="run the configurations whose name it finds")
    add("--folder", type=Path, help="where finished runs are kept (default: the user's cache)")
    add("--out", type=Path, default=Path("results"), help="where the tables go (default: results)")
    add("--report", action="store_true", help="run nothing, make the tables from the CSV")
    add("--again", action="store_true", help="run anew, keep nothing, compare with the CSV")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        args: The parsed arguments.

    Returns:
        The exit code: 0, 1 if a run did not repeat, 2 for an error, 130 if it was stopped.
    """
    try:
        return _dispatch(args)
    except (ValueError, OSError) as error:
        print(f"fedlab study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. Finished runs are kept: the same command goes on.", file=sys.stderr)
        return 130


def _dispatch(args: argparse.Namespace) -> int:
    _check(args)
    if args.list:
        _show_plans([args.name] if args.name else list(PLANS))
        return 0
    from fedlab import data
    from fedlab.experiments import studies, study_actions

    study = studies.STUDIES[args.name]
    dataset_argument = args.dataset or study.default_dataset
    if args.report:
        dataset_name = data.show_name(dataset_argument or dataset_names.choose())
        print(f"Wrote {study_actions.write_report(study, dataset_name, args.out)}.")
        return 0
    seeds = [args.seed] if args.seed is not None else range(args.seeds or study.num_seeds)
    configs = study.select(args.only)
    if args.again:
        is_same = study_actions.run_again(
            study, configs, dataset_argument, seeds, out=args.out, notice_fn=print
        )
        return int(not is_same)
    if args.only is None and args.seed is None:
        study_actions.run_study(
            study, dataset_argument, seeds, folder=args.folder, out=args.out, notice_fn=print
        )
    else:
        study_actions.show_runs(
            study, configs, dataset_argument, seeds, folder=args.folder, notice_fn=print
        )
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.name is not None:
        check_name("study", args.name, PLANS)
    elif not args.list:
        raise ValueError(f"Name a study: {', '.join(PLANS)}; --list shows what is in them.")
    if args.seed is not None and args.seed < 0:
        raise ValueError(f"--seed must be at least 0. Found {args.seed}.")
    if args.seeds is not None and args.seeds < 1:
        raise ValueError(f"--seeds must be at least 1. Found {args.seeds}.")


def _show_plans(names: list[str]) -> None:
    for name in names:
        print(f"{name}: {len(PLANS[name])} configurations")
        for config in PLANS[name]:
            group = getattr(config, "group", None)
            print(f"  {group}: {config.label}" if group else f"  {config.label}")

"""The command line of the studies: `python -m fedlab study NAME`.

TensorFlow and pandas are imported where they are needed: `python -m fedlab doctor` must run where
they are broken.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from fedlab.experiments.config import RunConfig, check_name
from fedlab.experiments.plans import PLANS

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
    add("--dataset", help="digits, emnist or the path of an .sqlite(.lzma) file in TFF's format")
    add("--seeds", type=int, default=5, help="run the seeds 0 to SEEDS - 1 (default: 5)")
    add("--seed", type=int, help="run this seed alone")
    add("--only", metavar="REGEX", help="run the configurations whose name it finds")
    add("--folder", type=Path, help="where finished runs are kept (default: the user's cache)")
    add("--out", type=Path, default=Path("results"), help="where the tables go (default: results)")
    add("--report", action="store_true", help="run nothing, make the Markdown table from the CSV")
    add("--again", action="store_true", help="run anew, keep nothing, compare with the CSV")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns 0, 1 if a run did not repeat, 2 for an error, 130 if stopped."""
    try:
        return _dispatch(args)
    except (ValueError, OSError) as error:
        print(f"fedlab study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. Finished runs are kept: the same command goes on.", file=sys.stderr)
        return 130


def _dispatch(args: argparse.Namespace) -> int:
    if args.list:
        return _show_plans([args.name] if args.name else list(PLANS))
    if args.name is None:
        raise ValueError(f"Name a study: {', '.join(PLANS)}; --list shows what is in them.")
    check_name("study", args.name, PLANS)
    if args.report:
        return _report(args)
    seeds = _check_seeds(args)
    from fedlab.experiments import report

    configs = report.select(PLANS[args.name], args.only)
    return _run_again(args, configs, seeds) if args.again else _run(args, configs, seeds)


def _check_seeds(args: argparse.Namespace) -> list[int]:
    if args.seed is not None and args.seed < 0:
        raise ValueError(f"--seed must be at least 0. Found {args.seed}.")
    if args.seeds < 1:
        raise ValueError(f"--seeds must be at least 1. Found {args.seeds}.")
    return list(range(args.seeds)) if args.seed is None else [args.seed]


def _show_plans(names: list[str]) -> int:
    for name in names:
        check_name("study", name, PLANS)
        print(f"{name}: {len(PLANS[name])} configurations")
        for config in PLANS[name]:
            print(f"  {config.group}: {config.name}")
    return 0


def _run(args: argparse.Namespace, configs: list[RunConfig], seeds: list[int]) -> int:
    import pandas as pd

    from fedlab import data
    from fedlab.experiments import report, store

    dataset = data.load(args.dataset)
    runs_path, curves_path, _ = report.result_paths(args.out, args.name, dataset.name)
    is_whole = args.only is None and args.seed is None
    if is_whole:
        for path in (runs_path, curves_path):
            report.check_writable(path)
        _check_replaces(runs_path, dataset, seeds)
    kept = store.Store(args.folder or store.default_folder(dataset.name), dataset)
    num_kept = sum(kept.load(config, seed) is not None for config in configs for seed in seeds)
    num_runs = len(configs) * len(seeds)
    print(f"{num_kept} of {num_runs} runs on {dataset.name} are in {kept.folder} already.")
    rows, curves = [], []
    for config, seed, found in store.run_all(configs, seeds, dataset, kept):
        rows.append(_row(args, config, seed, dataset, found))
        curves.append(report.build_curve(config, seed, pd.DataFrame(found["records"])))
    table = pd.DataFrame(rows)
    if not is_whole:
        print(_short(table))
        return 0
    report.write_csv(runs_path, table)
    report.write_csv(curves_path, pd.concat(curves))
    print(f"Wrote {runs_path} and {curves_path}.")
    return 0


def _check_replaces(path: Path, dataset, seeds: list[int]) -> None:
    """A results file gives way to one of the same data with at least its seeds, to no other."""
    from fedlab.experiments import report
    from fedlab.experiments.results import check_replaces

    check_replaces(path, {dataset.name: dataset.sha256})
    if not path.exists():
        return
    there = report.read_csv(path)
    if more := sorted(set(there.seed) - set(seeds)):
        raise ValueError(
            f"{path} also holds the seeds {', '.join(map(str, more))}, and would lose them. Give "
            f"--seeds {max(there.seed) + 1} or another --out."
        )


def _row(args, config: RunConfig, seed: int, dataset, found: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd

    from fedlab.experiments import report
    from fedlab.experiments.execution import TARGET_ACCURACY, summarize

    records = pd.DataFrame(found["records"])
    summary = summarize(records, config.stop_at_accuracy or TARGET_ACCURACY)
    command = report.row_command(args.name, config, seed, dataset.argument)
    return report.build_row(config, seed, dataset, found, summary, command)


def _short(table) -> str:
    columns = ["name", "seed", "accuracy", "loss", "five_accuracy", "num_rounds_done", "seconds"]
    return table[columns].to_string(index=False)


def _run_again(args: argparse.Namespace, configs: list[RunConfig], seeds: list[int]) -> int:
    """Runs without a store and holds the numbers against those of the results file."""
    import pandas as pd

    from fedlab import data
    from fedlab.experiments import report
    from fedlab.experiments.execution import run as run_once
    from fedlab.experiments.results import provenance

    dataset = data.load(args.dataset)
    path = report.result_paths(args.out, args.name, dataset.name)[0]
    there = report.read_csv(path) if path.exists() else pd.DataFrame(columns=["name", "seed"])
    num_other = 0
    for config in configs:
        for seed in seeds:
            records = run_once(config, dataset, seed)
            found = provenance() | {"records": records.to_dict("records")}
            row = _row(args, config, seed, dataset, found)
            print(_short(pd.DataFrame([row])))
            same = there[(there.name == config.name) & (there.seed == seed)]
            num_other += _compare(path, same, row)
    return int(num_other > 0)


def _compare(path: Path, there, row: dict[str, Any]) -> bool:
    """Says whether a row is the one in the results file; returns whether it is another."""
    if not len(there):
        print(f"{path} does not have this row.")
        return False
    old = there.iloc[0]
    if RunConfig.from_row(old) != RunConfig.from_row(row):
        print(f"{path} has this row of another configuration: the study was changed since.")
        return True
    names = ("accuracy", "loss", "five_accuracy", "best_accuracy", "worst_decile_accuracy")
    other = [name for name in names if old[name] != row[name]]
    if not other:
        print(f"The same numbers as in {path}, to the last bit.")
        return False
    for name in other:
        print(f"{name}: {row[name]!r}; {path} has {old[name]!r}")
    if old.machine != row["machine"] or old.versions != row["versions"]:
        print(f"That was another machine or version: {old.machine}; {old.versions}.")
    return True


def _report(args: argparse.Namespace) -> int:
    import os

    from fedlab import data
    from fedlab.experiments import report

    name = data.show_name(args.dataset or os.environ.get(data.DATASET_VARIABLE) or "digits")
    runs_path, _, report_path = report.result_paths(args.out, args.name, name)
    report.write_report(report_path, args.name, report.read_csv(runs_path))
    print(f"Wrote {report_path}.")
    return 0

"""The ledger that closes the privacy part: `python benchmarks/privacy_ledger.py`.

Every defence on the same data, split, network, start and cohorts: what it costs in accuracy, seconds
and bytes, what attackers still get, and who learns what. Half of the writers train, the members; the
others hold digits of the same kind and do not. All rows start from a model that was trained on public
digits, and count each client once.

- Accuracy: on the test digits of all writers, which nobody trained on.
- Epsilon: of whole clients, of all rounds, at delta = members^-1.1, by the accountant.
- Seconds and bytes: of a round of one group of clients, all parties taking turns on this machine, keys
  included. Larger cohorts would be summed in such groups (Bonawitz et al. 2019, section 6).
- Reconstruction: SSIM of what is rebuilt from what the server gets in round 1, one digit a client and
  one step: each client's update, or the sum of a group. The attacker is told the labels.
- Membership: AUC of an attack on writers, on the finished model, with its 95% interval. One attacker
  for all rows, whose reference models are trained without a defence.

A secure sum changes no bit of the model, which is checked: its accuracy and its AUC are the ones of the
row without a defence, and are not measured again. The column `shared` says so, `note` why.

Writes results/privacy_ledger.csv, .md and .png. About 10 minutes on 2 cores.
"""

import dataclasses
import math
import os
from collections.abc import Mapping

import pandas as pd
from _common import ROOT, WRITER_DIGITS, choose_path, create_parser, save_figure
from _privacy_attacks import Crowd, attack_membership, train_references
from _privacy_defences import (
    CKKS,
    CLIPPING,
    DISTRIBUTED,
    MASKS,
    NONE,
    SERVERS,
    Defences,
    check_same_model,
    measure_rounds,
)
from _privacy_texts import notes, to_markdown, who_learns_what
from _privacy_world import Recipe, World

from fedlab import plots
from fedlab.dp import accounting
from fedlab.experiments.results import write_results
from fedlab.files import write_text
from fedlab.runtime import Runner

RECIPE = Recipe(
    num_rounds=30,
    participation=1.0,
    client_learning_rate=0.05,
    server_learning_rate=1.0,
    clipped_server_learning_rate=2.0,
    max_examples=None,
    batch_size=20,
    num_epochs=1,
    clip=0.5,
    epsilons=(8.0, 2.0),
    group_size=30,
    num_timed=7,
    num_iterations=100,
    num_references=4,
)
# To see that everything runs; its numbers mean nothing.
_SMALL = {"num_rounds": 2, "group_size": 6, "num_timed": 1, "num_iterations": 20}
QUICK = dataclasses.replace(RECIPE, **_SMALL, epsilons=(50.0, 8.0), num_references=2)
# Whose model, view of the server and cost a row has, where they are not its own.
MODEL_OF = dict.fromkeys((MASKS, CKKS, SERVERS), NONE)
VIEW_OF = dict.fromkeys((CKKS, SERVERS), MASKS)
OF_THE_MODEL = ["accuracy", "membership_auc", "membership_low", "membership_high"]
OF_THE_VIEW = ["reconstruction_ssim"]
OF_THE_COST = ["seconds_per_round", "seconds_ratio", "bytes_up_per_client", "bytes_down_per_client"]


def train_models(world: World, defences: Defences) -> pd.DataFrame:
    """Trains a model under each defence that changes it, and asks it who was there."""
    weights = {}
    for name, runner in defences.trained.items():
        weights[name] = world.run(runner, defences.sample_fn(name), world.recipe.seed)
        print(f"{name}: accuracy {world.accuracy(weights[name]):.2%}", flush=True)
    references = train_references(world, defences.trained[NONE])
    rows = {}
    for name, found in weights.items():
        attack = attack_membership(world, found, references)
        values = world.accuracy(found), attack.auc, *attack.auc_interval
        rows[name] = dict(zip(OF_THE_MODEL, values, strict=True))
    return pd.DataFrame(rows).T


def measure_groups(world: World, runners: Mapping[str, Runner]) -> pd.DataFrame:
    """Runs rounds of a group under each defence: what they cost, and what can be rebuilt."""
    seconds, up, down = zip(*measure_rounds(world, runners).values(), strict=True)
    ratios = [one / seconds[list(runners).index(NONE)] for one in seconds]
    columns = dict(zip(OF_THE_COST, (seconds, ratios, up, down), strict=True))
    crowd = Crowd(world)
    ssim = {name: crowd.ssim_one_by_one(runners[name]) for name in (NONE, CLIPPING)}
    ssim |= {name: crowd.ssim_of_sum(runners[name]) for name in (MASKS, DISTRIBUTED)}
    table = pd.DataFrame(columns, index=list(runners))
    return table.assign(reconstruction_ssim=pd.Series(ssim), blank_ssim=crowd.blank_ssim())


def build_table(world: World) -> pd.DataFrame:
    """Measures everything. Returns the ledger, a row per defence."""
    defences = Defences(world)
    difference = check_same_model(world, defences.grouped)
    print(f"The secure sums give the same bits; FedAvg's are off by {difference:.1e}.", flush=True)
    groups = measure_groups(world, defences.grouped)
    print(groups.round(3).to_string(), flush=True)
    trained = train_models(world, defences)
    noised = list(defences.plans)
    views = VIEW_OF | dict.fromkeys(noised, CLIPPING)
    costs = dict.fromkeys(noised[1:], noised[0])
    sources = [
        (OF_THE_MODEL, trained, MODEL_OF),
        (OF_THE_VIEW, groups, views),
        (OF_THE_COST, groups, costs),
    ]
    who, why = who_learns_what(world), notes(world, defences, difference)
    rows = []
    for name in (NONE, CLIPPING, *noised, MASKS, CKKS, SERVERS, DISTRIBUTED):
        row = {"defence": name, "epsilon": _epsilon(name, defences)}
        for columns, table, source_of in sources:
            row |= table.loc[source_of.get(name, name), columns].to_dict()
        shared = [one for columns, _, source in sources for one in columns if name in source]
        texts = {"who_learns_what": who[name], "shared": " ".join(shared), "note": why[name]}
        rows.append(row | texts)
    table = pd.DataFrame(rows).assign(blank_ssim=groups.blank_ssim.iloc[0])
    table.insert(2, "delta", accounting.default_delta(len(world.members)))
    return table.assign(**_describe(world))


def _epsilon(name: str, defences: Defences) -> float:
    """Infinite where there is no noise; NaN where the accountant does not vouch for any."""
    if name == DISTRIBUTED:
        return math.nan
    return defences.plans[name].epsilon if name in defences.plans else math.inf


def _describe(world: World) -> dict[str, object]:
    """Returns what is the same for all rows."""
    recipe = dataclasses.asdict(world.recipe)
    same = {name: recipe[name] for name in ("num_rounds", "clip", "group_size")}
    return {"dataset": world.name, "num_members": len(world.members), **same}


def main() -> None:
    parser = create_parser(__doc__)
    default = str(WRITER_DIGITS) if WRITER_DIGITS.exists() else "digits"
    parser.add_argument("--dataset", default=default, help='"digits", "emnist" or a file')
    parser.add_argument("--quick", action="store_true", help="a smoke test, into runs/quick")
    args = parser.parse_args()
    recipe = QUICK if args.quick else RECIPE
    folder = args.to or (ROOT / "runs" / "quick" if args.quick else None)
    world = World(args.dataset, recipe)
    path = choose_path("privacy_ledger.csv", world.digests, folder)
    table = build_table(world)
    write_results(path, table.round(5), seed=recipe.seed, digests=world.digests)
    write_text(path.with_suffix(".md"), to_markdown(table), first_line="^# The privacy ledger")
    plots.use_style()
    save_figure(plots.ledger(table), path.with_suffix(".png"))
    print(table.iloc[:, :11].round(3).to_string(index=False))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()

"""The article's baseline, run on the data sets that are here: `python benchmarks/baseline.py`.

Ten rounds, the first five clients, SGD 0.02, batches of 20, one epoch, nothing shuffled. Writes
results/baseline.csv: the accuracy on the five clients' test digits and on everyone's.
"""

import os

import pandas as pd
from _common import ROOT, WRITER_DIGITS, choose_path, create_parser

from fedlab import data, evaluation, learning, models, training
from fedlab.data import preprocessing, sampling
from fedlab.experiments.results import write_results

SEED = 0


def run_baseline(dataset: data.FederatedDataset) -> list[dict]:
    """Trains as the article does and evaluates on its five clients and on all."""
    model = models.build_functional_model()
    first_five = dataset.train.client_ids[:5]
    run = training.run_rounds(
        learning.build_fed_avg(model),
        preprocessing.build_cohort_fn(dataset.train, sampling.fixed(first_five)),
        num_rounds=10,
        callbacks=[],
    )
    answers = evaluation.predict(run.weights, dataset.test)
    groups = {"the five": answers[answers.client_id.isin(first_five)], "everyone": answers}
    return [
        {
            "dataset": dataset.name,
            "evaluated_on": group,
            "num_examples": len(rows),
            "accuracy": round(evaluation.accuracy(rows), 4),
            "loss": round(rows.loss.mean(), 4),
        }
        for group, rows in groups.items()
    ]


def main() -> None:
    args = create_parser(__doc__).parse_args()
    names = ["digits", *([str(WRITER_DIGITS)] if WRITER_DIGITS.exists() else [])]
    loaded = [data.load(name) for name in names]
    digests = {dataset.name: dataset.sha256 for dataset in loaded}
    path = choose_path("baseline.csv", digests, args.to)
    table = pd.DataFrame(row for dataset in loaded for row in run_baseline(dataset))
    write_results(path, table, seed=SEED, digests=digests)
    print(table.to_string(index=False))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()

"""Records of small runs on digits."""

import datetime
import json

from fedlab import compile
from fedlab.data import sampling
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.experiments.privacy_record import Statement, build_record
from fedlab.learning import build_fed_avg, leave_out_metrics
from fedlab.models import build_functional_model, create_small_cnn
from fedlab.training import run_rounds

DAY = datetime.date(2026, 11, 25)
ROUND = {"round_num": 1, "num_clients": 3, "num_dropped": 0, "bytes_up": 30, "bytes_down": 30}
GUESSING = {"metric": "AUC", "estimate": 0.51, "low": 0.45, "high": 0.57, "chance": 0.5}


def train(
    digits, plan=None, num_rounds=2, *, secure_sum="plain", weights=None, callbacks=(), **options
):
    """Two rounds on digits."""
    draw = sampling.uniform(digits.train.client_ids, 3)
    if plan is not None:
        options |= {
            "weighted": False,
            "aggregator": plan.build_aggregator(insecure_seed=0),
            "metrics_aggregator": leave_out_metrics,
        }
        draw = plan.sample_fn(digits.train.client_ids, insecure_seed=0)
    model = build_functional_model(create_small_cnn)
    process = build_fed_avg(model, client_learning_rate=0.1, **options)
    runner = compile(process, privacy_plan=plan, secure_sum=secure_sum)
    cohort_fn = build_cohort_fn(digits.train, draw, Preprocessing())
    return run_rounds(runner, cohort_fn, num_rounds, initial_weights=weights, callbacks=callbacks)


def build(run=(ROUND,), statement=None, **options):
    options = {"day": DAY, "seed": 3, "digests": {"training data": "0123456789abcdef"}} | options
    return build_record(run, statement or Statement(), **options)


def section(record, name):
    return json.loads(record.to_json())[name]

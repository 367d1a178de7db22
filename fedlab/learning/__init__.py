"""Learning algorithms: each is a TFF `LearningProcess` from one of TFF's own builders."""

from fedlab.learning.adaptive_fed_opt import build_fed_adam, build_fed_yogi
from fedlab.learning.building_blocks import Rate, TffModel, leave_out_metrics
from fedlab.learning.fed_opt import (
    ClientOptions,
    build_fed_avg,
    build_fed_avgm,
    build_fed_opt,
    build_fed_prox,
)
from fedlab.learning.federated_evaluation import build_evaluation
from fedlab.learning.gradients import build_fed_sgd, build_mime_lite

__all__ = [
    "ClientOptions",
    "Rate",
    "TffModel",
    "build_evaluation",
    "build_fed_adam",
    "build_fed_avg",
    "build_fed_avgm",
    "build_fed_opt",
    "build_fed_prox",
    "build_fed_sgd",
    "build_fed_yogi",
    "build_mime_lite",
    "leave_out_metrics",
]

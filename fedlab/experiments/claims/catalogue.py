"""The claims of the article, in the order of its parts, in the course's own words."""

from fedlab.experiments.claims import language, privacy, statements, training
from fedlab.experiments.claims.claim import Claim, by_check

_START, _DATA, _ROUNDS = "00_start_here", "01_federated_data", "03_training_rounds"
_EVALUATION, _ACCURACY, _CLIENTS = "04_evaluation", "05_improving_accuracy", "06_non_iid_clients"
_NOISE, _SUMS, _ATTACKS = (
    "07_differential_privacy",
    "08_secure_aggregation_and_encryption",
    "09_attacks",
)
_SCORES, _GIVES_AWAY, _LAWS = (
    "10_scoreboard",
    "12_what_a_language_model_gives_away",
    "13_privacy_and_the_law",
)

_FORECAST = by_check("cannot be tested here", "It is a forecast.")
_EASY = by_check("cannot be tested here", "Nothing measures “easy”; the lessons have the code.")
_AMOUNT = by_check(
    "cannot be tested here",
    "Our model is small. That a model gives back what was said is lesson 12.",
)
_LAW = by_check(
    "holds", "Fines reach 4% of a year's turnover (GDPR 83), or 7,988 dollars a violation (CCPA)."
)
_FIFTY = {"num_rounds": 50}
_DEEPER = {"model": "deeper_cnn"}
_TWO = {"augmentation": "mirror_and_brightness"}

_CONCEPTS, _TOOLS, _PART = "concepts", "set-up and code", "roles, data flow, drawings"
_TESTS, _BETTER, _LARGE = "its run", "suggestions", "large models and the law"


CLAIMS = [
    Claim(
        "data-stays", _CONCEPTS, "concept", "The model moves and the data stays.",
        by_check("holds", "Models and updates cross, as the count of the bytes says."), _ROUNDS, "cell-24",
        'NUM_CLIENTS * model_bytes == 5 * 693_962 * 4',
    ),
    Claim(
        "local-is-private", _CONCEPTS, "statement",
        "Data that stays local keeps sensitive information from leaking.",
        privacy.local_data_is_safe, _ATTACKS,
    ),
    Claim(
        "edge-computes", _CONCEPTS, "statement",
        "The computing power of edge devices is used, which relieves the centre of work.",
        privacy.edge_computes, _SCORES,
    ),
    Claim(
        "less-centre", _CONCEPTS, "statement", "The centre is depended on less (bytes that reach it).",
        privacy.edge_saves_traffic, _SCORES,
    ),
    Claim(
        "non-iid", _CONCEPTS, "statement", "Data that differs from device to device can be handled.",
        training.non_iid_is_handled, _CLIENTS,
    ),
    Claim(
        "dp-bound", _CONCEPTS, "concept",
        "Noise in the updates keeps the influence of a single data point within a bound.",
        privacy.noise_bounds_influence, _NOISE,
    ),
    Claim(
        "dp-stops", _CONCEPTS, "statement",
        "Noise so stops attackers from inferring the data through the model.",
        privacy.noise_stops_attackers, _ATTACKS,
    ),
    Claim(
        "he-computes", _CONCEPTS, "concept", "Encrypted data can be computed on without decryption.",
        privacy.sums_need_no_decryption, _SUMS,
    ),
    Claim(
        "he-always", _CONCEPTS, "statement", "Updates stay encrypted on their way, all the time.",
        by_check("holds if", "nobody on the way has the key: one client that has it opens an update"),
        _SUMS, "ckks-collusion",
        'np.array_equal(one, other) for one, other in zip(opened, integers',
    ),
    Claim(
        "he-safer", _CONCEPTS, "statement", "Encryption makes the training safer.",
        privacy.hides_single_updates(
            "ckks", "the sum is one of many clients, and nobody asks the model, which still tells members"
        ),
        _ATTACKS,
    ),
    Claim(
        "python-3.8", _TOOLS, "statement", "It runs on the 3.8 series of Python alone.",
        by_check("cannot be tested here", "With TFF 0.87 its code does not run at all; older ones were not tried."),
    ),
    Claim(
        "pip-install", _TOOLS, "code", "One pip command installs TensorFlow Federated.",
        by_check("cannot be tested here", "The tests of this course use no network."),
    ),
    Claim(
        "first-listing", _TOOLS, "code", "The first listing runs.",
        by_check("does not hold", "Its calls are gone from TFF 0.87."), _START, "cell-23",
        'not exists(old)',
    ),
    Claim(
        "second-listing", _TOOLS, "code", "The listing of server and client runs.",
        by_check("does not hold", "It mixes calls of two versions; one of them is gone."), _START, "cell-23",
        'not exists(old)',
    ),
    Claim(
        "tff-easy", _TOOLS, "statement", "With TFF, federated experiments are easy.", _EASY,
    ),
    Claim(
        "tff-dp", _TOOLS, "statement", "Differential privacy is easily combined with TFF.",
        by_check("holds", "TFF's aggregator clips and adds noise as it should."), _NOISE, "check-noise",
        'np.isclose(noisy.std(), expected',
    ),
    Claim(
        "tff-he", _TOOLS, "statement", "Homomorphic encryption is easily combined with TFF.",
        by_check("does not hold", "TFF has none: this course adds it from outside, with another library."),
        _SCORES, "he-search",
        'not search("encrypt|homomorph',
    ),
    Claim(
        "tff-client", _TOOLS, "code", "TFF has the client's code: nobody needs to write it.",
        by_check("holds", "TFF's round is the one written by hand."), _ROUNDS, "cell-20",
        'largest < 1e-6',
    ),
    Claim(
        "letters", _TOOLS, "statement", "Some clients hold mostly digits and others mostly letters.",
        by_check("does not hold", "Its call loads digits alone by default; so do the data sets here."),
        _DATA, "cell-17",
        'set(all_labels) == set(range(10))',
    ),
    Claim(
        "maybe-non-iid", _TOOLS, "statement", "The clients' data may be non-IID.",
        by_check("holds", "The simulated writers' labels differ more than chance explains."), _DATA, "cell-29",
        'mean_distance(counts.values()) > 1.3 * mean_distance(iid_counts)',
    ),
    Claim(
        "random-clients", _TOOLS, "code", "Five clients are chosen at random.",
        training.is_random_sample, _DATA,
    ),
    Claim(
        "accuracy-rises", _TESTS, "figure", "The training accuracy rises from 9.2% to 15.2%.",
        statements.printed_accuracy_rises, _ROUNDS,
    ),
    Claim(
        "test-accuracy", _TESTS, "figure", "The test accuracy is 14.04%.",
        statements.printed_test_accuracy, _ROUNDS,
    ),
    Claim(
        "five-for-all", _TESTS, "figure", "The test on five clients measures the global model.",
        statements.speaks_for_all, _EVALUATION,
    ),
    Claim(
        "low-accuracy", _TESTS, "statement", "The accuracy of this run is low.",
        statements.accuracy_is_low, _ACCURACY,
    ),
    Claim(
        "six-stages", _PART, "concept",
        "A round: send the model, train locally, upload, aggregate (FedAvg), repeat.",
        by_check("holds", "TFF's round is these steps, written by hand."), _ROUNDS, "cell-20",
        'largest < 1e-6',
    ),
    Claim(
        "gradient-or-change", _PART, "statement",
        "What is uploaded is a gradient or a change of the parameters.",
        statements.gradient_or_change, _SCORES,
    ),
    Claim(
        "until-converged", _PART, "statement", "The rounds are repeated until the model converges.",
        statements.until_it_converges, _SCORES,
    ),
    Claim(
        "division-of-work", _PART, "statement",
        "This division of work achieves privacy and uses distributed computing.",
        privacy.all_in_one, _ATTACKS,
    ),
    Claim(
        "drawing-1", _PART, "drawing", "The architecture: arrows lead from the clients to the server alone.",
        by_check("does not hold", "The model must go down to the clients: as many bytes as come up."),
        _SCORES, "drawing-1",
        '(sent.bytes_down >= sent.bytes_up).all()',
    ),
    Claim(
        "drawing-2", _PART, "drawing", "The training: one client trains after the other.",
        by_check("does not hold", "FedAvg takes a mean, whatever the order; a chain gives another model."),
        _SCORES, "chain-show",
        'changed["FedAvg"] < 0.01 < 0.05 < changed["a chain"]',
    ),
    Claim(
        "suggestion-1", _BETTER, "suggestion", "1: 50 rounds in place of 10.",
        training.suggestion(_FIFTY), _ACCURACY,
    ),
    Claim(
        "suggestion-2", _BETTER, "suggestion", "2: a deeper CNN.",
        training.suggestion(
            _DEEPER, others=[_DEEPER | _FIFTY], against=_FIFTY, otherwise="both networks have 50 rounds"
        ),
        _ACCURACY,
    ),
    Claim(
        "suggestion-3", _BETTER, "suggestion", "3: Adam at the clients (0.001) and at the server (0.1).",
        training.suggestion(
            training.WRITTEN_ADAM,
            others=[training.ADAM, training.ADAM | {"algorithm": "fed_adam", "server_learning_rate": 0.01}],
            otherwise="the server keeps SGD, or its Adam gets a larger epsilon",
        ),
        _ACCURACY,
    ),
    Claim(
        "suggestion-4", _BETTER, "suggestion", "4: 20 clients in place of 5.",
        training.suggestion({"num_clients": 20}), _ACCURACY,
    ),
    Claim(
        "suggestion-5", _BETTER, "suggestion", "5: batches of 64 in place of 20.",
        training.suggestion({"batch_size": 64}), _ACCURACY,
    ),
    Claim(
        "suggestion-6", _BETTER, "suggestion", "6: mirrored and brightened digits, batches of 32.",
        training.suggestion(_TWO | {"batch_size": 32}, _TWO), _ACCURACY,
    ),
    Claim(
        "suggestion-7", _BETTER, "suggestion", "7: start from a model trained on other data.",
        training.suggestion({"pretrained": True}, condition="the other data are like the clients': no others were tried"),
        _ACCURACY,
    ),
    Claim(
        "suggestion-8-prox", _BETTER, "suggestion", "8: FedProx does better on non-IID clients.",
        training.better_on_skewed_clients("fed_prox"), _CLIENTS,
    ),
    Claim(
        "suggestion-8-avgm", _BETTER, "suggestion", "8: FedAvgM does better on non-IID clients.",
        training.better_on_skewed_clients("fed_avgm"), _CLIENTS,
    ),
    Claim(
        "most-direct", _BETTER, "statement", "More rounds and another model are the most direct ways.",
        training.most_direct, _ACCURACY,
    ),
    Claim(
        "all-eight", _BETTER, "suggestion", "The suggestions raise the accuracy (all eight at once).",
        training.all_together, _ACCURACY,
    ),
    Claim(
        "large-data", _LARGE, "statement", "Large models need massive data, which may be sensitive.",
        _AMOUNT,
    ),
    Claim(
        "model-inversion", _LARGE, "statement",
        "Attackers infer features of the training data from a model's output.",
        by_check(
            "holds if", "it gives confidences, and a feature of a class is meant: no record is shown"
        ),
        _ATTACKS, "invert-assert",
        'likeness["by confidences"] > likeness["blank paper"] + 0.1',
    ),
    Claim(
        "law", _LARGE, "statement", "The GDPR and the CCPA make strict demands.", _LAW,
        _LAWS, "demands-check",
        'len(demanded) >= 8',
    ),
    Claim(
        "large-fl", _LARGE, "statement", "For large models, distributed training protects the data.",
        language.updates_hide_text, _GIVES_AWAY,
    ),
    Claim(
        "large-dp", _LARGE, "statement", "For large models, noise in the updates lowers the risk.",
        language.noise_lowers_risk, _GIVES_AWAY,
    ),
    Claim(
        "large-he", _LARGE, "statement", "For large models, encryption covers transfer and computation.",
        language.encryption_covers_computation, _GIVES_AWAY,
    ),
    Claim(
        "mpc", _LARGE, "concept", "Several parties compute together, and each keeps its data private.",
        privacy.hides_single_updates(
            "shares", "no two servers collude, the sum is one of many, and nobody asks the model"
        ),
        _SUMS,
    ),
    Claim(
        "balance", _LARGE, "statement", "Federated learning balances privacy and performance.",
        privacy.privacy_and_performance, _NOISE,
    ),
    Claim(
        "growing-role", _LARGE, "forecast", "Its role will grow with large models.", _FORECAST,
    ),
]  # fmt: skip

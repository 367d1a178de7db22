"""Two statements of the article, as configurations.

What is uploaded is a gradient or a change of the parameters. A round of FedSGD and one of FedAvg send
the same bytes, a model down and an update up for each client, so equal rounds are equal bytes. Each
algorithm has some rates to choose from.

The rounds go on until the model has converged. A rule says when: the run ends when the accuracy on
writers who do not train has not risen for some evaluations.
"""

from fedlab.experiments.config import BASELINE
from fedlab.experiments.settings import vary

UPLOAD_GROUP, STOP_GROUP = "upload", "stop"
ONE_STEP_RATE = 0.1  # of FedSGD's server, and of the clients that take one step

# Batches of 10: with the article's 20 a simulated writer of "digits" would have a single batch.
_UPLOAD = vary(
    BASELINE, group=UPLOAD_GROUP, num_clients=10, sampling="uniform", num_rounds=30, batch_size=10,
    evaluate_every=3, shuffle=True,
)  # fmt: skip
_WHOLE_CLIENT = 1000  # examples: more than any client has, so that a batch is all of them
_STOP = vary(
    _UPLOAD, group=STOP_GROUP, num_rounds=100, evaluate_every=5, client_learning_rate=0.1
)  # fmt: skip

STATEMENTS = [
    *(
        vary(
            _UPLOAD, name=f"FedSGD, rate {rate:g}", algorithm="fed_sgd", server_learning_rate=rate
        )
        for rate in (ONE_STEP_RATE, 0.3, 1.0)
    ),
    vary(
        _UPLOAD, name=f"FedAvg, one step, rate {ONE_STEP_RATE:g}", batch_size=_WHOLE_CLIENT,
        client_learning_rate=ONE_STEP_RATE,
    ),
    *(
        vary(
            _UPLOAD, name=f"FedAvg, {num_epochs} epoch{'s' if num_epochs > 1 else ''}, rate {rate:g}",
            num_epochs=num_epochs, client_learning_rate=rate,
        )
        for num_epochs, rate in ((1, 0.1), (1, 0.2), (5, 0.1))
    ),
    vary(_STOP, name="100 rounds"),
    vary(_STOP, name="until the rule says stop", patience=3),
    vary(
        BASELINE, name="the article's settings, until the rule says stop", group=STOP_GROUP,
        num_rounds=100, evaluate_every=5, patience=3,
    ),
]  # fmt: skip

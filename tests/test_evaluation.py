"""Federated evaluation and the table of all answers agree; fairness is who is left behind."""

import numpy as np
import pandas as pd
import pytest
from helpers import tiny

from fedlab import evaluation, models, runtime
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.preprocessing import Preprocessing
from fedlab.learning import build_fed_avg

DATA = tiny.create_data(40, 7, 130, 300)
CLIENTS = DATA.client_ids


@pytest.fixture(scope="module")
def model():
    return models.build_functional_model(tiny.create_model)


@pytest.fixture(scope="module")
def weights(model):
    with runtime.compile(build_fed_avg(model)) as runner:
        return runner.get_model_weights(runner.initialize())


@pytest.fixture(scope="module")
def predictions(weights):
    return evaluation.predict(weights, DATA, create_fn=tiny.create_model)


def test_every_example_is_answered_once(predictions):
    assert list(predictions.columns) == ["client_id", "label", "prediction", "loss"]
    assert predictions.client_id.value_counts().to_dict() == dict(
        zip(CLIENTS, (40, 7, 130, 300), strict=True)
    )
    for client_id, rows in predictions.groupby("client_id"):
        pixels, labels = DATA.examples(client_id)
        logits = tiny.create_model()(pixels[..., np.newaxis]).numpy()
        np.testing.assert_array_equal(rows.label, labels)
        np.testing.assert_array_equal(rows.prediction, logits.argmax(axis=1))


def test_the_table_is_the_same_whatever_the_clients_sizes_are(weights):
    pixels, labels = tiny.create_examples(1100)
    sizes = {"a": 3, "b": 600, "c": 40, "d": 457}
    ends = np.cumsum(list(sizes.values()))
    examples = {
        name: Examples(pixels[end - size : end], labels[end - size : end])
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }
    read = [
        MemoryClientData(sizes, examples.get),
        MemoryClientData(["a"], lambda _: (pixels, labels)),
    ]
    tables = [evaluation.predict(weights, each, create_fn=tiny.create_model) for each in read]
    assert tables[0].client_id.value_counts().to_dict() == sizes
    columns = ["label", "prediction", "loss"]
    pd.testing.assert_frame_equal(tables[0][columns], tables[1][columns], check_exact=True)


@pytest.mark.parametrize("client_ids", [None, ["c2"], ["c3", "c0"]])
def test_federated_evaluation_is_the_share_of_right_answers(model, weights, client_ids):
    evaluate_fn = evaluation.build_evaluate_fn(model, DATA, client_ids)
    predictions = evaluation.predict(weights, DATA, client_ids, create_fn=tiny.create_model)
    found = evaluate_fn(1, weights)
    assert set(found) == {"eval_loss", "eval_accuracy"}
    assert found["eval_accuracy"] == pytest.approx(evaluation.accuracy(predictions), abs=1e-6)
    assert found["eval_loss"] == pytest.approx(predictions.loss.mean(), rel=1e-5)
    assert evaluate_fn(1, weights) == found  # nothing is carried over from call to call


def test_large_data_are_evaluated_to_the_same_and_small_data_are_made_into_batches_once(
    model, weights, monkeypatch
):
    made = []

    def count(self, *arguments):
        made.append(arguments)
        return apply_to_arrays(self, *arguments)

    apply_to_arrays = Preprocessing.apply_to_arrays
    monkeypatch.setattr(Preprocessing, "apply_to_arrays", count)
    found, num_made = [], []
    for max_bytes in (evaluation.MAX_KEPT_BYTES, 0):
        monkeypatch.setattr(evaluation, "MAX_KEPT_BYTES", max_bytes)
        evaluate_fn = evaluation.build_evaluate_fn(model, DATA)
        found += [evaluate_fn(1, weights) for _ in range(2)]
        num_made.append(len(made))
    assert found == [found[0]] * 4
    assert num_made == [len(CLIENTS), 3 * len(CLIENTS)]


def test_the_prefix_keeps_two_evaluations_apart(model, weights):
    evaluate_fn = evaluation.build_evaluate_fn(model, DATA, ["c1"], prefix="unseen_")
    assert set(evaluate_fn(1, weights)) == {"unseen_loss", "unseen_accuracy"}


def test_the_article_s_cnn_evaluates_in_both_forms_to_the_same():
    data = DATA.select(["c0", "c1"])
    with runtime.compile(build_fed_avg(models.build_model_fn())) as runner:
        weights = runner.get_model_weights(runner.initialize())
    found = [
        evaluation.build_evaluate_fn(model, data)(1, weights)
        for model in (models.build_model_fn(), models.build_functional_model())
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    expected = evaluation.accuracy(evaluation.predict(weights, data))
    assert found[0]["eval_accuracy"] == pytest.approx(expected, abs=1e-6)


def test_per_client_adds_up_to_the_whole(predictions):
    table = evaluation.per_client(predictions)
    assert list(table.index) == CLIENTS
    assert table.num_examples.sum() == len(predictions)
    for column, whole in (
        ("accuracy", evaluation.accuracy(predictions)),
        ("loss", predictions.loss.mean()),
    ):
        assert np.average(table[column], weights=table.num_examples) == pytest.approx(whole)


def test_the_confusion_matrix_counts_every_answer(predictions):
    matrix = evaluation.confusion_matrix(predictions)
    assert matrix.shape == (10, 10)
    assert matrix.sum() == len(predictions)
    assert np.trace(matrix) / matrix.sum() == pytest.approx(evaluation.accuracy(predictions))
    np.testing.assert_array_equal(matrix.sum(axis=1), np.bincount(predictions.label, minlength=10))


def test_the_confusion_matrix_s_rows_are_true_labels():
    table = pd.DataFrame({"label": [1, 1, 2], "prediction": [1, 2, 2]})
    np.testing.assert_array_equal(
        evaluation.confusion_matrix(table, num_classes=3), [[0, 0, 0], [0, 1, 1], [0, 0, 1]]
    )


@pytest.mark.parametrize("column, value", [("label", 3), ("prediction", 61), ("label", -1)])
def test_the_confusion_matrix_leaves_no_answer_out(column, value):
    table = pd.DataFrame({"label": [1, 2], "prediction": [1, 2]})
    table.loc[1, column] = value
    with pytest.raises(ValueError, match=f"between 0 and 2. Found {value}; give num_classes"):
        evaluation.confusion_matrix(table, num_classes=3)


def test_fairness_by_hand():
    found = evaluation.fairness([1.0, 0.5, 0.0, 0.9, 0.6], worst_fraction=0.4)
    assert found["mean"] == pytest.approx(0.6)
    assert found["std"] == pytest.approx(np.sqrt((0.16 + 0.01 + 0.36 + 0.09 + 0.0) / 5))
    assert found["worst"] == pytest.approx(0.25)
    assert found["best"] == pytest.approx(0.95)


@pytest.mark.parametrize("num_clients, worst", [(3, 0.0), (10, 0.0), (11, 0.5), (20, 0.5), (21, 1)])
def test_the_worst_decile_is_rounded_up_to_whole_clients(num_clients, worst):
    accuracies = np.arange(num_clients) / 100
    assert evaluation.fairness(accuracies)["worst"] == pytest.approx(worst / 100)


def test_everyone_is_the_worst_fraction_of_1():
    found = evaluation.fairness([0.2, 0.4], worst_fraction=1.0)
    assert found["worst"] == found["best"] == pytest.approx(found["mean"])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: evaluation.fairness([]), "client_accuracies .* n at least 1. Found"),
        (lambda: evaluation.fairness([85, 90]), "client_accuracies .* Found 85 .* by 100"),
        (lambda: evaluation.fairness([1.0], worst_fraction=0.0), "Found 0.0"),
        (lambda: evaluation.fairness([1.0], worst_fraction=1.5), "Found 1.5"),
    ],
)
def test_fairness_refuses_what_has_no_answer(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "client_ids, message",
    [(["c0", "nobody"], "no client 'nobody'"), ([], "at least one client")],
)
def test_unknown_clients_and_none_are_told(model, weights, client_ids, message):
    with pytest.raises(ValueError, match=message):
        evaluation.build_evaluate_fn(model, DATA, client_ids)
    with pytest.raises(ValueError, match=message):
        evaluation.predict(weights, DATA, client_ids, create_fn=tiny.create_model)


def test_another_model_s_weights_are_told(weights):
    with pytest.raises(ValueError, match="another model's"):
        evaluation.predict(weights, DATA, create_fn=models.create_cnn)

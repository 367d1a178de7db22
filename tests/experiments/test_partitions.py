"""Who holds what in a run: every digit once, the public ones nobody's, the data sets by name."""

import pytest
from helpers import studies, tiny
from helpers.studies import CONFIG, change

from fedlab import data
from fedlab.data.client_data import Examples
from fedlab.experiments import partitions

DATASET = studies.create_dataset()


@pytest.mark.parametrize("partition", ["iid", "shards", "dirichlet"])
def test_every_digit_is_dealt_once_and_the_test_stays(partition):
    config = change(partition=partition, alpha=0.5 if partition == "dirichlet" else None)
    dealt = partitions.deal(config, studies.TRAIN, seed=3)
    assert len(dealt.client_ids) == len(studies.TRAIN.client_ids)
    found, expected = data.pool(dealt), data.pool(studies.TRAIN)
    rows = {image.tobytes(): label for image, label in zip(*found, strict=True)}
    assert rows == {image.tobytes(): label for image, label in zip(*expected, strict=True)}
    assert len(found.labels) == len(expected.labels)
    other = partitions.deal(config, studies.TRAIN, seed=4)
    assert not tiny.same_data(dealt, other)
    assert partitions.deal(CONFIG, studies.TRAIN, seed=3) is studies.TRAIN


def test_public_digits_are_nobody_s():
    config = change(pretrained=True)
    assert DATASET.participants(pretrained=CONFIG.pretrained).client_ids == [
        f"c{k}" for k in range(7)
    ]
    assert DATASET.participants(pretrained=config.pretrained).client_ids == [
        f"c{k}" for k in range(6)
    ]  # a fifth of 7: 1
    assert tiny.same_bits(DATASET.public_examples, studies.TRAIN.examples("c6"))
    given = Examples(*tiny.create_examples(30, seed=9))
    dataset = studies.create_dataset(public_fn=lambda: given)
    assert dataset.participants(pretrained=config.pretrained) is studies.TRAIN
    assert dataset.public_examples is given


def test_the_data_s_mark_changes_with_any_digit_or_owner():
    marks = {DATASET.sha256, studies.create_dataset("other").sha256}
    assert len(marks) == 1
    examples = [studies.TRAIN.examples(client_id) for client_id in studies.TRAIN.client_ids]
    renamed = tiny.MemoryClientData([f"d{k}" for k in range(7)], lambda one: examples[int(one[1:])])
    marks.add(studies.create_dataset(train=renamed).sha256)
    marks.add(studies.create_dataset(test=studies.TRAIN).sha256)
    assert len(marks) == 3


def test_data_sets_go_by_name_and_path(whole, tmp_path, monkeypatch):
    monkeypatch.delenv("FEDLAB_DATASET", raising=False)
    assert data.load().name == "digits"
    monkeypatch.setenv("FEDLAB_DATASET", str(whole))
    found = data.load()
    assert (found.name, found.argument) == ("emnist_all.sqlite", str(whole))
    assert tiny.same_data(found.train, tiny.TRAIN)
    assert len(found.public_examples.labels) == 1797
    assert data.show_name("/x/writer-digits/emnist_all.sqlite.lzma") == "writer digits"
    with pytest.raises(ValueError, match="no data set 'digit'. Choose one of \"digits\""):
        data.load("digit")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        data.load(str(tmp_path / "none.sqlite"))

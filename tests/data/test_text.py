"""Texts by author as client data, on which cohorts, pools and evaluation work as on images."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from fedlab import data
from fedlab.data import preprocessing, sampling
from fedlab.data.text import Windows

CHINESE = {
    "鲁迅": "希望是本无所谓有,无所谓无的。" * 10,
    "朱自清": "曲曲折折的荷塘上面,弥望的是田田的叶子。" * 8,
}


@pytest.fixture
def folder(tmp_path):
    """One author with a file, one with a folder of two."""
    (tmp_path / "朱自清").mkdir()
    for name, text in (("鲁迅.txt", CHINESE["鲁迅"]), ("朱自清/b.txt", "完。"), ("other.md", "x")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "朱自清" / "a.txt").write_text(CHINESE["朱自清"], encoding="utf-8")
    return tmp_path


def test_a_folder_of_texts_becomes_a_federation_in_five_lines(folder):
    texts = data.read_texts(folder)
    tokenizer = data.create_character_tokenizer(texts.values())
    train, test = data.from_texts(texts, tokenizer, context=8)
    dataset = data.FederatedDataset("my texts", train, test)
    cohort = preprocessing.build_cohort_fn(train, sampling.fixed(train.client_ids))(1)
    assert texts["朱自清"] == CHINESE["朱自清"] + "\n\n完。"
    assert set(cohort) == {"鲁迅", "朱自清"}
    tokens, next_tokens = next(iter(cohort["鲁迅"].as_numpy_iterator()))
    assert tokens.dtype == next_tokens.dtype == np.int32
    assert tokenizer.decode(tokens[0]) == CHINESE["鲁迅"][:8]
    assert tokenizer.decode(next_tokens[0]) == CHINESE["鲁迅"][1:9]
    assert dataset.num_classes == tokenizer.num_tokens and len(dataset.sha256) == 16


def test_a_table_of_texts_becomes_the_same_federation():
    rows = [(author, part) for author, text in CHINESE.items() for part in text.splitlines()]
    table = pd.DataFrame(rows, columns=["author", "text"])
    texts = table.groupby("author").text.agg("\n".join).to_dict()
    assert texts == CHINESE
    train, _ = data.from_texts(texts, data.create_character_tokenizer(texts.values()), context=8)
    assert set(train.client_ids) == set(CHINESE)


def test_the_end_of_each_text_is_the_test():
    text = "abcdefghij" * 10
    train, test = data.from_texts({"ann": text}, data.Tokenizer("abcdefghij"), context=4)
    assert train.examples("ann").tokens.ravel().tolist() == (list(range(10)) * 8)[:76]
    # 20 tokens are left; the last window would need a 21st.
    assert test.examples("ann").tokens.ravel().tolist() == (list(range(10)) * 2)[:16]


def test_windows_follow_each_other_and_say_what_comes_next():
    windows = data.to_windows(np.arange(10), context=3)
    assert windows.tokens.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert windows.next_tokens.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert data.to_windows([], context=3).tokens.shape == (0, 3)
    assert data.to_windows([1, 2, 3], context=3).tokens.shape == (0, 3)


def test_an_author_with_too_little_text_is_left_out_and_no_author_is_an_error():
    tokenizer = data.Tokenizer("ab")
    train, _ = data.from_texts({"ann": "ab" * 50, "bob": "ab"}, tokenizer, context=4)
    assert train.client_ids == ["ann"]
    with pytest.raises(ValueError, match="No author has text for a window of 4 tokens"):
        data.from_texts({"bob": "ab"}, tokenizer, context=4)


def create(**windows):
    return data.TokenClientData(windows, windows.__getitem__, num_tokens=5, context=2)


GOOD = Windows(np.array([[0, 1], [2, 3]]), np.array([[1, 2], [3, 4]]))


def test_it_is_tff_client_data():
    client_data = create(ann=GOOD, bob=GOOD)
    spec = tf.TensorSpec((2,), tf.int32)
    assert client_data.element_type_structure == {"label": spec, "tokens": spec}
    elements = list(client_data.create_tf_dataset_for_client("ann").as_numpy_iterator())
    assert elements[1]["tokens"].tolist() == [2, 3] and elements[1]["label"].tolist() == [3, 4]
    traced = client_data.serializable_dataset_fn(tf.constant("bob"))
    assert len(list(traced)) == client_data.num_examples("bob") == 2
    assert client_data.select(["bob"]).client_ids == ["bob"]
    assert isinstance(client_data.select(["bob"]), data.TokenClientData)
    pooled = data.pool(client_data)
    assert pooled[0].dtype == np.int32 and pooled[0].shape == pooled[1].shape == (4, 2)
    assert data.take(client_data, [3])[0].tolist() == [[2, 3]]


@pytest.mark.parametrize(
    "windows, message",
    [
        (
            Windows(np.array([[0, 5]]), np.array([[1, 2]])),
            "tokens must lie between 0 and 4. Found 5",
        ),
        (Windows(np.array([[0, 1]]), np.array([[1, -1]])), "next_tokens must lie between 0 and 4"),
        (Windows(np.zeros((0, 2), int), np.zeros((0, 2), int)), "Client 'ann': tokens"),
        (Windows(np.zeros((1, 3), int), np.zeros((1, 3), int)), "Client 'ann': tokens"),
        (Windows(np.zeros((1, 2), int), np.zeros((2, 2), int)), "as many windows. Found 1 and 2"),
    ],
)
def test_windows_that_are_not_usable_name_the_client(windows, message):
    with pytest.raises(ValueError, match=message):
        create(ann=windows).examples("ann")


def test_an_augmentation_of_images_is_refused_for_texts():
    options = preprocessing.Preprocessing(augmentation="mirror")
    cohort_fn = preprocessing.build_cohort_fn(create(ann=GOOD), sampling.fixed(["ann"]), options)
    with pytest.raises(ValueError, match="augmentation must be None for texts"):
        cohort_fn(1)["ann"]


def test_batches_are_the_same_from_arrays_and_from_a_dataset():
    options = preprocessing.Preprocessing(batch_size=1, shuffle=True, num_epochs=2, seed=3)
    client_data = create(ann=GOOD)
    theirs = options.apply(client_data.create_tf_dataset_for_client("ann"), 1, "ann")
    ours = options.apply_to_arrays(*GOOD, 1, "ann")
    for one, other in zip(ours, theirs, strict=True):
        assert [part.numpy().tolist() for part in one] == [part.numpy().tolist() for part in other]


def test_a_folder_without_texts_and_a_file_that_is_no_text_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no files AUTHOR.txt or AUTHOR/\*.txt"):
        data.read_texts(tmp_path)
    (tmp_path / "ann.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not UTF-8"):
        data.read_texts(tmp_path)

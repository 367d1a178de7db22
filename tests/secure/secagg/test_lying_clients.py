"""Clients that lie are found out: about the shares that they hold or deal, and about their keys."""

import dataclasses

import pytest
from helpers.integers import check_equal, plain_sums
from helpers.protocol import (
    SPECS,
    Walk,
    flip,
    names,
    received_by,
    replace,
    signed_by,
    signing_keys_of,
    values_of,
)

from fedlab.secure.interface import ProtocolError
from fedlab.secure.secagg import (
    SecAgg,
    authenticity,
    shamir,
)

EVERYBODY = names(5)


def deal(walk, dealer, monkeypatch, module, function, change):
    """Returns everybody's shares. While the dealer makes its own, `change` is applied to a function."""
    with monkeypatch.context() as patch:
        honest = getattr(module, function)
        patch.setattr(module, function, lambda *args: change(honest(*args), *args))
        sent = walk.clients[dealer].share_keys(walk.advertised)
    for name in EVERYBODY:
        if name != dealer:
            sent = sent + walk.clients[name].share_keys(walk.advertised)
    return sent


# Clients that lie about the shares that they hold


def lie(answers, index, kind, dealer, share=None):
    """Returns the answers with one share in one of them exchanged."""
    shares = getattr(answers[index], kind)
    return replace(answers, index, **{kind: shares | {dealer: share or flip(shares[dealer])}})


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("kind, dealer", [("seed_shares", "c3"), ("key_shares", "c5")])
def test_a_wrong_share_is_named_and_not_summed(kind, dealer, signed):
    walk = Walk(7, signed=signed).share().mask(absent=["c5"])
    answers = walk.reveal()
    check_equal(walk.server.unmask(lie(answers, 1, kind, dealer)), walk.expected())
    assert walk.server.liars == ["c1"]


@pytest.mark.parametrize(
    "answer_of",
    [
        lambda answer: {"seed_shares": {}},
        lambda answer: {"seed_shares": answer.seed_shares | {"stranger": bytes(16)}},
        lambda answer: {"key_shares": answer.key_shares | {"c2": bytes(16)}},
        lambda answer: {"key_shares": {}},
        lambda answer: {"seed_shares": answer.seed_shares | {"c2": bytes(17)}},
        lambda answer: {"seed_shares": answer.seed_shares | {"c1": b""}},  # its own
        lambda answer: {"seed_shares": answer.seed_shares | {"c2": 5}},
        lambda answer: {"seed_shares": answer.seed_shares | {"c2": answer.seed_shares["c3"]}},
    ],
)
def test_shares_of_nothing_and_missing_ones_are_named(answer_of):
    walk = Walk(7).share().mask(absent=["c5"])
    answers = walk.reveal()
    found = walk.server.unmask(replace(answers, 1, **answer_of(answers[1])))
    check_equal(found, walk.expected())
    assert walk.server.liars == ["c1"]


@pytest.mark.parametrize("other", ["of the other kind", "of another holder"])
def test_a_true_share_in_the_wrong_place_is_a_lie(other):
    walk = Walk(7).share().mask(absent=["c5"])
    answers = walk.reveal()
    share = answers[2].seed_shares["c3"]
    if other == "of the other kind":
        share = walk.clients["c1"].share_pairs["c3"].key_share
    found = walk.server.unmask(lie(answers, 1, "seed_shares", "c3", share))
    check_equal(found, walk.expected())
    assert walk.server.liars == ["c1"]


def test_too_few_true_shares_end_the_round_and_name_the_liars():
    walk = Walk().share().mask()
    answers = walk.reveal()
    lies = lie(lie(answers, 1, "seed_shares", "c3"), 4, "seed_shares", "c0")
    with pytest.raises(ProtocolError, match=r"Only 3 of 5 .*\(not so: 'c1', 'c4'\)"):
        walk.server.unmask(lies)
    check_equal(walk.server.unmask(lie(answers, 1, "seed_shares", "c3")), walk.expected())


def test_a_lie_about_one_s_own_share_does_no_harm_or_names_its_teller():
    walk = Walk().share().mask()
    check_equal(walk.server.unmask(lie(walk.reveal(), 1, "seed_shares", "c1")), walk.expected())
    walk = Walk(threshold=5).share().mask()
    with pytest.raises(ProtocolError, match="Client 'c1' lies"):
        walk.server.unmask(lie(walk.reveal(), 1, "seed_shares", "c1"))


def test_a_round_warns_of_a_liar_and_its_sum_is_right():
    values = values_of(EVERYBODY)
    secure_round = SecAgg().begin_round(EVERYBODY, SPECS)
    for name, own in values.items():
        secure_round.add(name, own)
    pairs = secure_round.clients["c1"].share_pairs
    pairs["c3"] = dataclasses.replace(pairs["c3"], seed_share=bytes(16))
    with pytest.warns(RuntimeWarning, match="'c1' revealed wrong shares"):
        sums = secure_round.finish()
    check_equal(sums, plain_sums(values.values(), SPECS))


# Clients that lie when they deal shares, or about their keys


@pytest.mark.parametrize("kind", ["seed", "key"])
def test_a_dealt_share_that_does_not_fit_its_commitment_is_refused_by_its_holder(kind, monkeypatch):
    walk = Walk().advertise()

    def change(commitment, committed_kind, *_):
        return flip(commitment) if committed_kind == kind else commitment

    sent = deal(walk, "c1", monkeypatch, authenticity, "commit_share", change)
    with pytest.raises(ProtocolError, match="Client 'c1' lies: .* dealt to 'c0' do not fit"):
        walk.clients["c0"].mask(walk.values["c0"], received_by("c0", sent))


@pytest.mark.parametrize("kind", ["seed", "key"])
def test_committed_shares_that_do_not_give_the_secret_name_their_dealer(kind, monkeypatch):
    walk = Walk().advertise()
    key_seed, _, seed = walk.secrets["c1"]

    def change(shares, secret, *_):
        is_it = secret == (seed if kind == "seed" else key_seed)
        return shares | {1: flip(shares[1])} if is_it else shares

    sent = deal(walk, "c1", monkeypatch, shamir, "split", change)
    walk.shares = walk.server.route_shares(sent)
    walk.mask(absent=["c1"] if kind == "key" else [])
    with pytest.raises(ProtocolError, match="Client 'c1' lies: .* do not give the secret"):
        walk.server.unmask(walk.reveal())


def test_shares_of_another_length_are_refused_even_if_they_are_committed(monkeypatch):
    walk = Walk().advertise()

    key_seed = walk.secrets["c1"][0]

    def change(shares, secret, *_):
        end = b"!" if secret == key_seed else b""
        return {place: share + end for place, share in shares.items()}

    sent = deal(walk, "c1", monkeypatch, shamir, "split", change)
    with pytest.raises(ProtocolError, match="'c1' must have two commitments"):
        walk.server.route_shares(sent)
    with pytest.raises(ProtocolError, match="Client 'c1' lies"):
        walk.clients["c0"].mask(walk.values["c0"], received_by("c0", sent))


def test_who_takes_the_keys_of_another_is_named():
    walk = Walk()
    keys = [client.advertise_keys() for client in walk.clients.values()]
    copied = dataclasses.replace(keys[1], mask_key=keys[2].mask_key)
    keys[1] = signed_by(signing_keys_of(5)["c1"], walk.parameters, copied)
    with pytest.raises(ProtocolError, match="twice, by 'c1' and by 'c2'"):
        walk.clients["c0"].share_keys(walk.server.collect_keys(keys))


def test_a_false_signature_is_named_by_the_server_and_the_others_go_on():
    walk = Walk().share().mask()
    survivors = walk.server.end_input()
    signed = [walk.clients[name].sign_survivors(survivors) for name in survivors]
    with pytest.raises(ProtocolError, match="signature of 'c1' does not fit the list"):
        walk.server.collect_signatures(replace(signed, 1, signature=signed[2].signature))
    rest = walk.server.collect_signatures([one for one in signed if one.sender != "c1"])
    answers = [walk.clients[one.sender].reveal_shares(survivors, rest) for one in rest]
    check_equal(walk.server.unmask(answers), walk.expected())


def test_a_low_order_key_is_refused_even_if_it_is_signed():
    walk = Walk()
    keys = [client.advertise_keys() for client in walk.clients.values()]
    low = dataclasses.replace(keys[1], encryption_key=bytes(32))
    keys[1] = signed_by(signing_keys_of(5)["c1"], walk.parameters, low)
    with pytest.raises(ProtocolError, match="key of 'c1' is not a valid X25519 key"):
        walk.clients["c0"].share_keys(walk.server.collect_keys(keys))

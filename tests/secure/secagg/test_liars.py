"""Whoever lies is found out: a server that opens vectors without signatures, clients with wrong shares."""

import dataclasses
import secrets

import numpy as np
import pytest
from helpers.integers import check_equal, plain_sums
from helpers.protocol import SPECS, Walk, flip, names, replace, signing_keys_of, values_of

from fedlab.secure.interface import ProtocolError
from fedlab.secure.secagg import (
    Client,
    PublicParameters,
    SecAgg,
    Server,
    authenticity,
    create_signing_keys,
    shamir,
    verification_keys,
)

EVERYBODY = names(5)


def signed_by(signing_key, parameters, keys):
    content = authenticity.keys_content(keys)
    return dataclasses.replace(keys, signature=authenticity.sign(signing_key, parameters, content))


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


def received_by(name, sent):
    return [one for one in sent if one.receiver == name]


# A server that plays all other clients: it exchanges their keys for its own


def test_without_signatures_a_server_that_swaps_keys_reads_a_vector():
    walk = Walk(signed=False)
    for name in EVERYBODY[1:]:
        walk.clients[name] = Client(name, walk.parameters)
        walk.values[name] = [np.zeros(spec.shape, spec.dtype) for spec in SPECS]
    walk.share().mask()
    check_equal(walk.server.unmask(walk.reveal()), walk.values["c0"])


@pytest.mark.parametrize("change", ["its own keys", "own signature", "another's", "old", "none"])
def test_swapped_keys_are_refused_before_anything_is_shared(change):
    walk = Walk().advertise()
    keys = Client("c1", Walk(signed=False).parameters).advertise_keys()
    keys = dataclasses.replace(keys, round_id=walk.parameters.round_id)
    (own_key,) = create_signing_keys(["c1"], secrets.token_bytes).values()
    swapped = {
        "its own keys": dataclasses.replace(keys, signature=walk.advertised[1].signature),
        "own signature": signed_by(own_key, walk.parameters, keys),
        "another's": signed_by(signing_keys_of(5)["c2"], walk.parameters, keys),
        "old": dataclasses.replace(Walk().advertise().advertised[1], round_id=keys.round_id),
        "none": keys,
    }[change]
    with pytest.raises(ProtocolError, match="keys of 'c1' do not carry the signature of 'c1'"):
        walk.clients["c0"].share_keys([walk.advertised[0], swapped, *walk.advertised[2:]])


@pytest.mark.parametrize("field", ["encryption_key", "mask_key", "seed_commitment"])
def test_every_part_of_the_keys_is_signed(field):
    walk = Walk().advertise()
    changed = replace(walk.advertised, 1, **{field: flip(getattr(walk.advertised[1], field))})
    with pytest.raises(ProtocolError, match="keys of 'c1' do not carry"):
        walk.clients["c0"].share_keys(changed)
    with pytest.raises(ProtocolError, match="keys of 'c1' do not carry"):
        Server(walk.parameters).collect_keys(changed)


@pytest.mark.parametrize("change", ["threshold", "cohort", "specs", "registry", "round_id"])
def test_signatures_hold_for_one_set_of_parameters(change):
    parameters = Walk().parameters
    keys = signing_keys_of(5)
    cohort = [*EVERYBODY[:4], "another" if change == "cohort" else "c4"]
    keys = keys | {"another": keys["c4"]}
    if change == "registry":
        keys = keys | create_signing_keys(["c4"], secrets.token_bytes)
    other = PublicParameters(
        cohort,
        SPECS[1:] if change == "specs" else SPECS,
        5 if change == "threshold" else 4,
        b"another" if change == "round_id" else parameters.round_id,
        verification_keys=verification_keys(keys),
    )
    signature = authenticity.sign(keys["c0"], other, b"content")
    assert authenticity.is_signed(signature, "c0", other, b"content")
    assert not authenticity.is_signed(signature, "c0", parameters, b"content")


# A server that shows different lists to different clients


def split(walk, shown):
    """Returns c0's two secrets, from c1, who colludes, and clients that were shown different lists."""
    answers = {name: walk.clients[name].reveal_shares(list_) for name, list_ in shown.items()}
    places, colluder = walk.parameters.places, walk.clients["c1"].share_pairs["c0"]
    seeds = {places["c1"]: colluder.seed_share}
    key_seeds = {places["c1"]: colluder.key_share}
    for name, answer in answers.items():
        if "c0" in answer.seed_shares:
            seeds[places[name]] = answer.seed_shares["c0"]
        else:
            key_seeds[places[name]] = answer.key_shares["c0"]
    return [shamir.combine(shares, walk.parameters.threshold) for shares in (seeds, key_seeds)]


SHOWN = {"c0": EVERYBODY, "c2": EVERYBODY, "c3": EVERYBODY[1:], "c4": EVERYBODY[1:]}


def test_without_a_consistency_check_split_lists_and_one_colluder_give_both_secrets():
    walk = Walk(signed=False, threshold=3).share().mask()
    walk.server.end_input()
    key_seed, _, seed = walk.secrets["c0"]
    assert split(walk, SHOWN) == [seed, key_seed]


def test_split_lists_are_found_and_nothing_is_revealed():
    walk = Walk().share().mask()
    signed = {name: walk.clients[name].sign_survivors(list_) for name, list_ in SHOWN.items()}
    for name, list_ in SHOWN.items():
        content = authenticity.survivors_content(walk.advertised, EVERYBODY, list_)
        forged = authenticity.sign(signing_keys_of(5)["c1"], walk.parameters, content)
        of_colluder = dataclasses.replace(signed["c2"], sender="c1", signature=forged)
        fitting = [of_colluder, *(signed[peer] for peer in SHOWN if SHOWN[peer] == list_)]
        with pytest.raises(ProtocolError, match="Only 3 of 5 clients have signed the list"):
            walk.clients[name].reveal_shares(list_, fitting)
        liar = next(peer for peer in list_ if peer != "c1" and SHOWN[peer] != list_)
        with pytest.raises(ProtocolError, match=f"'{name}' reveals nothing: '{liar}' has not si"):
            walk.clients[name].reveal_shares(list_, [*fitting, signed[liar]])


def test_as_many_colluders_as_the_docstring_says_can_sign_two_lists():
    # 2 * threshold - n = 3 of 5: c1, c3 and c4 sign whatever the server wants.
    walk = Walk().share().mask()
    colluders, shown = ["c1", "c3", "c4"], {"c0": EVERYBODY, "c2": EVERYBODY[1:]}
    seeds, key_seeds = [
        {
            walk.parameters.places[name]: share_of(walk.clients[name].share_pairs["c0"])
            for name in colluders
        }
        for share_of in (lambda pair: pair.seed_share, lambda pair: pair.key_share)
    ]
    for name, list_ in shown.items():
        content = authenticity.survivors_content(walk.advertised, EVERYBODY, list_)
        signed = [walk.clients[name].sign_survivors(list_)]
        for colluder in colluders:
            signature = authenticity.sign(signing_keys_of(5)[colluder], walk.parameters, content)
            signed += replace(signed[:1], 0, sender=colluder, signature=signature)
        answer = walk.clients[name].reveal_shares(list_, signed)
        shares = seeds if name == "c0" else key_seeds
        revealed = answer.seed_shares if name == "c0" else answer.key_shares
        shares[walk.parameters.places[name]] = revealed["c0"]
    key_seed, _, seed = walk.secrets["c0"]
    assert [shamir.combine(shares, 4) for shares in (seeds, key_seeds)] == [seed, key_seed]


def test_another_list_than_the_signed_one_is_refused():
    walk = Walk().share().mask().agree()
    with pytest.raises(ProtocolError, match="'c0' reveals nothing: the server shows it another"):
        walk.clients["c0"].reveal_shares(EVERYBODY[:4], walk.signatures)
    with pytest.raises(ProtocolError, match="'c0' cannot sign_survivors now"):
        walk.clients["c0"].sign_survivors(EVERYBODY[:4])


def test_a_list_that_too_few_have_signed_is_refused():
    walk = Walk().share().mask().agree()
    client, signatures = walk.clients["c0"], walk.signatures
    with pytest.raises(ProtocolError, match="Only 3 of 5 clients have signed the list"):
        client.reveal_shares(EVERYBODY, signatures[:3])
    with pytest.raises(ProtocolError, match="Only 0 of 5 clients have signed the list"):
        client.reveal_shares(EVERYBODY)
    with pytest.raises(ProtocolError, match="'c1' came twice"):
        client.reveal_shares(EVERYBODY, [*signatures[:3], signatures[1]])
    client.reveal_shares(EVERYBODY, signatures[:4])


def test_a_signature_counts_for_its_signer_alone():
    walk = Walk().share().mask(absent=["c4"]).agree()
    client, signatures = walk.clients["c0"], walk.signatures
    with pytest.raises(ProtocolError, match="'c1' has not signed"):
        client.reveal_shares(
            walk.survivors, replace(signatures, 1, signature=signatures[2].signature)
        )
    with pytest.raises(ProtocolError, match="'c4', who is not expected"):
        client.reveal_shares(walk.survivors, replace(signatures, 1, sender="c4"))
    with pytest.raises(ProtocolError, match="'c1' has not signed"):
        client.reveal_shares(walk.survivors, replace(signatures, 1, signature=b""))


def test_signatures_of_a_round_with_the_same_id_are_of_no_use():
    old = Walk(round_id=b"used twice").share().mask().agree()
    walk = Walk(round_id=b"used twice").share().mask()
    walk.clients["c0"].sign_survivors(EVERYBODY)
    with pytest.raises(ProtocolError, match="'c1' has not signed"):
        walk.clients["c0"].reveal_shares(EVERYBODY, old.signatures[1:])


def test_a_client_whose_keys_one_client_does_not_see_is_missed_when_lists_are_compared():
    walk = Walk().advertise()
    sent = walk.clients["c0"].share_keys(walk.advertised[:4])
    for name in EVERYBODY[1:4]:
        sent += walk.clients[name].share_keys(walk.advertised)
    for name in EVERYBODY[:4]:
        walk.clients[name].mask(walk.values[name], received_by(name, sent))
    signatures = [walk.clients[name].sign_survivors(EVERYBODY[:4]) for name in EVERYBODY[:4]]
    with pytest.raises(ProtocolError, match="'c0' reveals nothing: 'c1' has not signed"):
        walk.clients["c0"].reveal_shares(EVERYBODY[:4], signatures)


def test_a_client_whose_shares_one_client_does_not_get_is_missed_when_lists_are_compared():
    walk = Walk().share()
    walk.shares["c0"] = walk.shares["c0"][:3]  # without those of c4
    walk.mask(absent=["c4"])
    signatures = [walk.clients[name].sign_survivors(EVERYBODY[:4]) for name in EVERYBODY[:4]]
    with pytest.raises(ProtocolError, match="'c0' reveals nothing: 'c1' has not signed"):
        walk.clients["c0"].reveal_shares(EVERYBODY[:4], signatures)


def test_commitments_that_the_server_changes_are_found_by_the_holder():
    walk = Walk().share()
    own = walk.shares["c0"]
    changed = replace(own, 0, commitments=own[1].commitments)
    with pytest.raises(ProtocolError, match="shares of 'c1' for 'c0' were changed"):
        walk.clients["c0"].mask(walk.values["c0"], changed)


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

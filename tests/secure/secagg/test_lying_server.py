"""A server that lies is found out: one that swaps keys, or shows different lists to different clients."""

import dataclasses
import secrets

import numpy as np
import pytest
from helpers.integers import check_equal
from helpers.protocol import (
    SPECS,
    Walk,
    flip,
    names,
    received_by,
    replace,
    signed_by,
    signing_keys_of,
)

from fedlab.secure.interface import ProtocolError
from fedlab.secure.secagg import (
    Client,
    PublicParameters,
    Server,
    authenticity,
    create_signing_keys,
    shamir,
    verification_keys,
)

EVERYBODY = names(5)


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

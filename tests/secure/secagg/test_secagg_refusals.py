"""What the protocol refuses: changed, old, doubled, uninvited, out of turn, out of bounds."""

import dataclasses

import numpy as np
import pytest
from helpers.integers import check_equal, draw, plain_sums
from helpers.protocol import (
    SPECS,
    Walk,
    flip,
    names,
    parameters_of,
    replace,
    signing_keys_of,
    values_of,
)

from fedlab.secure.interface import ProtocolError
from fedlab.secure.secagg import Client, PublicParameters, SecAgg
from fedlab.secure.secagg.messages import MaskedInput


@pytest.mark.parametrize("position", [0, 20, 47])
def test_a_share_changed_on_its_way_is_refused_before_the_vector_is_sent(position):
    walk = Walk().share()
    own = walk.shares["c0"]
    changed = replace(own, 2, ciphertext=flip(own[2].ciphertext, position))
    with pytest.raises(ProtocolError, match="'c3' for 'c0' were changed"):
        walk.clients["c0"].mask(walk.values["c0"], changed)


@pytest.mark.parametrize("change", ["another's", "another sender's", "its own", "cut short"])
def test_a_share_for_somebody_else_is_refused(change):
    walk = Walk().share()
    own, other = walk.shares["c0"], walk.shares["c1"]
    ciphertext = {
        "another's": other[2].ciphertext,
        "another sender's": own[3].ciphertext,
        "its own": next(one for one in walk.shares["c3"] if one.sender == "c0").ciphertext,
        "cut short": own[2].ciphertext[:10],
    }[change]
    with pytest.raises(
        ProtocolError, match="were changed after they were sent, or are for another"
    ):
        walk.clients["c0"].mask(walk.values["c0"], replace(own, 2, ciphertext=ciphertext))


def test_messages_of_another_round_are_refused_at_every_step():
    old, walk = Walk().share().mask(), Walk()
    keys = [client.advertise_keys() for client in walk.clients.values()]
    with pytest.raises(ProtocolError, match="PublicKeys of 'c0' belong to another round"):
        walk.server.collect_keys([old.advertised[0], *keys[1:]])
    advertised = walk.server.collect_keys(keys)
    with pytest.raises(ProtocolError, match="PublicKeys of 'c1' belong to another round"):
        walk.clients["c0"].share_keys([advertised[0], old.advertised[1], *advertised[2:]])
    shares = [one for client in walk.clients.values() for one in client.share_keys(advertised)]
    old_share = next(one for one in old.shares["c1"] if one.sender == shares[0].sender)
    with pytest.raises(ProtocolError, match="do not belong to this round"):
        walk.server.route_shares([old_share, *shares[1:]])
    walk.shares = walk.server.route_shares(shares)
    with pytest.raises(ProtocolError, match="belong to another round"):
        walk.clients["c0"].mask(walk.values["c0"], old.shares["c0"])
    relabelled = replace(old.shares["c0"], 0, round_id=walk.parameters.round_id)
    with pytest.raises(ProtocolError, match="were changed"):
        walk.clients["c0"].mask(walk.values["c0"], [relabelled[0], *walk.shares["c0"][1:]])
    walk.mask(absent=["c0"])
    with pytest.raises(ProtocolError, match="MaskedInput of 'c0' belong"):
        walk.server.add_masked_input(next(m for m in old.received if isinstance(m, MaskedInput)))
    answers = walk.reveal()
    with pytest.raises(ProtocolError, match="RevealedShares of 'c1' belong"):
        walk.server.unmask([old.reveal()[1], *answers[1:]])
    check_equal(walk.server.unmask(answers), walk.expected())


def test_keys_are_used_once():
    client = Client("c0", parameters_of(signed=False))
    with pytest.raises(ProtocolError, match="'c0' cannot mask now.*Each step is taken once"):
        client.mask(draw(SPECS, 0), [])
    walk = Walk().share().mask()
    used, shares = walk.clients["c0"], walk.shares["c0"]
    for again in (
        used.advertise_keys,
        lambda: used.share_keys(walk.advertised),
        lambda: used.mask(walk.values["c0"], shares),
    ):
        with pytest.raises(ProtocolError, match="another round needs a new"):
            again()


def test_a_client_reveals_once():
    walk = Walk(7, signed=False, threshold=4).share().mask(absent=["c6"]).agree()
    walk.clients["c0"].reveal_shares(walk.survivors)
    with pytest.raises(ProtocolError, match="cannot reveal_shares now"):
        walk.clients["c0"].reveal_shares([one for one in walk.survivors if one != "c1"])


@pytest.mark.parametrize(
    "survivors, message",
    [
        (["c1", "c2", "c3", "c4"], "reveals nothing"),  # not itself
        (["c0", "c1", "c2", "c3", "stranger"], "reveals nothing"),
        (["c0", "c1", "c2"], "Only 3 of 5"),
        (["c0", "c0", "c1", "c2"], "Only 3 of 5"),
    ],
)
def test_a_client_reveals_nothing_for_wrong_survivors(survivors, message):
    with pytest.raises(ProtocolError, match=message):
        Walk().share().mask().clients["c0"].sign_survivors(survivors)
    with pytest.raises(ProtocolError, match=message):
        Walk(signed=False).share().mask().clients["c0"].reveal_shares(survivors)


def test_the_server_s_steps_come_in_order():
    walk = Walk()
    message = MaskedInput(walk.parameters.round_id, "c0", b"")
    for use in (
        lambda: walk.server.route_shares([]),
        lambda: walk.server.add_masked_input(message),
        walk.server.end_input,
        lambda: walk.server.unmask([]),
    ):
        with pytest.raises(ProtocolError, match="The server cannot"):
            use()
    walk.share().mask()
    walk.reveal()
    with pytest.raises(ProtocolError, match="The server cannot end_input now"):
        walk.server.add_masked_input(message)


def test_who_sends_twice_or_uninvited_is_refused():
    walk = Walk()
    keys = [client.advertise_keys() for client in walk.clients.values()]
    stranger = dataclasses.replace(keys[0], sender="stranger")
    with pytest.raises(ProtocolError, match="'c0' came twice"):
        walk.server.collect_keys([*keys, keys[0]])
    with pytest.raises(ProtocolError, match="'stranger', who is not expected"):
        walk.server.collect_keys([*keys, stranger])
    walk.advertised = walk.server.collect_keys(keys)
    shares = [one for c in walk.clients.values() for one in c.share_keys(walk.advertised)]
    for wrong in ([*shares, shares[0]], shares[1:], replace(shares, 0, receiver="stranger")):
        with pytest.raises(ProtocolError, match="'c0' must send shares to each other client"):
            walk.server.route_shares(wrong)
    for wrong in ({"commitments": (b"", bytes(32))}, {"ciphertext": bytes(10**6)}):
        with pytest.raises(ProtocolError, match="of 'c0' must have two commitments .* 48 bytes"):
            walk.server.route_shares(replace(shares, 0, **wrong))
    walk.shares = walk.server.route_shares([one for one in shares if one.sender != "c4"])
    message = walk.clients["c0"].mask(walk.values["c0"], walk.shares["c0"])
    walk.server.add_masked_input(message)
    with pytest.raises(ProtocolError, match="'c0' came twice"):
        walk.server.add_masked_input(message)
    with pytest.raises(ProtocolError, match="'c4', who is not expected"):
        walk.server.add_masked_input(dataclasses.replace(message, sender="c4"))
    with pytest.raises(ProtocolError, match="must have .* bytes"):
        walk.server.add_masked_input(
            dataclasses.replace(message, sender="c1", vector=message.vector[1:])
        )


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda keys: replace(keys, 0, mask_key=keys[1].mask_key), "its keys came back"),
        (lambda keys: keys[1:], "its keys came back"),
        (lambda keys: replace(keys, 1, mask_key=keys[2].mask_key), "twice, by 'c1' and by 'c2'"),
        (lambda keys: replace(keys, 1, mask_key=keys[2].encryption_key), "advertised twice"),
        (lambda keys: replace(keys, 1, encryption_key=bytes(32)), "not a valid X25519 key"),
        (lambda keys: keys[:3], "Only 3 of 5"),
        (lambda keys: [*keys, keys[1]], "'c1' came twice"),
    ],
)
def test_keys_that_do_not_belong_are_refused_by_the_clients(change, message):
    walk = Walk(signed=False).advertise()
    with pytest.raises(ProtocolError, match=message):
        walk.clients["c0"].share_keys(change(walk.advertised))


def test_values_are_refused_and_the_client_may_correct_them():
    values = values_of(names(5))
    secure_round = SecAgg().begin_round(list(values), SPECS)
    too_large = [values["c0"][0] + 2**32, *values["c0"][1:]]
    not_integers = [values["c0"][0] * np.nan, *values["c0"][1:]]
    for wrong, message in ((too_large, "between 0 and"), (not_integers, "Found float64")):
        with pytest.raises(ValueError, match=f"'c0', tensor 0: .*{message}"):
            secure_round.add("c0", wrong)
    for name, own in values.items():
        secure_round.add(name, own)
    with pytest.raises(ValueError, match="'c0' has added already"):
        secure_round.add("c0", values["c0"])
    with pytest.raises(ValueError, match="'stranger' is not in this round"):
        secure_round.add("stranger", values["c0"])
    check_equal(secure_round.finish(), plain_sums(values.values(), SPECS))


def test_a_client_of_another_cohort_is_refused():
    with pytest.raises(ValueError, match="'stranger' is not in this round"):
        Client("stranger", parameters_of())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"round_id": b""}, "round_id must be bytes"),
        ({"round_id": "text"}, "round_id must be bytes"),
        ({"registry": {}}, "verification_keys must have 32 bytes for client 'c0'"),
        ({"registry": {"c0": bytes(31)}}, "verification_keys must have 32 bytes for client 'c0'"),
        ({"registry": {name: bytes(32) for name in names(5)}}, "must be different"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(options, message):
    registry = options.pop("registry", None)
    with pytest.raises(ValueError, match=message):
        PublicParameters(names(5), SPECS, verification_keys=registry, **options)


@pytest.mark.parametrize("threshold", [3.5, True, "4"])
def test_a_threshold_must_be_a_whole_number(threshold):
    with pytest.raises(TypeError, match="threshold must be a whole number"):
        SecAgg(threshold).begin_round(names(5), SPECS)


def test_an_unknown_adversary_is_refused():
    with pytest.raises(ValueError, match="adversary must be one of active, honest-but-curious"):
        SecAgg(adversary="passive")


@pytest.mark.parametrize("signed, owner", [(True, None), (True, "c1"), (False, "c0")])
def test_a_client_signs_with_its_registered_key_or_not_at_all(signed, owner):
    with pytest.raises(ValueError, match="signing_key of client 'c0'"):
        Client("c0", parameters_of(signed=signed), signing_key=signing_keys_of(5).get(owner))

"""What the server sees of a client: nothing, unless enough clients help it."""

import itertools
import types

import numpy as np
import pytest
from helpers.integers import check_equal
from helpers.protocol import SPECS, Walk

from fedlab.secure import masking
from fedlab.secure.interface import ProtocolError
from fedlab.secure.secagg import SecAgg, shamir
from fedlab.secure.secagg.messages import MaskedInput


def held_by(thing, seen=None):
    """All bytes and arrays that can be reached from an object."""
    seen = {} if seen is None else seen
    if id(thing) in seen or isinstance(thing, type | types.ModuleType | types.FunctionType):
        return
    seen[id(thing)] = thing  # kept, or its number would be given to another
    if isinstance(thing, bytes | bytearray | np.ndarray):
        yield thing.tobytes() if isinstance(thing, np.ndarray) else bytes(thing)
    elif isinstance(thing, dict):
        for one in (*thing.keys(), *thing.values()):
            yield from held_by(one, seen)
    elif isinstance(thing, list | tuple | set | frozenset):
        for one in thing:
            yield from held_by(one, seen)
    elif hasattr(thing, "__dict__"):
        yield from held_by(vars(thing), seen)


def secrets_of(walk, name):
    key_seed, encryption_key, seed = walk.secrets[name]
    mask_key = masking.create_mask_key(key_seed, walk.parameters.round_id, name)
    return {
        "the seed of the self mask": seed,
        "the seed of the mask key": key_seed,
        "the private mask key": mask_key.private_bytes_raw(),
        "the private encryption key": encryption_key,
    }


def plain_forms(values, parameters):
    """A client's vector as it would lie in memory, or travel, without masks."""
    vectors = masking.to_vectors(values, parameters.blocks)
    forms = [masking.pack(vectors, parameters.blocks)]
    forms += [array.astype(kind).tobytes() for array in values for kind in "ilQ"]
    return [form for form in forms if len(form) > 64]


def assert_no_vector_in(held, walk):
    for name, values in walk.values.items():
        for form in plain_forms(values, walk.parameters):
            assert form[:64] not in held, f"The server holds the vector of {name}."


def test_the_server_never_holds_a_vector_or_before_the_end_a_secret_of_a_client():
    walk = Walk(6).share().mask(absent=["c2"])
    held = b"|".join(held_by([walk.server, walk.received]))
    assert_no_vector_in(held, walk)
    for name in walk.clients:
        for kind, secret in secrets_of(walk, name).items():
            assert secret not in held, f"The server holds {kind} of {name}."
    check_equal(walk.server.unmask(walk.reveal()), walk.expected())
    assert_no_vector_in(b"|".join(held_by([walk.server, walk.received])), walk)


def test_the_search_finds_a_vector_that_is_there():
    walk = Walk(3).share().mask()
    for form in plain_forms(walk.values["c1"], walk.parameters):
        walk.server.leak = {"c1": [form]}
        assert form in b"|".join(held_by(walk.server))
    walk.server.leak = walk.clients["c1"]
    key_seed, _, seed = walk.secrets["c1"]
    held = b"|".join(held_by(walk.server))
    assert seed in held and key_seed in held


def test_of_no_client_both_shares_are_ever_revealed():
    walk = Walk(10).share(absent=["c8"]).mask(absent=["c1", "c4"])
    for answer in walk.reveal():
        assert set(answer.seed_shares) == {"c0", "c2", "c3", "c5", "c6", "c7", "c9"}
        assert set(answer.key_shares) == {"c1", "c4"}


def test_a_masked_vector_says_nothing_about_equal_ones():
    walk = Walk(5).share()
    walk.values = dict.fromkeys(walk.values, walk.values["c0"])
    walk.mask()
    sent = [one.vector for one in walk.received if isinstance(one, MaskedInput)]
    for one, other in itertools.combinations(sent, 2):
        equal = np.mean(np.frombuffer(one, np.uint8) == np.frombuffer(other, np.uint8))
        assert equal < 0.05  # 1 in 256 by chance, and the small tensors' leading zeros


def test_two_rounds_have_nothing_in_common():
    first, second = (set(held_by(Walk(3).share().mask().received)) for _ in range(2))
    assert not first & second


# Collusion


def sent_vector(walk, sender):
    (message,) = [
        one for one in walk.received if isinstance(one, MaskedInput) and one.sender == sender
    ]
    return masking.unpack(message.vector, walk.parameters.blocks)


def combine(shares, parameters):
    """A secret from {client_id: share}, however few they are."""
    return shamir.combine({parameters.places[one]: it for one, it in shares.items()}, len(shares))


def remove_own_mask(walk, vectors, client_id, seed):
    key = masking.self_mask_key(seed, walk.parameters.round_id, client_id)
    masking.add_mask(vectors, walk.parameters.blocks, key, -1)


def remove_pairwise_masks(walk, vectors, client_id, key_seed):
    round_id = walk.parameters.round_id
    private_key = masking.create_mask_key(key_seed, round_id, client_id)
    for keys in walk.advertised:
        if keys.sender != client_id:
            parties = client_id, keys.sender
            key = masking.pairwise_mask_key(private_key, keys.mask_key, round_id, *parties)
            masking.add_mask(vectors, walk.parameters.blocks, key, -masking.sign(*parties))


def to_tensors(walk, vectors):
    return masking.from_vectors(vectors, walk.parameters.blocks, SPECS)


def open_vector(walk, victim, colluders):
    """What a server that colludes with some clients makes of a client's masked vector."""
    held = {one: walk.clients[one].share_pairs[victim] for one in colluders}
    seed = combine({one: it.seed_share for one, it in held.items()}, walk.parameters)
    key_seed = combine({one: it.key_share for one, it in held.items()}, walk.parameters)
    vectors = sent_vector(walk, victim)
    remove_own_mask(walk, vectors, victim, seed)
    remove_pairwise_masks(walk, vectors, victim, key_seed)
    return to_tensors(walk, vectors)


def test_as_many_colluders_as_the_threshold_open_a_vector_and_fewer_do_not():
    walk = Walk(7, signed=False, threshold=4).share().mask()
    colluders = ["c1", "c2", "c4", "c6"]
    check_equal(open_vector(walk, "c3", colluders), walk.values["c3"])
    found = open_vector(walk, "c3", colluders[:3])
    assert np.mean(found[0] == walk.values["c3"][0]) < 0.05


def test_a_vector_that_comes_too_late_stays_hidden():
    # The server took c1 for dropped and was given its key: that is why each has a mask of its own.
    walk = Walk(5).share().mask(absent=["c1"])
    answers = walk.reveal()
    late = walk.clients["c1"].mask(walk.values["c1"], walk.shares["c1"])
    with pytest.raises(ProtocolError, match="cannot end_input now"):
        walk.server.add_masked_input(*walk.send([late]))
    key_seed = combine({one.sender: one.key_shares["c1"] for one in answers}, walk.parameters)
    vectors = sent_vector(walk, "c1")
    remove_pairwise_masks(walk, vectors, "c1", key_seed)
    assert np.mean(to_tensors(walk, vectors)[0] == walk.values["c1"][0]) < 0.05
    remove_own_mask(walk, vectors, "c1", walk.secrets["c1"][2])
    check_equal(to_tensors(walk, vectors), walk.values["c1"])


def test_nothing_secret_is_printed():
    walk = Walk().share().mask(absent=["c1"])
    walk.reveal()
    things = [*walk.received, walk.parameters, walk.server, *walk.clients.values(), SecAgg()]
    things += walk.clients["c0"].share_pairs.values()
    printed = " ".join(f"{thing!r} {thing!s}" for thing in things)
    assert "b'" not in printed  # bytes
    assert "array" not in printed

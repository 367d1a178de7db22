"""Signatures, which show who wrote a message, and commitments, which show that a secret is still the same."""

from collections.abc import Collection, Iterable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fedlab.secure import masking
from fedlab.secure.interface import ProtocolError, RandomBytes
from fedlab.secure.secagg.messages import PublicKeys, SharePair
from fedlab.secure.secagg.parameters import PublicParameters

COMMITMENT_BYTES = 32


def create_signing_keys(
    client_ids: Iterable[str], random_bytes: RandomBytes
) -> dict[str, Ed25519PrivateKey]:
    """Returns {client_id: a new Ed25519 private key}, the clients' identities.

    Args:
        client_ids: The clients.
        random_bytes: Function from a number of bytes to that many secret bytes.
    """
    return {name: Ed25519PrivateKey.from_private_bytes(random_bytes(32)) for name in client_ids}


def verification_keys(signing_keys: Mapping[str, Ed25519PrivateKey]) -> dict[str, bytes]:
    """Returns {client_id: the public half of its signing key, 32 bytes}, to be registered."""
    return {name: key.public_key().public_bytes_raw() for name, key in signing_keys.items()}


def sign(signing_key: Ed25519PrivateKey, parameters: PublicParameters, content: bytes) -> bytes:
    """Returns a signature of 64 bytes, which is valid in a round with these parameters only.

    Args:
        signing_key: The signer's private key.
        parameters: Parameters of the round.
        content: The signed content, from `keys_content` or `survivors_content`.
    """
    return signing_key.sign(masking.encode(parameters.digest, content))


def is_signed(signature: bytes, signer: str, parameters: PublicParameters, content: bytes) -> bool:
    """Returns whether `signature` is the one of `signer`, as registered in `parameters`."""
    public_key = Ed25519PublicKey.from_public_bytes((parameters.verification_keys or {})[signer])
    try:
        public_key.verify(signature, masking.encode(parameters.digest, content))
    except InvalidSignature:
        return False
    return True


def keys_content(keys: PublicKeys) -> bytes:
    """Returns what a client signs when it advertises its keys."""
    sent = keys.encryption_key, keys.mask_key, keys.seed_commitment
    return masking.encode("advertised keys", keys.sender, *sent)


def survivors_content(
    advertised: Iterable[PublicKeys], sharers: Collection[str], survivors: Collection[str]
) -> bytes:
    """Returns what a client signs when it agrees to a list of survivors.

    The keys are new in each round. With them in the content, the signature of another round does not
    fit, not even if its parameters were the same.

    Args:
        advertised: The keys of all clients, as the signer received them.
        sharers: The clients whose shares the signer holds.
        survivors: The clients whose vectors the server says it has received.
    """
    keys = sorted(map(keys_content, advertised))
    return masking.encode(
        "survivors",
        masking.encode(*keys),
        masking.encode(*sorted(sharers)),
        masking.encode(*sorted(survivors)),
    )


def check_keys(keys: PublicKeys, parameters: PublicParameters) -> None:
    """Raises `ProtocolError` unless a client's keys carry its signature, where the round has any."""
    if parameters.verification_keys is None:
        return
    if not is_signed(keys.signature, keys.sender, parameters, keys_content(keys)):
        raise ProtocolError(
            f"The keys of {keys.sender!r} do not carry the signature of {keys.sender!r} for this "
            "round: they were exchanged on their way, or are of other parameters."
        )


def commit_seed(seed: bytes, round_id: bytes, client_id: str) -> bytes:
    """Returns a client's commitment to the seed of its self mask, 32 bytes.

    A commitment is a hash (HKDF with SHA-256). It needs no salt: a seed and each of its shares have
    128 random bits, so nobody can find them by trying.
    """
    return _commit(seed, "seed commitment", round_id, client_id)


def commit_share(kind: str, share: bytes, round_id: bytes, dealer: str, holder: str) -> bytes:
    """Returns a commitment to one share of a client's seed or mask key, 32 bytes.

    Args:
        kind: "seed" or "key".
        share: The share.
        round_id: Identifier of the round.
        dealer: The client whose secret is shared.
        holder: The client that holds the share.
    """
    return _commit(share, f"{kind} share commitment", round_id, dealer, holder)


def commit_shares(
    shares: SharePair, round_id: bytes, dealer: str, holder: str
) -> tuple[bytes, bytes]:
    """Returns the commitments to both shares that one client deals to another, see `commit_share`."""
    return (
        commit_share("seed", shares.seed_share, round_id, dealer, holder),
        commit_share("key", shares.key_share, round_id, dealer, holder),
    )


def _commit(secret: bytes, *context: str | bytes) -> bytes:
    return masking.derive_key(secret, *context, num_bytes=COMMITMENT_BYTES)

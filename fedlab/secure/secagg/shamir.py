"""Secrets in shares: any `threshold` of them give the secret, fewer say nothing about it.

Shamir 1979: the secret is the constant of a random polynomial of degree `threshold - 1`, a share its
value at one place. The arithmetic, over 128 bits, is PyCryptodome's.
"""

from collections.abc import Mapping

from Crypto.Protocol.SecretSharing import Shamir

SECRET_BYTES = 16


def split(secret: bytes, threshold: int, num_shares: int) -> dict[int, bytes]:
    """Splits a secret; the polynomial is drawn from the operating system's generator.

    Args:
        secret: 16 bytes.
        threshold: How many shares give the secret, at least 2.
        num_shares: How many are made.

    Returns:
        {place of the share, from 1: 16 bytes}.

    Raises:
        ValueError: The secret is of another length, or the threshold is not between 2 and
            `num_shares`.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"A secret must have {SECRET_BYTES} bytes. Found {len(secret)}.")
    if not 2 <= threshold <= num_shares:
        raise ValueError(
            f"threshold must be between 2 and {num_shares} (the shares): one share alone would be "
            f"the secret. Found {threshold}."
        )
    return dict(Shamir.split(threshold, num_shares, secret))


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Returns the secret that shares belong to.

    Shares that do not belong together give some other 16 bytes, without a word: whoever combines
    them must check the result.

    Args:
        shares: {place of the share: 16 bytes}; of more than `threshold`, the first serve.
        threshold: As in `split`.

    Raises:
        ValueError: There are too few shares, or one is of another length or at place 0.
    """
    if len(shares) < threshold:
        raise ValueError(f"{threshold} shares are needed. Found {len(shares)}.")
    if any(len(share) != SECRET_BYTES for share in shares.values()):
        raise ValueError(f"Every share must have {SECRET_BYTES} bytes. Found one that has not.")
    if min(shares) < 1:
        raise ValueError(f"Shares are numbered from 1. Found {min(shares)}.")
    return Shamir.combine(list(shares.items())[:threshold])

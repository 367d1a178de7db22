"""Shamir's secret sharing: any `threshold` shares give the secret, fewer say nothing about it.

Shamir 1979: the secret is the constant term of a random polynomial of degree `threshold - 1`, and a
share is the value of the polynomial at one place. PyCryptodome computes it over the field with 2**128
elements.
"""

from collections.abc import Mapping

from Crypto.Protocol.SecretSharing import Shamir

SECRET_BYTES = 16


def split(secret: bytes, threshold: int, num_shares: int) -> dict[int, bytes]:
    """Splits a secret into shares. The operating system's random generator draws the polynomial.

    Args:
        secret: 16 bytes.
        threshold: How many shares give the secret, at least 2.
        num_shares: How many shares are made.

    Returns:
        {place of the share, from 1: 16 bytes}.

    Raises:
        ValueError: The secret has another length, or the threshold is not between 2 and
            `num_shares`.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"A secret must have {SECRET_BYTES} bytes. Found {len(secret)}.")
    if not 2 <= threshold <= num_shares:
        raise ValueError(
            f"threshold must be between 2 and {num_shares} (num_shares): with 1, each share would be "
            f"the secret. Found {threshold}."
        )
    return dict(Shamir.split(threshold, num_shares, secret))


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Returns the secret that was split into these shares.

    Shares that do not belong together give other 16 bytes without an error, so the caller must check
    the result.

    Args:
        shares: {place of the share: 16 bytes}. Only the first `threshold` of them are used.
        threshold: How many shares give the secret, as in `split`.

    Raises:
        ValueError: There are too few shares, or a share has another length or a place below 1.
    """
    if len(shares) < threshold:
        raise ValueError(f"{threshold} shares are needed. Found {len(shares)}.")
    if any(len(share) != SECRET_BYTES for share in shares.values()):
        raise ValueError(
            f"Every share must have {SECRET_BYTES} bytes. Found a share of another length."
        )
    if min(shares) < 1:
        raise ValueError(f"Shares are numbered from 1. Found {min(shares)}.")
    return Shamir.combine(list(shares.items())[:threshold])

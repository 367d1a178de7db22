"""Secure aggregation step by step, for its tests."""

import dataclasses
import functools
import secrets

import numpy as np
from helpers.integers import draw, plain_sums

from fedlab.secure.interface import IntegerSpec
from fedlab.secure.secagg import (
    Client,
    PublicParameters,
    Server,
    authenticity,
    create_signing_keys,
    verification_keys,
)

SPECS = [
    IntegerSpec((40, 5), np.dtype(np.int64), 2**32 - 1),
    IntegerSpec((), np.dtype(np.int32), 1),
    IntegerSpec((30,), np.dtype(np.int32), 100, 101),
    IntegerSpec((30,), np.dtype(np.int32), 2**20 - 1, 2**20),
]


def names(num_clients):
    return [f"c{k}" for k in range(num_clients)]


def values_of(client_ids, specs=SPECS):
    return {name: draw(specs, seed) for seed, name in enumerate(client_ids)}


@functools.cache
def signing_keys_of(num_clients):
    return create_signing_keys(names(num_clients), secrets.token_bytes)


def parameters_of(num_clients=5, *, signed=True, **options):
    registry = verification_keys(signing_keys_of(num_clients)) if signed else None
    return PublicParameters(names(num_clients), SPECS, verification_keys=registry, **options)


class Walk:
    """The protocol step by step. It records all messages to the server and all secrets drawn.

    `secrets[name]` are the seed of the client's mask key, its private encryption key and the seed of
    its self mask, in this order.
    """

    def __init__(self, num_clients=5, absent=(), *, signed=True, **options):
        self.parameters = parameters_of(num_clients, signed=signed, **options)
        signing_keys = signing_keys_of(num_clients) if signed else {}
        self.values = values_of(self.parameters.client_ids)
        self.server = Server(self.parameters)
        self.secrets = {name: [] for name in self.parameters.client_ids if name not in absent}
        self.clients = {
            name: Client(name, self.parameters, recorder(drawn), signing_key=signing_keys.get(name))
            for name, drawn in self.secrets.items()
        }
        self.received = []

    def send(self, messages):
        self.received += messages
        return messages

    def advertise(self):
        keys = [client.advertise_keys() for client in self.clients.values()]
        self.advertised = self.server.collect_keys(self.send(keys))
        return self

    def share(self, absent=()):
        self.advertise()
        sharing = [client for name, client in self.clients.items() if name not in absent]
        sent = [one for client in sharing for one in client.share_keys(self.advertised)]
        self.shares = self.server.route_shares(self.send(sent))
        return self

    def mask(self, absent=()):
        for name, shares in self.shares.items():
            if name not in absent:
                message = self.clients[name].mask(self.values[name], shares)
                self.server.add_masked_input(*self.send([message]))
        return self

    def agree(self, absent=()):
        """Stops the input and collects signatures, where there are any."""
        self.survivors, self.signatures = self.server.end_input(), []
        self.answering = [one for one in self.survivors if one not in absent]
        if self.parameters.verification_keys is not None:
            signed = [self.clients[one].sign_survivors(self.survivors) for one in self.answering]
            self.signatures = self.server.collect_signatures(self.send(signed))
        return self

    def reveal(self, absent=(), absent_before=()):
        self.agree(absent_before)
        answers = [
            self.clients[one].reveal_shares(self.survivors, self.signatures)
            for one in self.answering
            if one not in absent
        ]
        return self.send(answers)

    def expected(self):
        return plain_sums([self.values[one] for one in self.server.survivors], SPECS)


def recorder(drawn):
    """Returns a source of random bytes that appends what it draws to a list."""

    def draw_bytes(num_bytes):
        drawn.append(secrets.token_bytes(num_bytes))
        return drawn[-1]

    return draw_bytes


def flip(data, position=0):
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def replace(messages, index, **changes):
    return [
        dataclasses.replace(message, **changes) if k == index else message
        for k, message in enumerate(messages)
    ]


def signed_by(signing_key, parameters, keys):
    """Returns the keys with a signature of these parameters."""
    content = authenticity.keys_content(keys)
    return dataclasses.replace(keys, signature=authenticity.sign(signing_key, parameters, content))


def received_by(name, sent):
    """Returns what is for this receiver."""
    return [one for one in sent if one.receiver == name]

"""Good calls of what is about texts: tokens, language models, secrets."""

import tempfile
from pathlib import Path

import numpy as np
from helpers.border.calls import call, named, slow
from helpers.border.kinds import (
    CALLABLE,
    COUNT,
    FRACTION,
    NOT_NEGATIVE,
    PATH,
    POSITIVE,
    SEED,
    TEXT,
    choice,
    count,
    instance,
    mapping,
    optional,
)
from helpers.border.samples import CLIENTS

from fedlab import data, models
from fedlab.attacks import extraction, text_inversion
from fedlab.data.text import Windows
from fedlab.models import adapters, language_base
from fedlab.models.transformer import create_transformer

TOKENIZER = data.Tokenizer("ab")
NUMBERS = instance([5], [-1], [0.5], "01", ["0"], np.array([[0, 1]]))  # of tokens 0 and 1
BAD_TOKENIZERS = instance("ab", data.Tokenizer)
TEXTS = {"ann": "ab" * 40, "bob": "ba" * 40}
TOKENS = np.array([[0, 1], [1, 0]])
CLIENT_DATA = data.TokenClientData(
    TEXTS, lambda client_id: Windows(TOKENS, TOKENS), num_tokens=2, context=2
)
SHAPE = models.TransformerShape(width=4, num_layers=1, num_heads=2, context=4, num_tokens=2)
SHAPE_KIND = instance((4, 1, 2, 4, 2), {"width": 4})
LSTM = models.LstmShape(width=4, num_units=4, context=4, num_tokens=2)
LSTM_KIND = instance((4, 4, 4, 2), {"width": 4}, SHAPE)
BASE = create_transformer(SHAPE)
BASE_KIND = mapping(BASE, "a", 5, np.zeros(3), np.full(BASE["embedding"].shape, np.nan))
MODEL = adapters.build_full_model(SHAPE, BASE)
FOLDER = Path(tempfile.mkdtemp())
(FOLDER / "ann.txt").write_text("ab", encoding="utf-8")
UPDATE = {name: BASE[name] for name in ("embedding", "position", "0.qkv")}
SECRETIVE = data.load_byte_pairs()
SECRET = extraction.draw_secret(SECRETIVE)
PLAYS = data.load_unseen_roles()[0]
ROLE = max(PLAYS.client_ids, key=PLAYS.num_examples)

TEXT_CALLS = (
    call(data.Tokenizer, alphabet=("ab", TEXT), merges=([("a", "b")], None)),
    named("data.Tokenizer.encode", TOKENIZER.encode, text=("aba", TEXT)),
    named(
        "data.Tokenizer.decode",
        TOKENIZER.decode,
        numbers=(np.array([0, 1, 1]), NUMBERS),
    ),
    call(
        data.create_character_tokenizer,
        texts=(["ab", "b"], instance([5], ["a", None], [""], {"a": "b"})),
    ),
    call(
        data.learn_byte_pairs,
        texts=(["abab"], instance([5], ["a", None], [""], {"a": "b"})),
        num_tokens=(3, COUNT),
    ),
    call(
        data.TokenClientData,
        client_ids=(list(TEXTS), CLIENTS),
        read_fn=(dict, CALLABLE),
        num_tokens=(2, COUNT),
        context=(2, COUNT),
    ),
    call(
        data.from_texts,
        texts=(TEXTS, mapping(TEXTS, 5, None)),
        tokenizer=(TOKENIZER, BAD_TOKENIZERS),
        context=(4, COUNT),
        test_fraction=(0.2, FRACTION),
    ),
    call(data.read_texts, folder=(FOLDER, PATH)),
    call(
        data.to_windows,
        numbers=(np.array([0, 1, 1, 0]), None),
        context=(2, COUNT),
    ),
    slow(data.load_plays, context=(64, COUNT)),
    slow(data.load_unseen_roles, context=(64, COUNT)),
)

LANGUAGE_CALLS = (
    call(
        models.TransformerShape,
        width=(8, COUNT),
        num_layers=(1, COUNT),
        num_heads=(1, COUNT),
        context=(4, COUNT),
        num_tokens=(2, COUNT),
    ),
    call(create_transformer, shape=(SHAPE, SHAPE_KIND), seed=(0, SEED)),
    call(
        models.LstmShape,
        width=(4, COUNT),
        num_units=(4, COUNT),
        context=(4, COUNT),
        num_tokens=(2, COUNT),
    ),
    call(models.create_lstm, shape=(LSTM, LSTM_KIND), seed=(0, SEED)),
    call(
        models.LanguageModel,
        shape=(SHAPE, SHAPE_KIND),
        trainable=(BASE, mapping(BASE, "a", None, {})),
        constants=({"x": np.ones(2)}, optional(mapping({"x": np.ones(2)}, "a", {}))),
        combine_fn=(dict, optional(CALLABLE)),
    ),
    named(
        "models.LanguageModel.generate",
        lambda **options: MODEL.generate(BASE, **options),
        prompt=(np.array([0, 1]), NUMBERS),
        num_tokens=(2, COUNT),
        temperature=(0.7, NOT_NEGATIVE),
        seed=(0, SEED),
    ),
    call(models.build_full_model, shape=(SHAPE, SHAPE_KIND), base=(BASE, BASE_KIND)),
    call(models.build_head_model, shape=(SHAPE, SHAPE_KIND), base=(BASE, BASE_KIND)),
    call(
        models.build_lora_model,
        shape=(SHAPE, SHAPE_KIND),
        base=(BASE, BASE_KIND),
        rank=(2, COUNT),
        targets=("all", choice("all", "attention")),
        scale=(2.0, POSITIVE),
        seed=(0, SEED),
    ),
    call(language_base.load_base, name=("small", choice("small", "main", "lstm"))),
)

TEXT_ATTACK_CALLS = (
    call(text_inversion.read_bag, update=(UPDATE, mapping(UPDATE, "a", 5))),
    call(text_inversion.read_window, update=(UPDATE, mapping(UPDATE, "a", 5))),
    call(
        text_inversion.read_places,
        update=(UPDATE, mapping(UPDATE)),
        weights=(BASE, mapping(BASE, "a", 5)),
        tolerance=(0.001, FRACTION),
    ),
    call(
        extraction.draw_secret,
        tokenizer=(SECRETIVE, instance("ab", TOKENIZER)),
        name=("Ravi", TEXT),
        seed=(0, SEED),
    ),
    call(
        extraction.plant,
        client_data=(PLAYS, instance(TEXTS)),
        client_id=(ROLE, choice(ROLE)),
        secret=(SECRET, instance("Ravi", SECRET.tokens)),
        num_repeats=(1, count(at_least=0)),
        seed=(0, SEED),
    ),
)

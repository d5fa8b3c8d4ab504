"""The tour's chapters, in order. A new one is a function in a file of its theme, and one line here."""

from __future__ import annotations

from sensorium.tour.answer import answer
from sensorium.tour.attention import attention_maps
from sensorium.tour.checks import verify_models
from sensorium.tour.fuse import fuse_digits
from sensorium.tour.masks import fill_masks, masked_accuracy
from sensorium.tour.pretrain import train_decoder, train_encoder
from sensorium.tour.search import find_pictures
from sensorium.tour.text import prepare_text
from sensorium.tour.translate import translate
from sensorium.tour.trip import Chapter
from sensorium.tour.writing import bits_per_byte, generate

CHAPTERS = [
    Chapter("Raw text to a corpus", prepare_text),
    Chapter("Pre-train an encoder", train_encoder),
    Chapter("Pre-train a decoder", train_decoder),
    Chapter("Fill masks", fill_masks),
    Chapter("Masked accuracy against counting", masked_accuracy),
    Chapter("Where the encoder looks", attention_maps),
    Chapter("Generate", generate),
    Chapter("Bits per byte against counting", bits_per_byte),
    Chapter("Translate", translate),
    Chapter("Answer", answer),
    Chapter("See and hear", fuse_digits),
    Chapter("Find pictures by words", find_pictures),
    Chapter("Verify what was saved", verify_models),
]

"""Hugging Face's formats: each family is a configuration map and a two-way table of names.

A family is a module with MODEL_TYPES, ARCHITECTURES, `expresses`, `to_config`, `to_hf`, `keymap` and `sized`. It may
have `tidy`, which looks over the tensors before they are read, SPECIAL, the settings that name special tokens, and
`generation`, settings for generation_config.json, and KEPT, settings of config.json that say how to use a model.
"""

from sensorium.families import (
    bart,
    bert,
    clip,
    distilbert,
    dual,
    gpt2,
    llama,
    llava,
    marian,
    modernbert,
    roberta,
    siglip,
    t5,
    vit,
    whisper,
    whisper_classes,
)

ONE_STACK = (bert, roberta, distilbert, modernbert, gpt2, llama)
"""Encoders and decoders."""
TWO_STACKS = (bart, marian, t5)
"""Encoder-decoders."""
SPEECH = (whisper,)
"""An encoder of sound, a decoder of text."""
FAMILIES = ONE_STACK + TWO_STACKS + SPEECH
SENSES = (vit, clip, siglip, dual, whisper_classes)
"""Towers of pictures, of sounds and of texts, alone or aligned; `families/senses.py` reads and writes them."""
SEEING = (llava,)
"""Decoders of text that see pictures; `families/seeing.py` reads and writes them."""

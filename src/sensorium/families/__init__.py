"""Hugging Face's formats: each family is a configuration map and a two-way table of names.

A family is a module with MODEL_TYPES, ARCHITECTURES, `expresses`, `to_config`, `to_hf`, `keymap` and `sized`. It may
have `tidy`, which looks over the tensors before they are read, SPECIAL, the settings that name special tokens, and
`generation`, settings for generation_config.json.
"""

from sensorium.families import bart, bert, distilbert, gpt2, llama, marian, modernbert, roberta, t5

ONE_STACK = (bert, roberta, distilbert, modernbert, gpt2, llama)
"""Encoders and decoders."""
TWO_STACKS = (bart, marian, t5)
"""Encoder-decoders."""
FAMILIES = ONE_STACK + TWO_STACKS

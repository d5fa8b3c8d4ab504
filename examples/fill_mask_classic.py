"""The classic fill-mask program of every tutorial, on a folder that Sensorium trained.

Nothing of Sensorium computes here: stock `transformers` reads the folder, fills the mask and prints the token. The
same token is the first that `sensorium.load(folder).fill_mask(...)` gives.

    python examples/fill_mask_classic.py [FOLDER]
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

import sensorium

BUNDLED = Path(sensorium.__file__).parent / "assets" / "default" / "encoder"


def top_token(folder: Path, text: str = "This is a [MASK] example.") -> str:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)

    inputs = tokenizer(text.replace("[MASK]", tokenizer.mask_token), return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits

    mask_index = (inputs.input_ids[0] == tokenizer.mask_token_id).nonzero().item()
    predicted_id = logits[0, mask_index].argmax().item()
    return tokenizer.decode([predicted_id]).strip()


if __name__ == "__main__":
    print(top_token(Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLED))

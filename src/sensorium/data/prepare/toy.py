"""A toy corpus with known answers: what `sensorium prepare --self-test` takes through every stage."""

from __future__ import annotations

from typing import NamedTuple


class Toy(NamedTuple):
    """A document and its fate."""

    text: str
    stage: str | None
    """The stage that drops it; None: it is kept."""
    says: str
    """What its reason begins with, or the text that is kept."""


HARBOUR = (
    "The harbour of the old town lies at the end of a narrow bay. In the morning the fishing boats come back with "
    "what they have caught in the night, and the people of the town wait for them on the quay. By noon most of the "
    "fish has been sold, and the nets are hung up to dry in the sun.\n"
    "In the afternoon there is little to do for anybody. The children swim from the steps of the lighthouse, and the "
    "old men sit in the shade and talk about the weather. When the evening comes, the lamps are lit one after "
    "another, and the boats go out again to where the fish are."
)
GARDEN = (
    "A garden that is left to itself for a year does not become a desert. In the first spring the weeds that the "
    "gardener used to pull out will grow as high as a child. They are soon followed by brambles, whose seeds the birds "
    "have brought, and by young birches from the wood across the road.\n"
    "After ten years it would be hard to find the paths. What was a lawn has become a meadow with many kinds of "
    "flowers, and foxes live under the shed. Only the roses at the wall are still there, and they have never had more "
    "flowers than now."
)
BRIDGE = (
    "When the bridge was built, nobody in the valley had seen so much iron in one place. It came by the river on flat "
    "boats, and forty horses were needed to bring it up to the road. The engineer lived in a tent for two years, and "
    "he wrote to his wife every day.\n"
    "On the day of the opening the mayor walked across it first, and then the school, and at last a herd of cows. The "
    "bridge did not move at all. It has carried trains for more than a hundred years since then, and it will carry "
    "them for many more if it is painted now and again."
)
TEA = (
    "清明前后，山上的茶园里到处都是采茶的人。她们天不亮就上山，背着竹篓，一边采一边说话。嫩芽要趁着露水还没有干的时候采下来，这样做出来的茶才会有香味。\n"
    "中午的时候，采好的茶叶就被送到山下的作坊里。师傅把茶叶放在锅里炒，手不能停，火也不能太大。炒好的茶要晾一个晚上，第二天才可以包起来。"
    "村里的老人说，喝了这样的新茶，一年都会有精神。"
)
HEADLINE = "Breaking news, read more, click here."
LIST = "\n".join(["This is the best of all the offers that we have for you in the shop today."] * 20)
QUESTION = "What did the engineer of the iron bridge write to his wife about on each day of those two long years"
NOTICE = (
    "This page was printed from the archive of the harbour office, where copies of all notices are kept for ten years "
    "and may be read by anybody who asks for them at the desk."
)

WHALE = (
    "Somebody has seen a whale here once. It was as grey as the rocks and longer than any of the boats, and it stayed "
    "in the bay for three days and three nights. Then it went away to the north with the tide. The teacher drew it on "
    "the wall of the school, where it can still be seen. Write to office@harbour.org if you know more than this."
)
MILL = (
    "The mill by the stream has not ground any corn since the war. Its wheel was taken away and melted, and the stones "
    "lie in the grass. But the house is dry and warm, and a family of owls has lived in the loft for many years. They "
    "are heard in the night by those who walk home late. Nobody would think of driving them out."
)
LETTERS = (
    f"{QUESTION}? Nobody who lives in the valley now can tell. The letters were lost in the great flood, and with them "
    "went all the drawings that he had made. His grandson has only a photograph of the tent. It shows a table with a "
    "lamp on it, and a man who does not look up. It is not known who took it."
)
FRENCH = (
    "Le port de la vieille ville se trouve au bout d'une baie étroite. Le matin, les bateaux de pêche reviennent avec "
    "ce qu'ils ont pris pendant la nuit, et les gens de la ville les attendent sur le quai."
)
_BROKEN = BRIDGE.replace("hundred", "hun\u200bdred").replace("\n", "\r\n")

DOCUMENTS = (
    Toy(HARBOUR, None, HARBOUR),
    Toy(f"{GARDEN}\n{NOTICE}", None, f"{GARDEN}\n{NOTICE}"),
    Toy(TEA, None, TEA),
    Toy(f"  {_BROKEN}\n\nIt cost Ã¶nly iron.  ", None, f"{BRIDGE}\nIt cost önly iron."),  # to be repaired
    Toy(WHALE, None, WHALE.replace("office@harbour.org", "<EMAIL>")),
    Toy(f"{MILL}\n{NOTICE}", None, MILL),  # without the paragraph that was seen before
    Toy(" \t\n", "length", "empty"),
    Toy("Too short.", "length", "too short"),
    Toy(FRENCH, "languages", "another language: fr"),
    Toy(HEADLINE, "quality", "gopher words"),
    Toy(LIST, "quality", "gopher"),
    Toy(f"THE {HARBOUR[3:]}", "same documents", "duplicate"),
    Toy(
        f"{BRIDGE.replace('forty', 'fifty').replace('cows', 'goats')}\n\nIt cost only iron.",
        "near-duplicates",
        "near-duplicate",
    ),
    Toy(LETTERS, "contamination", "contaminated"),
)
"""In their order: of two that are alike the first stays."""

"""A configuration to the module that it describes."""

from __future__ import annotations

from collections.abc import Mapping

from sensorium.fusion.features.base import Fusion, FusionConfig
from sensorium.fusion.features.bottleneck import BottleneckFusion
from sensorium.fusion.features.concat import ConcatFusion
from sensorium.fusion.features.cross import CrossFusion
from sensorium.fusion.features.film import FiLMFusion
from sensorium.fusion.features.gated import GatedFusion
from sensorium.fusion.features.low_rank import LowRankFusion
from sensorium.fusion.features.shared import SharedFusion


def build_fusion(config: FusionConfig, tokens: Mapping[str, int]) -> Fusion:
    """The fusion of `config.kind`, with fresh weights from PyTorch's global generator.

    Args:
        config: the settings.
        tokens: how many tokens each modality has.

    Raises:
        ConfigError: there are fewer modalities than the kind takes, one without tokens, or settings without sense.
    """
    match config.kind:
        case "concat":
            return ConcatFusion(config, tokens)
        case "gated":
            return GatedFusion(config, tokens)
        case "film":
            return FiLMFusion(config, tokens)
        case "low_rank":
            return LowRankFusion(config, tokens)
        case "cross":
            return CrossFusion(config, tokens)
        case "bottleneck":
            return BottleneckFusion(config, tokens)
        case "shared":
            return SharedFusion(config, tokens)

"""A batch of pictures is what Hugging Face's image processors make of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from sensorium.errors import CapabilityError, CheckpointError, ConfigError, DataError, InputError, SensoriumError
from sensorium.modalities.image import read_image
from sensorium.modalities.pixels import ImageSpec, image_batch
from tests.modalities.files import encoded, picture, texture

THEIRS = [CLIPImageProcessorPil, ViTImageProcessorPil, SiglipImageProcessorPil]


def varied() -> list[bytes]:
    """Portrait, landscape, tiny, long, grey, with alpha, CMYK, with a palette."""
    rgba = Image.fromarray(np.dstack([texture(90, 70), texture(90, 70, channels=1, seed=3)]), "RGBA")
    return [
        picture(300, 200, "JPEG"),
        picture(190, 333, "PNG", seed=1),
        picture(3, 5, "PNG", seed=2),
        picture(17, 400, "PNG", seed=3),
        encoded(Image.fromarray(texture(250, 260)).convert("L"), "PNG"),
        encoded(rgba, "PNG"),
        encoded(Image.fromarray(texture(240, 231)).convert("CMYK"), "JPEG"),
        encoded(Image.fromarray(texture(224, 224)).quantize(), "GIF"),
    ]


def theirs(processor: Any, files: list[bytes]) -> torch.Tensor:
    images = [Image.open(io.BytesIO(file)) for file in files]
    if not processor.do_convert_rgb:  # stock ViT takes RGB alone
        images = [Image.fromarray(read_image(file).permute(1, 2, 0).numpy()) for file in files]
    return processor(images, return_tensors="pt").pixel_values


@pytest.mark.parametrize("kind", THEIRS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_equals_stock(kind: type, threads: int) -> None:
    processor, files = kind(), varied()
    spec = ImageSpec.from_dict(processor.to_dict())
    ours = image_batch(files, spec, threads=threads)
    assert ours.is_contiguous()
    torch.testing.assert_close(ours, theirs(processor, files), atol=1e-5, rtol=0)
    tensors = image_batch([read_image(file) for file in files], spec)
    assert torch.equal(ours, tensors)


@pytest.mark.parametrize(
    "settings",
    [
        {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 65, "width": 130}},
        {"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": {"height": 51, "width": 30}},
        {"do_rescale": False, "do_normalize": False, "resample": 0},
        {"do_normalize": False, "resample": 1, "size": {"height": 40, "width": 90}},
        {"rescale_factor": 1 / 127.5, "image_mean": [0.9, 0.5, 1.0], "image_std": [0.3, 0.2, 2.0]},
    ],
)
@pytest.mark.parametrize("kind", THEIRS, ids=lambda kind: kind.__name__)
def test_every_setting_means_what_it_means_to_stock(kind: type, settings: dict[str, Any]) -> None:
    if kind is CLIPImageProcessorPil and "height" in settings.get("size", {}):
        settings = settings | {"do_center_crop": False}
    processor, files = kind(**settings), varied()
    ours = image_batch(files, ImageSpec.from_dict(processor.to_dict()))
    torch.testing.assert_close(ours, theirs(processor, files).float(), atol=1e-4, rtol=1e-6)


@settings(max_examples=25)
@given(height=st.integers(1, 90), width=st.integers(1, 90), edge=st.integers(1, 50), crop=st.integers(1, 60))
def test_any_shape_equals_stock(height: int, width: int, edge: int, crop: int) -> None:
    processor = CLIPImageProcessorPil(size={"shortest_edge": edge}, crop_size={"height": crop, "width": crop})
    files = [picture(height, width, seed=height)]
    if int(edge * max(height, width) / min(height, width)) < 1:
        return
    ours = image_batch(files, ImageSpec.from_dict(processor.to_dict()))
    torch.testing.assert_close(ours, theirs(processor, files), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", THEIRS, ids=lambda kind: kind.__name__)
def test_settings_survive_stock_transformers(kind: type, tmp_path: Path) -> None:
    spec = ImageSpec.from_dict(kind().to_dict())
    assert ImageSpec.from_dict(spec.to_dict()) == spec
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(spec.to_dict()))
    opened = AutoImageProcessor.from_pretrained(tmp_path, use_fast=False)
    files = varied()
    torch.testing.assert_close(image_batch(files, spec), theirs(opened, files), atol=1e-5, rtol=0)
    opened.save_pretrained(tmp_path)
    assert ImageSpec.from_dict(json.loads((tmp_path / "preprocessor_config.json").read_text())) == spec


def test_old_spellings_are_read() -> None:
    clip = ImageSpec.from_dict({"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224})
    assert clip == ImageSpec.from_dict({"image_processor_type": "CLIPImageProcessorFast"})
    assert (clip.resize, clip.crop, clip.resample) == (224, (224, 224), "bicubic")
    vit = ImageSpec.from_dict({"feature_extractor_type": "ViTFeatureExtractor", "size": 384, "resample": 2})
    assert (vit.resize, vit.crop, vit.size) == ((384, 384), None, (384, 384))


@pytest.mark.parametrize(
    ("change", "kind", "complaint"),
    [
        ({"image_processor_type": "DonutImageProcessor"}, CapabilityError, "unknown image processor 'Donut"),
        ({"image_processor_type": None}, CapabilityError, "unknown image processor"),
        ({"do_pad": True}, CapabilityError, "pads"),
        ({"size": {"longest_edge": 3}}, CheckpointError, "longest_edge"),
        ({"size": "large"}, CheckpointError, "wrong value"),
        ({"size": {"height": -3, "width": 3}}, CheckpointError, "above 0"),
        ({"resample": 77}, CheckpointError, "wrong value"),
        ({"image_mean": [1, 2]}, CheckpointError, "wrong value"),
        ({"image_std": [0, 1, 1]}, CheckpointError, "above 0"),
        ({"do_resize": False}, CheckpointError, "equal in size"),
    ],
)
def test_settings_that_cannot_be_kept_are_refused(change: dict[str, Any], kind: type, complaint: str) -> None:
    with pytest.raises(kind, match=complaint):
        ImageSpec.from_dict({"image_processor_type": "ViTImageProcessor"} | change)


def test_pictures_of_one_batch_must_come_out_equal() -> None:
    with pytest.raises(ConfigError, match="equal in size"):
        ImageSpec(resize=224)
    with pytest.raises(InputError, match="no pictures"):
        image_batch([], ImageSpec())


@pytest.mark.parametrize("threads", [1, 3])
def test_a_broken_picture_is_an_error_or_a_row_of_nothing(threads: int, tmp_path: Path) -> None:
    files = [picture(), picture()[:300], picture(seed=1), tmp_path / "absent.png"]
    with pytest.raises(DataError, match="truncated"):
        image_batch(files, ImageSpec(), threads=threads)
    told: dict[int, SensoriumError] = {}
    pixels = image_batch(files, ImageSpec(), threads=threads, failed=told.__setitem__)
    assert {index: type(error) for index, error in told.items()} == {1: DataError, 3: InputError}
    assert not pixels[[1, 3]].any()
    assert torch.equal(pixels[[0, 2]], image_batch([files[0], files[2]], ImageSpec()))


def test_a_batch_is_filled_by_several_threads_in_inference_mode() -> None:
    pictures = [torch.full((3, 40, 40), value, dtype=torch.uint8) for value in (10, 200, 90)]
    spec = ImageSpec.from_dict({"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 8}})
    with torch.inference_mode():
        filled = image_batch(pictures, spec, threads=2)
    assert torch.equal(filled, image_batch(pictures, spec, threads=1))

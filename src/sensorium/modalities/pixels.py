"""Pictures to the input of a vision model: resize, crop, rescale, normalise, as Hugging Face image processors do.

The numbers are those of their Pillow back-end, which `transformers` itself documents as the one to match. (Its
torchvision back-end resizes by other arithmetic, and is a grey level off in a few pixels in a thousand.)

Unusual: a picture stays Pillow's until it is small, and goes straight into its row of the batch; rescaling and
normalising are one multiplication and one addition over the whole batch. Pictures are decoded in threads, since Pillow
frees Python's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from sensorium.errors import CapabilityError, CheckpointError, ConfigError, InputError, SensoriumError, unknown
from sensorium.files import StrPath
from sensorium.modalities.image import MAX_PIXELS, decode
from sensorium.modalities.threads import for_each

Processor = Literal["CLIPImageProcessor", "ViTImageProcessor", "SiglipImageProcessor"]
Resample = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
Triple = tuple[float, float, float]
Picture = StrPath | bytes | UInt8[Tensor, "3 _ _"]

_RESAMPLE: tuple[Resample, ...] = get_args(Resample)  # in the order of Pillow's numbers
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)
_FIX = "Copy or download the model anew"


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """How pictures become a batch, in this order: to RGB, resize, centre crop, rescale, normalise.

    Args:
        processor: the Hugging Face class that computes the same; a model folder names it.
        resize: height and width, or the shorter edge alone, whose picture keeps its shape; None leaves the size.
        resample: Pillow's filter.
        crop: height and width of what is cut from the middle; where a picture is smaller, it is filled with black.
        rescale: factor on the pixels, which are 0 to 255.
        mean, std: subtracted from and divided by, a channel.

    Raises:
        ConfigError: pictures would not come out equal in size, or a number is out of range.
    """

    processor: Processor = "ViTImageProcessor"
    resize: tuple[int, int] | int | None = (224, 224)
    resample: Resample = "bilinear"
    crop: tuple[int, int] | None = None
    rescale: float = 1 / 255
    mean: Triple = _HALF
    std: Triple = _HALF

    def __post_init__(self) -> None:
        if self.crop is None and not isinstance(self.resize, tuple):
            raise ConfigError("pictures of one batch must be equal in size", fix="Give resize both edges, or crop")
        edges = (*_edges(self.resize), *_edges(self.crop))
        if min(edges) < 1 or not all(part > 0 for part in self.std):
            raise ConfigError(f"edges {edges} and std {self.std} must be above 0")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what comes out."""
        return self.crop or cast("tuple[int, int]", self.resize)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> ImageSpec:
        """The settings of a `preprocessor_config.json`, old spellings included; what it leaves out is its class's.

        Raises:
            CapabilityError: another processor, or one that does more than this.
            CheckpointError: a value is not of its kind.
        """
        named = str(config.get("image_processor_type") or config.get("feature_extractor_type"))
        family = named.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
        if family not in _DEFAULTS:
            raise CapabilityError(unknown("image processor", named, _DEFAULTS), fix="Use its own processor")
        settings = {**_DEFAULTS[family], **{key: value for key, value in config.items() if value is not None}}
        if settings.get("do_pad") or "pad_size" in config:
            raise CapabilityError(f"{named} pads pictures, which is not read here", fix="Use its own processor")
        try:
            square = family != "CLIPImageProcessor"
            normalise = bool(settings["do_normalize"])
            return cls(
                processor=cast(Processor, family),
                resize=_size(settings["size"], square=square) if settings["do_resize"] else None,
                resample=_RESAMPLE[int(settings["resample"])],
                crop=_pair(_size(settings["crop_size"], square=True)) if settings["do_center_crop"] else None,
                rescale=float(settings["rescale_factor"]) if settings["do_rescale"] else 1.0,
                mean=_triple(settings["image_mean"]) if normalise else (0.0, 0.0, 0.0),
                std=_triple(settings["image_std"]) if normalise else (1.0, 1.0, 1.0),
            )
        except (ValueError, TypeError, KeyError, IndexError, ConfigError) as error:
            raise CheckpointError(f"a wrong value in the settings of {named}: {error}", fix=_FIX) from error

    def to_dict(self) -> dict[str, Any]:
        """The same as a `preprocessor_config.json` that stock `transformers` opens."""
        resize = self.resize
        size = {"shortest_edge": resize} if isinstance(resize, int) else _named(resize or self.size)
        config = {
            "image_processor_type": self.processor,
            "do_convert_rgb": True,
            "do_resize": resize is not None,
            "size": size,
            "resample": _RESAMPLE.index(self.resample),
            "do_center_crop": self.crop is not None,
            "do_rescale": True,
            "rescale_factor": self.rescale,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        return config if self.crop is None else {**config, "crop_size": _named(self.crop)}


def image_batch(
    images: Sequence[Picture],
    spec: ImageSpec,
    *,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    failed: Callable[[int, SensoriumError], None] | None = None,
) -> Float[Tensor, "batch 3 height width"]:
    """Pictures as a vision model takes them.

    Args:
        images: paths, bytes, or what `read_image` gave.
        spec: what the model was trained with.
        threads: how many pictures are decoded at once; as many as PyTorch uses, if None.
        max_pixels: as in `read_image`.
        failed: told the place and the error of each picture that cannot be read, whose row is then the picture of
            nothing: all 0. If None, the first such error is raised.

    Raises:
        InputError: there are no pictures, or one cannot be opened.
        DataError: one is not a picture, is damaged or too large.
    """
    errors = dict[int, SensoriumError]()
    small = small_pictures(
        images, spec, threads=threads, max_pixels=max_pixels, failed=None if failed is None else errors.__setitem__
    )
    mean, std = (torch.tensor(part, dtype=torch.float64).view(3, 1, 1) for part in (spec.mean, spec.std))
    pixels = small.float().mul_((spec.rescale / std).float()).sub_((mean / std).float())
    for index, error in errors.items():
        if failed is not None:
            pixels[index] = 0
            failed(index, error)
    return pixels


def small_pictures(
    images: Sequence[Picture],
    spec: ImageSpec,
    *,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    failed: Callable[[int, SensoriumError], None] | None = None,
) -> UInt8[Tensor, "batch 3 height width"]:
    """Pictures before they are rescaled and normalised: RGB of the size that the model reads, 0 to 255. Arguments and
    errors are those of `image_batch`."""
    if not images:
        raise InputError("no pictures were given", fix="Give one or more")
    height, width = spec.size
    pixels = np.zeros((len(images), height, width, 3), np.uint8)

    def fill(index: int) -> SensoriumError | None:
        try:
            pixels[index] = np.asarray(_small(images[index], spec, max_pixels=max_pixels))
        except SensoriumError as error:
            if failed is None:
                raise
            return error
        return None

    for index, error in enumerate(for_each(fill, range(len(images)), threads=threads)):
        if error is not None and failed is not None:
            failed(index, error)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def _small(picture: Picture, spec: ImageSpec, *, max_pixels: int) -> Image.Image:
    if isinstance(picture, Tensor):
        image = Image.fromarray(picture.permute(1, 2, 0).contiguous().cpu().numpy())
    else:
        image = decode(picture, max_pixels=max_pixels)
    if spec.resize is not None:
        height, width = _target(image, spec.resize)
        image = image.resize((width, height), Image.Resampling[spec.resample.upper()])
    if spec.crop is not None:
        height, width = spec.crop
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))  # what lies outside is black
    return image


def _target(image: Image.Image, resize: tuple[int, int] | int) -> tuple[int, int]:
    if isinstance(resize, tuple):
        return resize
    short, long = sorted(image.size)
    other = int(resize * long / short)
    return (other, resize) if image.width <= image.height else (resize, other)


def _size(value: Any, *, square: bool) -> tuple[int, int] | int:
    """A size in any of the spellings of Hugging Face."""
    if isinstance(value, Mapping):
        if set(value) == {"shortest_edge"}:
            return _edge(value["shortest_edge"])
        if set(value) == {"height", "width"}:
            return _edge(value["height"]), _edge(value["width"])
        raise ValueError(f"size {dict(value)} is not one that is read here")
    if isinstance(value, (list, tuple)):
        height, width = value
        return _edge(height), _edge(width)
    return (_edge(value), _edge(value)) if square else _edge(value)


def _edge(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"an edge of {value!r} pixels")
    return value


def _edges(size: tuple[int, int] | int | None) -> tuple[int, ...]:
    return size if isinstance(size, tuple) else (1 if size is None else size,)


def _pair(size: tuple[int, int] | int) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


def _triple(value: Any) -> Triple:
    red, green, blue = (float(part) for part in ([value] * 3 if isinstance(value, (int, float)) else value))
    return red, green, blue


def _named(size: tuple[int, int]) -> dict[str, int]:
    return {"height": size[0], "width": size[1]}


def _defaults(**settings: Any) -> dict[str, Any]:
    square = {"height": 224, "width": 224}
    common = {"do_resize": True, "do_center_crop": False, "do_rescale": True, "do_normalize": True}
    halves = {"image_mean": _HALF, "image_std": _HALF}
    return {**common, **halves, "size": square, "crop_size": square, "rescale_factor": 1 / 255, **settings}


_DEFAULTS: dict[str, dict[str, Any]] = {
    "CLIPImageProcessor": _defaults(
        size={"shortest_edge": 224}, resample=3, do_center_crop=True, image_mean=_CLIP_MEAN, image_std=_CLIP_STD
    ),
    "ViTImageProcessor": _defaults(resample=2),
    "SiglipImageProcessor": _defaults(resample=3),
}
"""What the classes of `transformers` take where a file says nothing."""

"""Layers for images: convolutions, pools, normalization, resizing, augmentation."""

from __future__ import annotations

from typing import Any

from keras_cases.case import rows, volume

__all__ = ["REFUSED", "ROWS"]

CONVOLUTIONS: dict[str, Any] = {
    "Conv1D": lambda k, x: k.Conv1D(4, 3)(rows(k, x)),
    "Conv1D(causal, dilated)": lambda k, x: k.Conv1D(4, 3, padding="causal", dilation_rate=2)(
        rows(k, x)
    ),
    "Conv2D": lambda k, x: k.Conv2D(4, 3, activation="swish")(x),
    "Conv2D(strides=2, same)": lambda k, x: k.Conv2D(4, 3, strides=2, padding="same")(x),
    "Conv2D(strides=3, same, even kernel)": lambda k, x: k.Conv2D(4, 4, 3, padding="same")(x),
    "Conv2D(same, dilated)": lambda k, x: k.Conv2D(4, 3, padding="same", dilation_rate=3)(x),
    "Conv2D(groups=3, no bias)": lambda k, x: k.Conv2D(6, 3, groups=3, use_bias=False)(x),
    "Conv2D(channels first)": lambda k, x: k.Conv2D(4, 3, data_format="channels_first")(x),
    "Conv3D": lambda k, x: k.Conv3D(4, 2, strides=(2, 1, 1), padding="same")(volume(k, x)),
    "Conv1DTranspose": lambda k, x: k.Conv1DTranspose(4, 3, strides=2)(rows(k, x)),
    "Conv1DTranspose(same)": lambda k, x: k.Conv1DTranspose(4, 3, 2, padding="same")(rows(k, x)),
    "Conv2DTranspose": lambda k, x: k.Conv2DTranspose(4, 3, strides=2)(x),
    "Conv2DTranspose(same)": lambda k, x: k.Conv2DTranspose(4, 4, strides=3, padding="same")(x),
    "Conv2DTranspose(output_padding)": lambda k, x: k.Conv2DTranspose(
        4, 3, strides=2, output_padding=1
    )(x),
    "Conv2DTranspose(dilated)": lambda k, x: k.Conv2DTranspose(4, 3, dilation_rate=2)(x),
    "Conv3DTranspose": lambda k, x: k.Conv3DTranspose(2, 2, strides=2)(volume(k, x)),
    "DepthwiseConv1D": lambda k, x: k.DepthwiseConv1D(3, depth_multiplier=2)(rows(k, x)),
    "DepthwiseConv2D": lambda k, x: k.DepthwiseConv2D(3, depth_multiplier=2)(x),
    "DepthwiseConv2D(strides=2, same)": lambda k, x: k.DepthwiseConv2D(3, 2, padding="same")(x),
    "SeparableConv1D": lambda k, x: k.SeparableConv1D(4, 3)(rows(k, x)),
    "SeparableConv2D": lambda k, x: k.SeparableConv2D(4, 3, padding="same")(x),
    "SpectralNormalization": lambda k, x: k.SpectralNormalization(k.Conv2D(4, 3))(x),
}

POOLS: dict[str, Any] = {
    "AveragePooling1D": lambda k, x: k.AveragePooling1D(3, 2)(rows(k, x)),
    "AveragePooling1D(same)": lambda k, x: k.AveragePooling1D(3, 2, padding="same")(rows(k, x)),
    "AveragePooling2D": lambda k, x: k.AveragePooling2D(3)(x),
    "AveragePooling2D(same)": lambda k, x: k.AveragePooling2D(3, 2, padding="same")(x),
    "AveragePooling2D(same, even)": lambda k, x: k.AveragePooling2D(4, 1, padding="same")(x),
    "AveragePooling3D": lambda k, x: k.AveragePooling3D(2)(volume(k, x)),
    "AveragePooling3D(same)": lambda k, x: k.AveragePooling3D(3, 2, padding="same")(volume(k, x)),
    "MaxPooling1D": lambda k, x: k.MaxPooling1D(3, 2)(rows(k, x)),
    "MaxPooling1D(same)": lambda k, x: k.MaxPooling1D(3, 2, padding="same")(rows(k, x)),
    "MaxPooling2D": lambda k, x: k.MaxPooling2D(3)(x),
    "MaxPooling2D(same)": lambda k, x: k.MaxPooling2D(3, 2, padding="same")(x),
    "MaxPooling2D(same, below 0)": lambda k, x: k.MaxPooling2D(4, 1, padding="same")(
        k.Rescaling(1.0, -9.0)(x)
    ),
    "MaxPooling3D": lambda k, x: k.MaxPooling3D(2)(volume(k, x)),
    "MaxPooling3D(same)": lambda k, x: k.MaxPooling3D(3, 2, padding="same")(volume(k, x)),
    "GlobalAveragePooling1D": lambda k, x: k.GlobalAveragePooling1D()(rows(k, x)),
    "GlobalAveragePooling2D": lambda k, x: k.GlobalAveragePooling2D(keepdims=True)(x),
    "GlobalAveragePooling3D": lambda k, x: k.GlobalAveragePooling3D()(volume(k, x)),
    "GlobalMaxPooling1D": lambda k, x: k.GlobalMaxPooling1D()(rows(k, x)),
    "GlobalMaxPooling2D": lambda k, x: k.GlobalMaxPooling2D()(x),
    "GlobalMaxPooling3D": lambda k, x: k.GlobalMaxPooling3D()(volume(k, x)),
    "AdaptiveAveragePooling1D": lambda k, x: k.AdaptiveAveragePooling1D(4)(rows(k, x)),
    "AdaptiveAveragePooling1D(5)": lambda k, x: k.AdaptiveAveragePooling1D(5)(rows(k, x)),
    "AdaptiveAveragePooling2D": lambda k, x: k.AdaptiveAveragePooling2D(4)(x),
    "AdaptiveAveragePooling2D((5, 7))": lambda k, x: k.AdaptiveAveragePooling2D((5, 7))(x),
    "AdaptiveAveragePooling3D": lambda k, x: k.AdaptiveAveragePooling3D(3)(volume(k, x)),
    "AdaptiveMaxPooling1D": lambda k, x: k.AdaptiveMaxPooling1D(4)(rows(k, x)),
    "AdaptiveMaxPooling1D(5)": lambda k, x: k.AdaptiveMaxPooling1D(5)(rows(k, x)),
    "AdaptiveMaxPooling2D": lambda k, x: k.AdaptiveMaxPooling2D(4)(x),
    "AdaptiveMaxPooling2D((5, 7))": lambda k, x: k.AdaptiveMaxPooling2D((5, 7))(x),
    "AdaptiveMaxPooling3D": lambda k, x: k.AdaptiveMaxPooling3D(2)(volume(k, x)),
}

NORMS: dict[str, Any] = {
    "BatchNormalization": lambda k, x: k.BatchNormalization(epsilon=0.1)(x),
    "BatchNormalization(axis=1)": lambda k, x: k.BatchNormalization(axis=1, scale=False)(x),
    "GroupNormalization": lambda k, x: k.GroupNormalization(3, epsilon=0.1)(x),
    "GroupNormalization(groups=-1)": lambda k, x: k.GroupNormalization(-1)(x),
    "GroupNormalization(rows)": lambda k, x: k.GroupNormalization(4)(rows(k, x)),
    "LayerNormalization": lambda k, x: k.LayerNormalization(epsilon=0.1)(x),
    "LayerNormalization(no center)": lambda k, x: k.LayerNormalization(center=False)(rows(k, x)),
    "RMSNormalization": lambda k, x: k.RMSNormalization(epsilon=0.1)(x),
    "UnitNormalization": lambda k, x: k.UnitNormalization()(x),
    "UnitNormalization(axis=(1, 2))": lambda k, x: k.UnitNormalization(axis=(1, 2))(x),
    "Normalization": lambda k, x: k.Normalization(mean=[0.1, 0.2, 0.3], variance=[1, 2, 3])(x),
    "Normalization(invert)": lambda k, x: k.Normalization(
        mean=[0.1, 0.2, 0.3], variance=[1, 2, 3], invert=True
    )(x),
    "Rescaling": lambda k, x: k.Rescaling([0.5, 1.0, 2.0], offset=[0.1, 0.2, 0.3])(x),
}

SIZES: dict[str, Any] = {
    "Cropping1D": lambda k, x: k.Cropping1D((1, 2))(rows(k, x)),
    "Cropping2D": lambda k, x: k.Cropping2D(((1, 2), (3, 0)))(x),
    "Cropping3D": lambda k, x: k.Cropping3D(((1, 2), (3, 0), (0, 1)))(volume(k, x)),
    "ZeroPadding1D": lambda k, x: k.ZeroPadding1D((1, 2))(rows(k, x)),
    "ZeroPadding2D": lambda k, x: k.ZeroPadding2D(((1, 2), (3, 0)))(x),
    "ZeroPadding3D": lambda k, x: k.ZeroPadding3D(((1, 2), (3, 0), (0, 1)))(volume(k, x)),
    "UpSampling1D": lambda k, x: k.UpSampling1D(3)(rows(k, x)),
    "UpSampling2D": lambda k, x: k.UpSampling2D((2, 3))(x),
    "UpSampling2D(bilinear)": lambda k, x: k.UpSampling2D(2, interpolation="bilinear")(x),
    "UpSampling2D(bicubic)": lambda k, x: k.UpSampling2D(2, interpolation="bicubic")(x),
    "UpSampling3D": lambda k, x: k.UpSampling3D(2)(volume(k, x)),
    "CenterCrop": lambda k, x: k.CenterCrop(7, 8)(x),
    "CenterCrop(larger)": lambda k, x: k.CenterCrop(15, 16)(x),
    "Resizing": lambda k, x: k.Resizing(7, 17)(x),
    "Resizing(nearest)": lambda k, x: k.Resizing(7, 17, interpolation="nearest")(x),
    "Resizing(bicubic)": lambda k, x: k.Resizing(7, 17, interpolation="bicubic")(x),
    "Resizing(antialias)": lambda k, x: k.Resizing(5, 7, antialias=True)(x),
    "Resizing(crop)": lambda k, x: k.Resizing(6, 9, crop_to_aspect_ratio=True)(x),
    "Resizing(pad)": lambda k, x: k.Resizing(6, 9, pad_to_aspect_ratio=True, fill_value=0.3)(x),
}

LIMITS: dict[str, Any] = {"value_range": (-2.0, 2.0)}

AUGMENTATIONS: dict[str, Any] = {
    # These do the same in training and at inference.
    "AutoContrast": lambda k, x: k.AutoContrast(**LIMITS)(x),
    "Equalization": lambda k, x: k.Equalization(**LIMITS)(x),
    "ContrastLimitedAdaptiveHistogramEqualization": (
        lambda k, x: k.ContrastLimitedAdaptiveHistogramEqualization(
            **LIMITS, tile_grid_size=(2, 2)
        )(x)
    ),
    # These do nothing at inference.
    "AlphaDropout": lambda k, x: k.AlphaDropout(0.5)(x),
    "AugMix": lambda k, x: k.AugMix(**LIMITS)(x),
    "CutMix": lambda k, x: k.CutMix()(x),
    "Dropout": lambda k, x: k.Dropout(0.5)(x),
    "GaussianDropout": lambda k, x: k.GaussianDropout(0.5)(x),
    "GaussianNoise": lambda k, x: k.GaussianNoise(0.1)(x),
    "MixUp": lambda k, x: k.MixUp()(x),
    "Pipeline": lambda k, x: k.Pipeline([k.RandomFlip(), k.Rescaling(0.5)])(x),
    "RandAugment": lambda k, x: k.RandAugment(**LIMITS)(x),
    "RandomBrightness": lambda k, x: k.RandomBrightness(0.2, **LIMITS)(x),
    "RandomColorDegeneration": lambda k, x: k.RandomColorDegeneration(0.5)(x),
    "RandomColorJitter": lambda k, x: k.RandomColorJitter(brightness_factor=0.1, **LIMITS)(x),
    "RandomContrast": lambda k, x: k.RandomContrast(0.2)(x),
    "RandomElasticTransform": lambda k, x: k.RandomElasticTransform()(x),
    "RandomErasing": lambda k, x: k.RandomErasing()(x),
    "RandomFlip": lambda k, x: k.RandomFlip()(x),
    "RandomGaussianBlur": lambda k, x: k.RandomGaussianBlur()(x),
    "RandomGrayscale": lambda k, x: k.RandomGrayscale(0.5)(x),
    "RandomHue": lambda k, x: k.RandomHue(0.2)(x),
    "RandomInvert": lambda k, x: k.RandomInvert()(x),
    "RandomPerspective": lambda k, x: k.RandomPerspective()(x),
    "RandomPosterization": lambda k, x: k.RandomPosterization(4)(x),
    "RandomRotation": lambda k, x: k.RandomRotation(0.1)(x),
    "RandomSaturation": lambda k, x: k.RandomSaturation(0.2)(x),
    "RandomSharpness": lambda k, x: k.RandomSharpness(0.2)(x),
    "RandomShear": lambda k, x: k.RandomShear(0.1, 0.1)(x),
    "RandomTranslation": lambda k, x: k.RandomTranslation(0.1, 0.1)(x),
    "RandomZoom": lambda k, x: k.RandomZoom(0.2)(x),
    "Solarization": lambda k, x: k.Solarization(0.3, 0.5, **LIMITS)(x),
    "SpatialDropout1D": lambda k, x: k.SpatialDropout1D(0.5)(rows(k, x)),
    "SpatialDropout2D": lambda k, x: k.SpatialDropout2D(0.5)(x),
    "SpatialDropout3D": lambda k, x: k.SpatialDropout3D(0.5)(volume(k, x)),
}

ROWS: dict[str, Any] = {**CONVOLUTIONS, **POOLS, **NORMS, **SIZES, **AUGMENTATIONS}

REFUSED: dict[str, str] = {
    "AdaptiveMaxPooling3D": "coremltools lacks the op",
    "ContrastLimitedAdaptiveHistogramEqualization": "a tensor of rank 6; Core ML has 5 at most",
    "UpSampling3D": "a tensor of rank 6; Core ML has 5 at most",
}

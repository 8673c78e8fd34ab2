"""Tiny encoders that were made from Whisper's, with their feature extractor."""

from transformers import (
    Qwen2AudioEncoder,
    Qwen2AudioEncoderConfig,
    VoxtralEncoder,
    VoxtralEncoderConfig,
    WhisperFeatureExtractor,
)


def qwen2_audio_config() -> Qwen2AudioEncoderConfig:
    sizes = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2}
    return Qwen2AudioEncoderConfig(
        **sizes, encoder_ffn_dim=24, num_mel_bins=20, max_source_positions=50
    )


def voxtral_config() -> VoxtralEncoderConfig:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return VoxtralEncoderConfig(
        **sizes, intermediate_size=32, num_mel_bins=20, max_source_positions=50
    )


def one_second_of_mel() -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=20, chunk_length=1)


SOUND_TOWERS = {
    "qwen2_audio_encoder": lambda: (Qwen2AudioEncoder(qwen2_audio_config()), one_second_of_mel()),
    "voxtral_encoder": lambda: (VoxtralEncoder(voxtral_config()), one_second_of_mel()),
}

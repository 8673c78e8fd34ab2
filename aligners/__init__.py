"""The trainable bridge from features to soft tokens; knows neither encoders nor language models."""

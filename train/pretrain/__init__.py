"""Trains the frozen parts of the built-in model from scratch: its encoders and its language model.

Aligners on frozen parts, of this model or any other, are trained by `anymal train`.
"""

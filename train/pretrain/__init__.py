"""Makes the frozen parts of the built-in model from nothing: its encoders and its language model.

Training aligners on frozen parts, of this model or any other, is the business of `train` proper.
"""

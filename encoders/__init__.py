"""Frozen feature extractors: decoded media in, features out.

They know nothing of language models, and they do not read files.
"""

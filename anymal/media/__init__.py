"""Bytes, paths and data URLs to signals, under limits.

It resamples nothing and knows no encoder; every refusal is a MediaError.
"""

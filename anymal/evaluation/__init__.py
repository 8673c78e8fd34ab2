"""Measures what a model answers: tasks, scores, input-reliance controls and the report.

Does not train and does not choose the data that a model was trained on.
"""

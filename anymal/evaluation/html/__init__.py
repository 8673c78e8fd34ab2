"""The report of an evaluation as one page that loads nothing."""

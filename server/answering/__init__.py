"""A checked request to the events of its answer."""

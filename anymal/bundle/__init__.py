"""The folder that is saved, shared and served: write it, load it, join several."""

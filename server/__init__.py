"""The REST service: HTTP in, the library's processor and engine behind it.

Does not train, and holds no model code.
"""

"""The shapes of the REST API, for server and client alike. Does not know HTTP."""

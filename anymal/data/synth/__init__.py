"""Questions and answers about media, written by a text model that reads their captions."""

"""Messages to ids: templates, which words are targets, where media stand."""

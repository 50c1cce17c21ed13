"""Features: what turns raw text (and later media) into sequences."""

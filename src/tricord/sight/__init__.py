"""Sight: what turns a clip's pictures into a track of features."""

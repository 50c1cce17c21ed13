"""Clips: from files of sound and pictures to a data set."""

"""Experiments: one small file each."""

"""Applying a trained model."""

"""The systems of Table IV and simple references: one file each, all on the same loop and data."""

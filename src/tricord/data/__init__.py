"""Data: feature files into validated tables, tables into batches."""

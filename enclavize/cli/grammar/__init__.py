"""Parsers of option values: text in, value objects out, UsageError for anything else."""

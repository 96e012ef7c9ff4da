"""The variants, one a file."""

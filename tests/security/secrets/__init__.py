"""Texts with and without secrets, made at run time: nothing that looks like a credential lies in the repository."""

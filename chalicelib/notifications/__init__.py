"""Mails about runs: whether, to which topic, and their text."""

"""The leak audit: fifteen checks of the records and of what was fitted, and leaks put in to see them ring."""

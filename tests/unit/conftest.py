"""Few examples and always the same ones: a unit test must be quick, and red or green for everybody."""

from hypothesis import settings

settings.register_profile("unit", max_examples=100, derandomize=True, deadline=None)
settings.load_profile("unit")

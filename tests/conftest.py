"""What every test may ask for."""

from hypothesis import settings

pytest_plugins = ["tests.postgres", "tests.valkey", "tests.kafka"]

# How long an example takes says something about the machine, not about the law.
settings.register_profile("rooms", deadline=None)
settings.load_profile("rooms")

"""The model layer: the relay and what serves behind it. The only place that imports litellm, and lazily."""

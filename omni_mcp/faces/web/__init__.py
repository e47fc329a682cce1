"""The web page: what people look at instead of JSON, and where they answer. It shows what tools and commands show."""

"""The durable record: the one meeting point of faces and engines."""

"""Surfaces for people and programs. They take a Service and know nothing else: translate, never decide."""

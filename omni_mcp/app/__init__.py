"""All wiring: opened top down, closed in reverse. Faces stay light: only `app/engine.py` imports the engine."""

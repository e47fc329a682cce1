"""The Dockerfile without a container engine: its own lines, carried out in clean roots (`make image-check`)."""

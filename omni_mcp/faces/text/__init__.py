"""What the command line prints for people: `str` in their language, `Text` where it is somebody else's."""

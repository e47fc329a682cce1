"""What is wrong with an installation, what it means, and the command that mends it."""

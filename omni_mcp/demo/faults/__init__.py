"""The demo of the dual fault mechanism: LiteLLM killed, all clouds dark, and back; its timeline and its proof."""

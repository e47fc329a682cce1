"""The offline demo: the main job from end to end, its proof, and the stand-ins for cloud and agent."""

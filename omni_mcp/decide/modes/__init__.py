"""The mode machine: from what probes and real calls saw to normal, degraded or brainstem. Pure: the clock is told.

Suspicion comes cheap and judgement is careful. `consecutive_failures` against LiteLLM make it suspect; then one round
looks at everything at once, LiteLLM once more included, and only that round changes the mode: to degraded when a cloud
answers directly, to brainstem when none does. The numbers are those of `fault_handler` in servers.yaml.
"""

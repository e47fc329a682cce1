"""The offline demo: stand-ins for the cloud, with faults on demand."""

"""The shape of servers.yaml: a module a section, with its rows and keys, what each means and what it refuses."""

"""From a spec to the pieces of a fit: data with roles, body, task, streams, and every choice that nobody made."""

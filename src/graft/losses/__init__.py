"""Pure tensor functions that methods add to a task's loss."""

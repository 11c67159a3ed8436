"""What is learnt: for one schema, the head, the loss and the scores, as a value of plain functions."""

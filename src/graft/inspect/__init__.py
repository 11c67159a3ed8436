"""What is wrong with the data, before a minute is spent on them."""

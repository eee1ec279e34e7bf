"""What is measured, side by side with others: `python -m bench`. See README.md for how to read it."""

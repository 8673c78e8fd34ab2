"""What a medium brings to the row: its slots, its place on a clock, its measured facts."""

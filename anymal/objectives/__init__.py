"""What training minimises beside the cross-entropy of answers: preference among answers."""

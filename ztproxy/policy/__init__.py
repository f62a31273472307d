"""Whether they may: engines, the input document and the strict reading of a decision."""

"""Networks of general cells: GRU, LSTM and those that users write."""

"""Where metrics go: `metrics.jsonl` always, TensorBoard and Weights & Biases where asked for."""

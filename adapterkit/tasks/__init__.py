"""What is learned: task configurations, data, encoding and metrics."""

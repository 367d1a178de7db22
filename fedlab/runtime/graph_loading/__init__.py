"""TensorFlow graphs as callables; the one place that uses TensorFlow's private names."""

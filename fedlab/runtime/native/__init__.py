"""TFF's own runtime, in a process that nobody else reaches and that ends with this one."""

"""Every key of a configuration, typed and described once."""

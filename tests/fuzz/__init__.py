"""Files of strangers: valid ones with bytes or values changed. Whatever is read must end well or in an error of our own."""

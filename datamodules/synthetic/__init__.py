"""A generator of small street scenes in IDD's layout: the data that the project carries within itself."""

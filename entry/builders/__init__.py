"""From settings to data modules, Lightning modules, trainers and loggers."""

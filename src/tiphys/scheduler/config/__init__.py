"""KubeSchedulerConfiguration: what the file may say, read with the line of what is wrong, made into profiles."""

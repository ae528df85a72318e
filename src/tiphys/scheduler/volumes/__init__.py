"""Where volumes let a pod run: claims, volumes, classes and drivers, as the scheduler sees them."""

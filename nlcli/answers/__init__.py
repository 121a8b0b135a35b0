"""What people said of the images that they were asked about, and a data set that knows it."""

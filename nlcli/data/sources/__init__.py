"""One file a source of images and labels; each writes the same kind of data set directory."""

"""The whole way of somebody with a pile of pictures, in one command."""

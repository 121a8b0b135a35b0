"""Programs that run the forward pass of nlcli's own networks on a CPU, one file each, over one contract."""
